#include "gpu_info.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shaders/shared.h"
#include "gpu_coopmat.h"

enum { MIN_INVOCATIONS = 256, MIN_SHARED_BYTES = 32768 };

uint32_t gpu_info_queue_family(VkPhysicalDevice physical) {
  VkQueueFamilyProperties families[32];
  uint32_t n = sizeof families / sizeof *families, found = UINT32_MAX;
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
  for (uint32_t i = 0; i < n; i++) {
    if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT))
      continue;
    if (!(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))
      return i;
    if (found == UINT32_MAX)
      found = i;
  }
  return found;
}

bool gpu_info_has_extension(VkPhysicalDevice physical, const char *name) {
  uint32_t n = 0;
  bool found = false;
  if (vkEnumerateDeviceExtensionProperties(physical, NULL, &n, NULL) || n == 0)
    return false;
  VkExtensionProperties *list = calloc(n, sizeof *list);
  if (list && vkEnumerateDeviceExtensionProperties(physical, NULL, &n, list) >= 0)
    for (uint32_t i = 0; i < n && !found; i++)
      found = strcmp(list[i].extensionName, name) == 0;
  free(list);
  return found;
}

static hn_device_type device_type(VkPhysicalDeviceType type) {
  switch (type) {
  case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return HN_DEVICE_DISCRETE;
  case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return HN_DEVICE_INTEGRATED;
  case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return HN_DEVICE_VIRTUAL;
  case VK_PHYSICAL_DEVICE_TYPE_CPU: return HN_DEVICE_SOFTWARE;
  default: return HN_DEVICE_OTHER;
  }
}

static void read_memory(VkPhysicalDevice physical, hn_device_info *out) {
  VkPhysicalDeviceMemoryProperties memory;
  vkGetPhysicalDeviceMemoryProperties(physical, &memory);
  out->unified = out->type != HN_DEVICE_DISCRETE;
  for (uint32_t i = 0; i < memory.memoryHeapCount; i++) {
    bool local = memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT, visible = false;
    uint64_t *largest = local ? &out->device_memory : &out->host_memory;
    if (memory.memoryHeaps[i].size > *largest)
      *largest = memory.memoryHeaps[i].size;
    for (uint32_t t = 0; t < memory.memoryTypeCount; t++)
      visible |= memory.memoryTypes[t].heapIndex == i &&
                 (memory.memoryTypes[t].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT);
    out->unified &= !local || visible;
  }
}

void gpu_info_memory(VkPhysicalDevice physical, const hn_device_info *info, hn_memory *out) {
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
  memory.pNext = info->has_memory_budget ? &budget : NULL;
  vkGetPhysicalDeviceMemoryProperties2(physical, &memory);
  *out = (hn_memory){.max_allocation_bytes = info->max_allocation_bytes, .unified = info->unified};
  for (uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; i++) {
    VkMemoryHeap heap = memory.memoryProperties.memoryHeaps[i];
    VkDeviceSize left = heap.size;
    if (info->has_memory_budget)
      left = budget.heapBudget[i] > budget.heapUsage[i] ? budget.heapBudget[i] - budget.heapUsage[i] : 0;
    left = left < heap.size ? left : heap.size;
    if (!(heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) {
      out->host_free = left > out->host_free ? left : out->host_free;
    } else if (heap.size > out->device_bytes) {
      out->device_bytes = heap.size;
      out->device_free = left;
    }
  }
  if (info->unified)
    out->host_free = 0;
}

static void read_features(VkPhysicalDevice physical, hn_device_info *out) {
  VkPhysicalDeviceVulkan13Features v13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
  VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &v13};
  VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v12};
  vkGetPhysicalDeviceFeatures2(physical, &features);
  out->has_buffer_device_address = v12.bufferDeviceAddress;
  out->has_timeline_semaphore = v12.timelineSemaphore;
  out->has_synchronization2 = v13.synchronization2;
  out->has_integer_dot_product = v13.shaderIntegerDotProduct;
  out->has_maintenance4 = v13.maintenance4;
  out->has_subgroup_size_control = v13.subgroupSizeControl && v13.computeFullSubgroups;
}

/* Whether workgroups of 256 invocations may consist of subgroups of the smallest size, whichever a driver likes best. */
static bool smallest_is_allowed(const VkPhysicalDeviceVulkan13Properties *v13) {
  bool fixed = v13->minSubgroupSize == v13->maxSubgroupSize;
  return v13->minSubgroupSize && (fixed || v13->requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
         (uint64_t)v13->maxComputeWorkgroupSubgroups * v13->minSubgroupSize >= MIN_INVOCATIONS;
}

static void read_properties(VkPhysicalDevice physical, hn_device_info *out) {
  VkPhysicalDeviceVulkan13Properties v13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES};
  VkPhysicalDeviceVulkan12Properties v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES, .pNext = &v13};
  VkPhysicalDeviceVulkan11Properties v11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES, .pNext = &v12};
  VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &v11};
  vkGetPhysicalDeviceProperties2(physical, &properties);
  snprintf(out->driver, sizeof out->driver, "%s %s", v12.driverName, v12.driverInfo);
  out->subgroup_size = v11.subgroupSize;
  out->min_subgroup_size = v13.minSubgroupSize;
  out->max_subgroup_size = v13.maxSubgroupSize;
  out->has_subgroup_size_control = out->has_subgroup_size_control && smallest_is_allowed(&v13);
  out->max_allocation_bytes = v11.maxMemoryAllocationSize < v13.maxBufferSize ? v11.maxMemoryAllocationSize : v13.maxBufferSize;
  out->fast_integer_dot_product = v13.integerDotProduct4x8BitPackedSignedAccelerated;
}

/* int8 matrices with int32 sums of a subgroup that fit into the tiles of tuning.c: some number along a granule of weights, along the rows of a
 * subgroup and along 16 tokens. */
static bool fits(const coopmat_properties *p, uint32_t subgroup_size) {
  return p->AType == COOPMAT_SINT8 && p->BType == COOPMAT_SINT8 && p->CType == COOPMAT_SINT32 && p->ResultType == COOPMAT_SINT32 &&
         !p->saturatingAccumulation && p->scope == COOPMAT_SUBGROUP && p->KSize >= 8 && ACT_BLOCK % p->KSize == 0 && p->MSize &&
         subgroup_size % p->MSize == 0 && p->NSize && 16 % p->NSize == 0;
}

/* Whether there are sums of floats in this shape, too: what the integers are scaled in. */
static bool has_floats(const coopmat_properties *list, uint32_t n, const coopmat_properties *shape) {
  for (const coopmat_properties *p = list; p < list + n; p++)
    if (p->MSize == shape->MSize && p->NSize == shape->NSize && p->scope == COOPMAT_SUBGROUP &&
        (p->CType == COOPMAT_FLOAT32 || p->ResultType == COOPMAT_FLOAT32))
      return true;
  return false;
}

static bool has_matrices(VkPhysicalDevice physical) {
  coopmat_features matrices = {.sType = (VkStructureType)COOPMAT_FEATURES_TYPE};
  VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &matrices};
  VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v12};
  if (!gpu_info_has_extension(physical, COOPMAT_EXTENSION))
    return false;
  vkGetPhysicalDeviceFeatures2(physical, &features);
  return matrices.cooperativeMatrix && v12.vulkanMemoryModel && v12.vulkanMemoryModelDeviceScope && v12.shaderInt8;
}

/* The largest shape; none where there is no memory to ask, since it is never needed. Those of lavapipe are right in subgroups of 8; in others it
 * ends the process. */
static void read_matrix(VkInstance instance, VkPhysicalDevice physical, hn_device_info *out) {
  if ((out->type == HN_DEVICE_SOFTWARE && out->subgroup_size != 8) || !out->has_subgroup_size_control || !has_matrices(physical))
    return;
  get_coopmat_properties get = (get_coopmat_properties)vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
  uint32_t n = 0;
  if (!get || get(physical, &n, NULL) || n == 0)
    return;
  coopmat_properties *list = calloc(n, sizeof *list);
  for (uint32_t i = 0; list && i < n; i++)
    list[i].sType = (VkStructureType)COOPMAT_PROPERTIES_TYPE;
  if (list && get(physical, &n, list) >= 0)
    for (uint32_t i = 0; i < n; i++) {
      const coopmat_properties *p = &list[i];
      bool larger = (uint64_t)p->MSize * p->NSize * p->KSize > (uint64_t)out->matrix_m * out->matrix_n * out->matrix_k;
      if (!larger || !fits(p, out->min_subgroup_size) || !has_floats(list, n, p))
        continue;
      out->matrix_m = p->MSize;
      out->matrix_n = p->NSize;
      out->matrix_k = p->KSize;
    }
  free(list);
}

/* Appends to a list separated by ", ". */
static void add_lack(hn_device_info *out, bool lacking, const char *format, ...) {
  size_t n = strlen(out->lacks);
  va_list args;
  if (!lacking || n + 3 >= sizeof out->lacks)
    return;
  n += (size_t)snprintf(out->lacks + n, sizeof out->lacks - n, "%s", n ? ", " : "");
  va_start(args, format);
  vsnprintf(out->lacks + n, sizeof out->lacks - n, format, args);
  va_end(args);
}

static void judge(VkPhysicalDevice physical, hn_device_info *out) {
  uint32_t version = out->vulkan_version;
  add_lack(out, version < VK_API_VERSION_1_3, "Vulkan 1.3 (has %u.%u)", (unsigned)VK_API_VERSION_MAJOR(version),
           (unsigned)VK_API_VERSION_MINOR(version));
  if (version >= VK_API_VERSION_1_3) {
    add_lack(out, !out->has_buffer_device_address, "bufferDeviceAddress");
    add_lack(out, !out->has_synchronization2, "synchronization2");
    add_lack(out, !out->has_timeline_semaphore, "timelineSemaphore");
    add_lack(out, !out->has_integer_dot_product, "shaderIntegerDotProduct");
    add_lack(out, !out->has_maintenance4, "maintenance4");
  }
  add_lack(out, out->max_workgroup_invocations < MIN_INVOCATIONS, "workgroups of %d invocations (has %u)", MIN_INVOCATIONS,
           (unsigned)out->max_workgroup_invocations);
  add_lack(out, out->shared_memory_bytes < MIN_SHARED_BYTES, "%d bytes of shared memory (has %u)", MIN_SHARED_BYTES,
           (unsigned)out->shared_memory_bytes);
  add_lack(out, out->push_constant_bytes < GPU_PUSH_BYTES, "%d bytes of push constants (has %u)", GPU_PUSH_BYTES,
           (unsigned)out->push_constant_bytes);
  add_lack(out, gpu_info_queue_family(physical) == UINT32_MAX, "a queue for compute");
  out->usable = out->lacks[0] == 0;
}

void gpu_info_read(VkInstance instance, VkPhysicalDevice physical, hn_device_info *out) {
  VkPhysicalDeviceProperties properties;
  vkGetPhysicalDeviceProperties(physical, &properties);
  *out = (hn_device_info){
      .type = device_type(properties.deviceType),
      .vulkan_version = properties.apiVersion,
      .vendor_id = properties.vendorID,
      .device_id = properties.deviceID,
      .max_workgroup_invocations = properties.limits.maxComputeWorkGroupInvocations,
      .shared_memory_bytes = properties.limits.maxComputeSharedMemorySize,
      .push_constant_bytes = properties.limits.maxPushConstantsSize,
      .has_memory_budget = gpu_info_has_extension(physical, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME),
  };
  if (properties.limits.maxComputeWorkGroupSize[0] < out->max_workgroup_invocations)
    out->max_workgroup_invocations = properties.limits.maxComputeWorkGroupSize[0];
  snprintf(out->name, sizeof out->name, "%s", properties.deviceName);
  read_memory(physical, out);
  if (out->vulkan_version >= VK_API_VERSION_1_3) {
    read_features(physical, out);
    read_properties(physical, out);
    read_matrix(instance, physical, out);
  }
  judge(physical, out);
}
