#include <stdlib.h>

#include "gpu_cache.h"
#include "gpu_coopmat.h"
#include "gpu_info.h"
#include "gpu_vma.h"

hn_status gpu_status(VkResult result) {
  switch (result) {
  case VK_SUCCESS: return HN_OK;
  case VK_ERROR_OUT_OF_HOST_MEMORY: return HN_ERROR_OUT_OF_MEMORY;
  case VK_ERROR_OUT_OF_DEVICE_MEMORY: return HN_ERROR_OUT_OF_DEVICE_MEMORY;
  case VK_ERROR_DEVICE_LOST: return HN_ERROR_DEVICE_LOST;
  case VK_TIMEOUT: return HN_ERROR_TIMEOUT;
  default: return HN_ERROR_VULKAN;
  }
}

static hn_status create_device(gpu_device *self, hn_error *err) {
  const bool matrices = self->info.matrix_m > 0;
  const char *extensions[2];
  uint32_t n_extensions = 0;
  if (self->info.has_memory_budget)
    extensions[n_extensions++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
  if (matrices)
    extensions[n_extensions++] = COOPMAT_EXTENSION;
  const float priority = 0.5f;
  VkDeviceQueueCreateInfo queue = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
      .queueFamilyIndex = self->queue_family,
      .queueCount = 1,
      .pQueuePriorities = &priority,
  };
  coopmat_features coopmat = {.sType = (VkStructureType)COOPMAT_FEATURES_TYPE, .cooperativeMatrix = true};
  VkPhysicalDeviceVulkan13Features v13 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
      .pNext = matrices ? &coopmat : NULL,
      .subgroupSizeControl = self->info.has_subgroup_size_control,
      .computeFullSubgroups = self->info.has_subgroup_size_control,
      .synchronization2 = true,
      .shaderIntegerDotProduct = true,
      .maintenance4 = true,
  };
  VkPhysicalDeviceVulkan12Features v12 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
      .pNext = &v13,
      .bufferDeviceAddress = true,
      .vulkanMemoryModel = matrices,
      .vulkanMemoryModelDeviceScope = matrices, /* what other kernels count arrivals with */
      .shaderInt8 = matrices,
      .timelineSemaphore = true,
  };
  VkDeviceCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
      .pNext = &v12,
      .queueCreateInfoCount = 1,
      .pQueueCreateInfos = &queue,
      .enabledExtensionCount = n_extensions,
      .ppEnabledExtensionNames = extensions,
  };
  VkResult result = vkCreateDevice(self->physical, &info, NULL, &self->device);
  if (result) {
    self->device = VK_NULL_HANDLE;
    return hn_fail_vk(err, gpu_status(result), result, "%s: the driver does not open the device", self->info.name);
  }
  volkLoadDeviceTable(&self->vk, self->device);
  self->vk.vkGetDeviceQueue(self->device, self->queue_family, 0, &self->queue);
  return HN_OK;
}

hn_status gpu_device_create(gpu_instance *instance, uint32_t index, const char *cache_dir, gpu_device **out, hn_error *err) {
  *out = NULL;
  const hn_device_info *device_info = &instance->infos[index];
  if (!device_info->usable)
    return hn_fail(err, HN_ERROR_NO_DEVICE, "%s lacks %s", device_info->name, device_info->lacks);
  gpu_device *self = calloc(1, sizeof *self);
  if (!self)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a device");
  self->instance = instance;
  self->physical = instance->physical[index];
  self->info = *device_info;
  self->queue_family = gpu_info_queue_family(self->physical);
  pthread_mutex_init(&self->queue_lock, NULL);
  pthread_mutex_init(&self->plan_lock, NULL);
  hn_status status = create_device(self, err);
  if (!status)
    status = gpu_vma_create(self, err);
  if (!status)
    status = gpu_cache_open(self, cache_dir, err);
  if (status)
    gpu_device_destroy(&self);
  *out = self;
  return status;
}

bool gpu_device_stuck(gpu_device *device) {
  pthread_mutex_lock(&device->queue_lock);
  bool stuck = device->stuck;
  pthread_mutex_unlock(&device->queue_lock);
  return stuck;
}

void gpu_device_destroy(gpu_device **device) {
  gpu_device *self = *device;
  if (!self)
    return;
  if (gpu_device_stuck(self)) {
    self->instance->stuck = true;
    *device = NULL;
    return;
  }
  gpu_cache_close(self);
  gpu_vma_destroy(self);
  if (self->device)
    self->vk.vkDestroyDevice(self->device, NULL);
  pthread_mutex_destroy(&self->queue_lock);
  pthread_mutex_destroy(&self->plan_lock);
  free(self);
  *device = NULL;
}
