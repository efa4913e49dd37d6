/* arena.h: the allocations of a plan that belong to the model, or to a session, and where its items lie in them. */
#ifndef HN_ARENA_H
#define HN_ARENA_H

#include "gpu.h"
#include "plan.h"

typedef struct arena {
  gpu_device *device;
  uint32_t first, n; /* of the plan's allocations */
  gpu_buffer *buffers; /* (n); of PLAN_PROCESS: none */
} arena;

typedef struct arena_place {
  const gpu_buffer *buffer;
  uint64_t offset;
  VkDeviceAddress address;
  void *mapped; /* NULL where the CPU cannot see it */
} arena_place;

/* Allocates what the plan has for the owner (of sessions, session 0). Contents are undefined. On failure *out is finished.
 * Errors: OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN; the message names the items, the size and the heap. */
hn_status arena_init(gpu_device *device, const plan *p, plan_owner owner, arena *out, hn_error *err);
void arena_finish(arena *a); /* a zeroed or finished one is accepted */

/* Of an item of the same plan and owner; zeroes for NULL. */
arena_place arena_at(const arena *a, const hn_plan_item *item);

#endif
