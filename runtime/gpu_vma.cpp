#define VMA_IMPLEMENTATION
#define VMA_STATIC_VULKAN_FUNCTIONS 0
#define VMA_DYNAMIC_VULKAN_FUNCTIONS 1
#define VK_NO_PROTOTYPES
extern "C" {
#include "gpu_vma.h"
}

#include <vk_mem_alloc.h>

hn_status gpu_vma_create(gpu_device *device, hn_error *err) {
  VmaVulkanFunctions functions = {};
  functions.vkGetInstanceProcAddr = vkGetInstanceProcAddr;
  functions.vkGetDeviceProcAddr = vkGetDeviceProcAddr;
  VmaAllocatorCreateInfo info = {};
  info.flags = VMA_ALLOCATOR_CREATE_BUFFER_DEVICE_ADDRESS_BIT;
  if (device->info.has_memory_budget)
    info.flags |= VMA_ALLOCATOR_CREATE_EXT_MEMORY_BUDGET_BIT;
  info.physicalDevice = device->physical;
  info.device = device->device;
  info.instance = device->instance->instance;
  info.vulkanApiVersion = VK_API_VERSION_1_3;
  info.pVulkanFunctions = &functions;
  VkResult result = vmaCreateAllocator(&info, &device->allocator);
  if (result == VK_SUCCESS)
    return HN_OK;
  device->allocator = nullptr;
  return hn_fail_vk(err, gpu_status(result), result, "%s: no memory allocator", device->info.name);
}

void gpu_vma_destroy(gpu_device *device) {
  if (device->allocator)
    vmaDestroyAllocator(device->allocator);
  device->allocator = nullptr;
}

// The host's memory alone, where the device has its own: VMA would fall back on what the CPU can see of the device's. 0: any.
static uint32_t host_types(const gpu_device *device) {
  const VkPhysicalDeviceMemoryProperties *properties = nullptr;
  uint32_t types = 0;
  vmaGetMemoryProperties(device->allocator, &properties);
  for (uint32_t i = 0; !device->info.unified && i < properties->memoryTypeCount; i++)
    if (!(properties->memoryTypes[i].propertyFlags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT))
      types |= 1u << i;
  return types;
}

static VmaAllocationCreateInfo allocation_info(const gpu_device *device, gpu_memory_kind kind) {
  VmaAllocationCreateInfo info = {};
  info.flags = VMA_ALLOCATION_CREATE_DEDICATED_MEMORY_BIT; // few and large, and exactly what was planned
  switch (kind) {
  case GPU_MEMORY_DEVICE:
    info.requiredFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    if (device->info.unified) {
      info.requiredFlags |= VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
      info.flags |= VMA_ALLOCATION_CREATE_MAPPED_BIT;
    }
    break;
  case GPU_MEMORY_HOST:
    info.requiredFlags = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    info.flags |= VMA_ALLOCATION_CREATE_MAPPED_BIT;
    break;
  case GPU_MEMORY_READBACK:
    info.requiredFlags = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    info.preferredFlags = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    info.flags |= VMA_ALLOCATION_CREATE_MAPPED_BIT;
    break;
  }
  if (kind != GPU_MEMORY_DEVICE)
    info.memoryTypeBits = host_types(device);
  return info;
}

VkResult gpu_vma_create_buffer(gpu_device *device, gpu_memory_kind kind, uint64_t bytes, const char *name, gpu_buffer *out) {
  VkBufferCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = bytes;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
               VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  VmaAllocationCreateInfo allocation = allocation_info(device, kind);
  VmaAllocationInfo got = {};
  VkResult result = vmaCreateBuffer(device->allocator, &info, &allocation, &out->handle, &out->allocation, &got);
  if (result != VK_SUCCESS)
    return result;
  out->mapped = got.pMappedData;
  out->allocated = got.size > bytes ? got.size : bytes;
  vmaSetAllocationName(device->allocator, out->allocation, name);
  return VK_SUCCESS;
}

void gpu_vma_destroy_buffer(gpu_device *device, gpu_buffer *buffer) {
  vmaDestroyBuffer(device->allocator, buffer->handle, buffer->allocation);
}
