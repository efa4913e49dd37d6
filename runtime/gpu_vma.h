/* gpu_vma.h: the Vulkan Memory Allocator, which is C++, behind four C functions. gpu_memory.c alone uses them, and
 * gpu_device.c for its lifetime. */
#ifndef HN_GPU_VMA_H
#define HN_GPU_VMA_H

#include "gpu.h"

hn_status gpu_vma_create(gpu_device *device, hn_error *err);
void gpu_vma_destroy(gpu_device *device); /* accepts a device without an allocator */

/* Creates out->handle, out->allocation and, where the memory is mapped, out->mapped. */
VkResult gpu_vma_create_buffer(gpu_device *device, gpu_memory_kind kind, uint64_t bytes, const char *name, gpu_buffer *out);
void gpu_vma_destroy_buffer(gpu_device *device, gpu_buffer *buffer);

#endif
