/*
 * fault_layer.c: a Vulkan layer that makes one function fail, so that tests see what follows. The function is named by
 * HORNITO_FAULT: submit (vkQueueSubmit2 gives DEVICE_LOST), wait (vkWaitSemaphores gives TIMEOUT), memory (vkAllocateMemory
 * gives OUT_OF_DEVICE_MEMORY), pipeline (vkCreateComputePipelines gives OUT_OF_HOST_MEMORY). HORNITO_FAULT_AFTER calls, by
 * default 0, go through first. Or makes shaders compute something else: HORNITO_FAULT_SHADERS, paths of their modules with ":" between.
 * Built for the loader's layer interface, version 2.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>

#include "../spirv_fault.h"

#define EXPORT __attribute__((visibility("default")))

static PFN_vkGetInstanceProcAddr next_instance;
static PFN_vkGetDeviceProcAddr next_device;
static PFN_vkQueueSubmit2 next_submit;
static PFN_vkWaitSemaphores next_wait;
static PFN_vkAllocateMemory next_allocate;
static PFN_vkCreateComputePipelines next_pipelines;
static PFN_vkCreateShaderModule next_shader;

static int fails(const char *what) { /* one thread calls at a time in the tests */
  static long calls;
  const char *fault = getenv("HORNITO_FAULT"), *after = getenv("HORNITO_FAULT_AFTER");
  if (!fault || strcmp(fault, what) != 0)
    return 0;
  return calls++ >= (after ? strtol(after, NULL, 10) : 0);
}

static VKAPI_ATTR VkResult VKAPI_CALL fault_submit(VkQueue queue, uint32_t n, const VkSubmitInfo2 *infos, VkFence fence) {
  return fails("submit") ? VK_ERROR_DEVICE_LOST : next_submit(queue, n, infos, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL fault_wait(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout) {
  return fails("wait") ? VK_TIMEOUT : next_wait(device, info, timeout);
}

static VKAPI_ATTR VkResult VKAPI_CALL fault_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                                     const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory) {
  return fails("memory") ? VK_ERROR_OUT_OF_DEVICE_MEMORY : next_allocate(device, info, callbacks, memory);
}

static VKAPI_ATTR VkResult VKAPI_CALL fault_pipelines(VkDevice device, VkPipelineCache cache, uint32_t n,
                                                      const VkComputePipelineCreateInfo *infos,
                                                      const VkAllocationCallbacks *callbacks, VkPipeline *pipelines) {
  return fails("pipeline") ? VK_ERROR_OUT_OF_HOST_MEMORY : next_pipelines(device, cache, n, infos, callbacks, pipelines);
}

static bool is_content(const char *path, const void *data, size_t n) {
  unsigned char *content = malloc(n + 1);
  FILE *file = fopen(path, "rb");
  bool same = content && file && fread(content, 1, n + 1, file) == n && memcmp(content, data, n) == 0;
  if (file)
    fclose(file);
  free(content);
  return same;
}

static bool is_faulty(const VkShaderModuleCreateInfo *info) {
  const char *list = getenv("HORNITO_FAULT_SHADERS");
  char *paths = list ? strdup(list) : NULL, *rest = NULL;
  bool found = false;
  for (char *path = paths ? strtok_r(paths, ":", &rest) : NULL; path && !found; path = strtok_r(NULL, ":", &rest))
    found = is_content(path, info->pCode, info->codeSize);
  free(paths);
  return found;
}

static VKAPI_ATTR VkResult VKAPI_CALL fault_shader(VkDevice device, const VkShaderModuleCreateInfo *info,
                                                   const VkAllocationCallbacks *callbacks, VkShaderModule *module) {
  VkShaderModuleCreateInfo other = *info;
  uint32_t *words = is_faulty(info) ? spirv_fault_copy(info->pCode, info->codeSize / 4) : NULL;
  if (words)
    other.pCode = words;
  VkResult result = next_shader(device, &other, callbacks, module);
  free(words);
  return result;
}

/* The next layer's entry in the chain of a create call. */
static void *link_info(const void *chain, VkStructureType type) {
  const VkLayerInstanceCreateInfo *info = chain; /* both kinds begin alike */
  while (info && (info->sType != type || info->function != VK_LAYER_LINK_INFO))
    info = info->pNext;
  return (void *)(uintptr_t)info;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *callbacks,
                                                      VkInstance *instance) {
  VkLayerInstanceCreateInfo *link = link_info(info->pNext, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
  if (!link)
    return VK_ERROR_INITIALIZATION_FAILED;
  next_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  PFN_vkCreateInstance create = (PFN_vkCreateInstance)next_instance(NULL, "vkCreateInstance");
  return create(info, callbacks, instance);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *callbacks, VkDevice *device) {
  VkLayerDeviceCreateInfo *link = link_info(info->pNext, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
  if (!link)
    return VK_ERROR_INITIALIZATION_FAILED;
  PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  next_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  PFN_vkCreateDevice create = (PFN_vkCreateDevice)next(NULL, "vkCreateDevice");
  VkResult result = create(physical, info, callbacks, device);
  if (result)
    return result;
  next_submit = (PFN_vkQueueSubmit2)next_device(*device, "vkQueueSubmit2");
  next_wait = (PFN_vkWaitSemaphores)next_device(*device, "vkWaitSemaphores");
  next_allocate = (PFN_vkAllocateMemory)next_device(*device, "vkAllocateMemory");
  next_pipelines = (PFN_vkCreateComputePipelines)next_device(*device, "vkCreateComputePipelines");
  next_shader = (PFN_vkCreateShaderModule)next_device(*device, "vkCreateShaderModule");
  return VK_SUCCESS;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char *name);
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char *name);

static PFN_vkVoidFunction own(const char *name) {
  static const struct {
    const char *name;
    PFN_vkVoidFunction fn;
  } all[] = {
      {"vkGetInstanceProcAddr", (PFN_vkVoidFunction)instance_proc},
      {"vkGetDeviceProcAddr", (PFN_vkVoidFunction)device_proc},
      {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
      {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
      {"vkQueueSubmit2", (PFN_vkVoidFunction)fault_submit},
      {"vkWaitSemaphores", (PFN_vkVoidFunction)fault_wait},
      {"vkAllocateMemory", (PFN_vkVoidFunction)fault_allocate},
      {"vkCreateComputePipelines", (PFN_vkVoidFunction)fault_pipelines},
      {"vkCreateShaderModule", (PFN_vkVoidFunction)fault_shader},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(all[i].name, name) == 0)
      return all[i].fn;
  return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char *name) {
  PFN_vkVoidFunction fn = own(name);
  return fn ? fn : next_device(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char *name) {
  PFN_vkVoidFunction fn = own(name);
  return fn ? fn : next_instance ? next_instance(instance, name) : NULL;
}

EXPORT VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
  interface->loaderLayerInterfaceVersion = 2;
  interface->pfnGetInstanceProcAddr = instance_proc;
  interface->pfnGetDeviceProcAddr = device_proc;
  interface->pfnGetPhysicalDeviceProcAddr = NULL;
  return VK_SUCCESS;
}
