/* gpu_timer.h: when commands of a recording ended, by the device's clock. */
#ifndef HN_GPU_TIMER_H
#define HN_GPU_TIMER_H

#include "gpu.h"

typedef struct gpu_timer {
  gpu_device *device;
  VkQueryPool pool;   /* VK_NULL_HANDLE: the queue has no timestamps */
  uint32_t capacity, n; /* stamps of the recording */
  double ns_per_tick;
  uint64_t mask; /* of the bits that count */
} gpu_timer;

/* A queue without timestamps is no error: stamps are then ignored. Errors: OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status gpu_timer_init(gpu_device *device, uint32_t capacity, gpu_timer *out, hn_error *err);
void gpu_timer_finish(gpu_timer *timer); /* a zeroed one is accepted */

/* To be recorded before the first stamp of each recording. */
void gpu_timer_reset(gpu_timer *timer, gpu_cmd *cmd);

/* Notes when all commands recorded before have ended; stamps beyond the capacity are ignored. */
void gpu_timer_stamp(gpu_timer *timer, gpu_cmd *cmd);

/* After the wait: ns (n) since the first stamp. False: there are none. */
bool gpu_timer_read(const gpu_timer *timer, double *ns);

#endif
