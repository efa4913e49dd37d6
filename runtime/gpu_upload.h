/*
 * gpu_upload.h: from memory of the CPU to the device, through a ring of slots of staging memory: while the device works on what some
 * slots hold, the CPU fills another. Each slot has a command buffer for the copies and dispatches that read it; it is submitted when the
 * slot is full.
 */
#ifndef HN_GPU_UPLOAD_H
#define HN_GPU_UPLOAD_H

#include "gpu.h"

enum { STAGING_BYTES = 64 << 20, STAGING_SLOTS = 4, STAGING_SLOT_BYTES = STAGING_BYTES / STAGING_SLOTS };

typedef struct gpu_upload {
  gpu_device *device;
  gpu_buffer staging;
  gpu_cmd *cmds[STAGING_SLOTS];
  uint32_t slot;  /* that is being filled, */
  uint64_t used;  /* so far with so many bytes */
  bool recording; /* its command buffer */
} gpu_upload;

/* Errors: OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status gpu_upload_init(gpu_device *device, gpu_upload *out, hn_error *err);

/* What was not submitted is dropped, and what was is waited for, within a limit. A zeroed one is accepted. */
void gpu_upload_finish(gpu_upload *upload);

typedef struct gpu_room { /* in a slot */
  uint64_t n;              /* items */
  void *mapped;            /* write them here, */
  gpu_cmd *cmd;            /* and record here what reads them, */
  VkDeviceAddress address; /* a multiple of 16, */
  uint64_t offset;         /* which is so far from the start of the staging buffer */
} gpu_room;

/* Room for the first of n items (n >= 1) of item_bytes (at most STAGING_SLOT_BYTES) each: one or more, as many as fit into the slot. It must be
 * used before the next call. Submits full slots; waits, within gpu_wait_limit_ns, where all are busy.
 * Errors: DEVICE_LOST, TIMEOUT, OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status gpu_upload_room(gpu_upload *upload, uint64_t item_bytes, uint64_t n, gpu_room *out, hn_error *err);

/* Copies any number of bytes; they are there after gpu_upload_wait. Errors: as above. */
hn_status gpu_upload_bytes(gpu_upload *upload, const void *data, uint64_t bytes, const gpu_buffer *to, uint64_t to_offset, hn_error *err);

/* Submits the rest and waits, within gpu_wait_limit_ns for each slot, until all of it is done. Errors: as above. */
hn_status gpu_upload_wait(gpu_upload *upload, hn_error *err);

#endif
