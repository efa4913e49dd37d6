#include "gpu_upload.h"

#include <string.h>

enum { ROOM_ALIGNMENT = 16 };

hn_status gpu_upload_init(gpu_device *device, gpu_upload *out, hn_error *err) {
  *out = (gpu_upload){.device = device};
  hn_status status = gpu_buffer_init(device, GPU_MEMORY_HOST, STAGING_BYTES, "the staging buffer", &out->staging, err);
  for (int i = 0; i < STAGING_SLOTS && !status; i++)
    status = gpu_cmd_create(device, 0, &out->cmds[i], err);
  if (status)
    gpu_upload_finish(out);
  return status;
}

void gpu_upload_finish(gpu_upload *upload) {
  for (int i = 0; i < STAGING_SLOTS; i++)
    gpu_cmd_destroy(&upload->cmds[i]);
  if (upload->device)
    gpu_buffer_finish(upload->device, &upload->staging);
  *upload = (gpu_upload){0};
}

static hn_status begin_slot(gpu_upload *u, hn_error *err) {
  hn_status status = gpu_cmd_wait(u->cmds[u->slot], gpu_wait_limit_ns(u->device), err);
  if (!status)
    status = gpu_cmd_begin(u->cmds[u->slot], err);
  u->recording = !status;
  u->used = 0;
  return status;
}

static hn_status end_slot(gpu_upload *u, hn_error *err) {
  hn_status status = gpu_cmd_submit(u->cmds[u->slot], err);
  u->slot = (u->slot + 1) % STAGING_SLOTS;
  u->recording = false;
  return status;
}

hn_status gpu_upload_room(gpu_upload *u, uint64_t item_bytes, uint64_t n, gpu_room *out, hn_error *err) {
  hn_status status = HN_OK;
  *out = (gpu_room){0};
  if (u->recording && STAGING_SLOT_BYTES - u->used < item_bytes)
    status = end_slot(u, err);
  if (!status && !u->recording)
    status = begin_slot(u, err);
  if (status)
    return status;
  uint64_t fit = (STAGING_SLOT_BYTES - u->used) / item_bytes, at = (uint64_t)u->slot * STAGING_SLOT_BYTES + u->used;
  out->n = n < fit ? n : fit;
  out->mapped = (uint8_t *)u->staging.mapped + at;
  out->cmd = u->cmds[u->slot];
  out->address = u->staging.address + at;
  out->offset = at;
  u->used = (u->used + out->n * item_bytes + ROOM_ALIGNMENT - 1) / ROOM_ALIGNMENT * ROOM_ALIGNMENT;
  return HN_OK;
}

hn_status gpu_upload_bytes(gpu_upload *u, const void *data, uint64_t bytes, const gpu_buffer *to, uint64_t to_offset, hn_error *err) {
  gpu_room room;
  for (uint64_t done = 0; done < bytes; done += room.n) {
    hn_status status = gpu_upload_room(u, 1, bytes - done, &room, err);
    if (status)
      return status;
    memcpy(room.mapped, (const uint8_t *)data + done, room.n);
    gpu_cmd_copy(room.cmd, &u->staging, room.offset, to, to_offset + done, room.n);
  }
  return HN_OK;
}

hn_status gpu_upload_wait(gpu_upload *u, hn_error *err) {
  hn_status status = u->recording ? end_slot(u, err) : HN_OK;
  for (int i = 0; i < STAGING_SLOTS && !status; i++)
    status = gpu_cmd_wait(u->cmds[i], gpu_wait_limit_ns(u->device), err);
  return status;
}
