#include "gpu_upload.h"

#include <string.h>

#define UPLOAD_WAIT_NS 60000000000ull

hn_status gpu_upload_init(gpu_device *device, gpu_upload *out, hn_error *err) {
  *out = (gpu_upload){.device = device};
  hn_status status = gpu_cmd_create(device, &out->cmd, err);
  if (!status)
    status = gpu_buffer_init(device, GPU_MEMORY_HOST, STAGING_BYTES, "the staging buffer", &out->staging, err);
  if (status)
    gpu_upload_finish(out);
  return status;
}

void gpu_upload_finish(gpu_upload *upload) {
  if (upload->device) {
    gpu_cmd_destroy(&upload->cmd);
    gpu_buffer_finish(upload->device, &upload->staging);
  }
  *upload = (gpu_upload){0};
}

hn_status gpu_upload_send(gpu_upload *upload, const gpu_buffer *to, const gpu_upload_part *parts, size_t n_parts, hn_error *err) {
  hn_status status = gpu_cmd_begin(upload->cmd, err);
  if (status)
    return status;
  for (size_t i = 0; i < n_parts; i++)
    if (parts[i].bytes)
      gpu_cmd_copy(upload->cmd, &upload->staging, parts[i].from, to, parts[i].to, parts[i].bytes);
  return gpu_cmd_submit_wait(upload->cmd, UPLOAD_WAIT_NS, err);
}

hn_status gpu_upload_bytes(gpu_upload *upload, const void *data, uint64_t bytes, const gpu_buffer *to, uint64_t offset, hn_error *err) {
  hn_status status = HN_OK;
  for (uint64_t done = 0; done < bytes && !status;) {
    gpu_upload_part part = {.to = offset + done, .bytes = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES};
    memcpy(upload->staging.mapped, (const char *)data + done, part.bytes);
    status = gpu_upload_send(upload, to, &part, 1, err);
    done += part.bytes;
  }
  return status;
}
