/* gpu_info.h: what a physical device offers, and what hornito needs of it. */
#ifndef HN_GPU_INFO_H
#define HN_GPU_INFO_H

#include "gpu.h"

/* instance: the device's. */
void gpu_info_read(VkInstance instance, VkPhysicalDevice physical, hn_device_info *out);

/* How much memory there is and how much of it is free now. */
void gpu_info_memory(VkPhysicalDevice physical, const hn_device_info *info, hn_memory *out);

/* The first queue family with compute: one without graphics where there is one. UINT32_MAX: none. */
uint32_t gpu_info_queue_family(VkPhysicalDevice physical);

/* True where the device has the extension. */
bool gpu_info_has_extension(VkPhysicalDevice physical, const char *name);

#endif
