/*
 * vulkan_calls.h: counts what the library makes on Vulkan devices, to the byte, and makes calls that may run out of memory fail. It sits
 * between the library and the loader: volk's pointers are replaced by its own. Allocations inside drivers are not seen. Calls of
 * several threads are counted; the functions here belong to one thread, while the library does nothing.
 *
 * Software drivers compile for seconds at each loading, so the one device and its pipelines are not really destroyed: the next ones are
 * the same.
 */
#ifndef VULKAN_CALLS_H
#define VULKAN_CALLS_H

#include "../runtime/gpu.h"

/* Begins. Call it after a context was created and before a model is loaded, once. */
void vulkan_calls_watch(void);

/* Destroys what was kept. Nothing may be live. */
void vulkan_calls_finish(void);

typedef struct vulkan_calls {
  uint64_t n_allocations; /* of device memory */
  uint64_t n_made;        /* objects, device memory among them */
  int64_t n_live;         /* of them, those that are not destroyed */
  uint64_t bytes, peak_bytes; /* of device memory, now and at most */
} vulkan_calls;

vulkan_calls vulkan_calls_count(void);
void vulkan_calls_reset_peak(void); /* to what is allocated now */

/* The n-th (0 ..) of the calls that follow gives `result`, and what it should have made is not NULL: Vulkan leaves it undefined. */
void vulkan_calls_fail(uint64_t n, VkResult result);

void vulkan_calls_succeed(void); /* no call fails any more */

/* The name of the call that failed since vulkan_calls_fail, or NULL. */
const char *vulkan_calls_failed(void);

#endif
