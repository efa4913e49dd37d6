/* gpu_upload.h: from memory of the CPU to buffers of the device, through one staging buffer. */
#ifndef HN_GPU_UPLOAD_H
#define HN_GPU_UPLOAD_H

#include "gpu.h"

enum { STAGING_BYTES = 32 << 20 };

typedef struct gpu_upload {
  gpu_device *device;
  gpu_cmd *cmd;
  gpu_buffer staging; /* mapped; write here, then gpu_upload_send */
} gpu_upload;

/* Errors: OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status gpu_upload_init(gpu_device *device, gpu_upload *out, hn_error *err);
void gpu_upload_finish(gpu_upload *upload); /* a zeroed one is accepted */

typedef struct gpu_upload_part {
  uint64_t from, to, bytes; /* offsets in the staging buffer and in the target */
} gpu_upload_part;

/* Copies the parts (those of 0 bytes are skipped) and waits until the staging buffer may be written again.
 * Errors: DEVICE_LOST, TIMEOUT, OUT_OF_MEMORY, VULKAN. */
hn_status gpu_upload_send(gpu_upload *upload, const gpu_buffer *to, const gpu_upload_part *parts, size_t n_parts, hn_error *err);

/* Any number of bytes to `offset` of a buffer. */
hn_status gpu_upload_bytes(gpu_upload *upload, const void *data, uint64_t bytes, const gpu_buffer *to, uint64_t offset, hn_error *err);

#endif
