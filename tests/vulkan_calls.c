#include "vulkan_calls.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/hash.h"

#define UNDEFINED 0x5ADBAD0BADull /* a handle that was never made */
enum { MAX_MEMORIES = 256, MAX_PIPELINES = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows; never held during a call of the driver's */
static vulkan_calls calls;
static struct {
  VkDeviceMemory memory;
  uint64_t bytes;
} memories[MAX_MEMORIES];

static VkDevice kept_device;
static _Thread_local uint64_t last_code; /* a hash of the words of the module this thread made last, which is that of its next pipeline */
static struct {
  uint64_t code; /* a hash */
  VkPipeline pipeline;
} kept[MAX_PIPELINES];
static size_t n_kept;

static uint64_t until_failure = UINT64_MAX; /* calls that still succeed */
static VkResult failure;
static const char *failed;

/* The failure of this call, or VK_SUCCESS. */
static VkResult fails_now(const char *name) {
  VkResult result = VK_SUCCESS;
  pthread_mutex_lock(&lock);
  if (until_failure != UINT64_MAX && until_failure-- == 0) {
    until_failure = UINT64_MAX;
    failed = name;
    result = failure;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

static VkResult count_made(VkResult result) {
  pthread_mutex_lock(&lock);
  calls.n_made += result == VK_SUCCESS;
  calls.n_live += result == VK_SUCCESS;
  pthread_mutex_unlock(&lock);
  return result;
}

static void count_destroyed(bool any) {
  pthread_mutex_lock(&lock);
  calls.n_live -= any;
  pthread_mutex_unlock(&lock);
}

/* ---- calls that make an object, and those that destroy it ---- */

#define OBJECT(kind, make, info_type) \
  static PFN_vk##make##kind real_##make##kind; \
  static PFN_vkDestroy##kind real_Destroy##kind; \
  static VKAPI_ATTR VkResult VKAPI_CALL watched_##make##kind(VkDevice device, const info_type *info, \
                                                             const VkAllocationCallbacks *callbacks, Vk##kind *out) { \
    VkResult result = fails_now("vk" #make #kind); \
    if (result) \
      *out = (Vk##kind)(uintptr_t)UNDEFINED; \
    return count_made(result ? result : real_##make##kind(device, info, callbacks, out)); \
  } \
  static VKAPI_ATTR void VKAPI_CALL watched_Destroy##kind(VkDevice device, Vk##kind object, const VkAllocationCallbacks *callbacks) { \
    count_destroyed(object != VK_NULL_HANDLE); \
    if (object != (Vk##kind)(uintptr_t)UNDEFINED) \
      real_Destroy##kind(device, object, callbacks); \
  }

OBJECT(Buffer, Create, VkBufferCreateInfo)
OBJECT(CommandPool, Create, VkCommandPoolCreateInfo)
OBJECT(PipelineCache, Create, VkPipelineCacheCreateInfo)
OBJECT(PipelineLayout, Create, VkPipelineLayoutCreateInfo)
OBJECT(Semaphore, Create, VkSemaphoreCreateInfo)
OBJECT(ShaderModule, Create, VkShaderModuleCreateInfo)

static PFN_vkCreateComputePipelines real_CreateComputePipelines;
static PFN_vkDestroyPipeline real_DestroyPipeline;
static PFN_vkAllocateMemory real_AllocateMemory;
static PFN_vkFreeMemory real_FreeMemory;
static PFN_vkCreateDevice real_CreateDevice;
static PFN_vkDestroyDevice real_DestroyDevice;

static VKAPI_ATTR VkResult VKAPI_CALL noted_CreateShaderModule(VkDevice device, const VkShaderModuleCreateInfo *info,
                                                               const VkAllocationCallbacks *callbacks, VkShaderModule *out) {
  last_code = hash_bytes(HASH_BEGIN, info->pCode, info->codeSize);
  return watched_CreateShaderModule(device, info, callbacks, out);
}

static VkPipeline find_kept(uint64_t code) {
  VkPipeline found = VK_NULL_HANDLE;
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < n_kept; i++)
    if (kept[i].code == code)
      found = kept[i].pipeline;
  pthread_mutex_unlock(&lock);
  return found;
}

static void keep(uint64_t code, VkPipeline pipeline) {
  pthread_mutex_lock(&lock);
  if (n_kept == MAX_PIPELINES)
    exit(99);
  kept[n_kept].code = code;
  kept[n_kept++].pipeline = pipeline;
  pthread_mutex_unlock(&lock);
}

static VKAPI_ATTR VkResult VKAPI_CALL watched_CreateComputePipelines(VkDevice device, VkPipelineCache cache, uint32_t n,
                                                                     const VkComputePipelineCreateInfo *infos,
                                                                     const VkAllocationCallbacks *callbacks, VkPipeline *out) {
  VkResult result = fails_now("vkCreateComputePipelines");
  *out = VK_NULL_HANDLE;
  if (n != 1)
    exit(99);
  if (!result && (*out = find_kept(last_code)) == VK_NULL_HANDLE && !(result = real_CreateComputePipelines(device, cache, n, infos, callbacks, out)))
    keep(last_code, *out);
  return count_made(result);
}

static VKAPI_ATTR void VKAPI_CALL watched_DestroyPipeline(VkDevice device, VkPipeline object, const VkAllocationCallbacks *callbacks) {
  (void)device;
  (void)callbacks;
  count_destroyed(object != VK_NULL_HANDLE);
}

static void count_memory(VkDeviceMemory memory, uint64_t bytes) {
  size_t i = 0;
  pthread_mutex_lock(&lock);
  while (i < MAX_MEMORIES && memories[i].memory != VK_NULL_HANDLE)
    i++;
  if (i == MAX_MEMORIES)
    exit(99);
  memories[i].memory = memory;
  memories[i].bytes = bytes;
  calls.n_allocations++;
  calls.bytes += bytes;
  calls.peak_bytes = calls.bytes > calls.peak_bytes ? calls.bytes : calls.peak_bytes;
  pthread_mutex_unlock(&lock);
}

static VKAPI_ATTR VkResult VKAPI_CALL watched_AllocateMemory(VkDevice device, const VkMemoryAllocateInfo *info,
                                                             const VkAllocationCallbacks *callbacks, VkDeviceMemory *out) {
  VkResult result = fails_now("vkAllocateMemory");
  if (result) {
    *out = (VkDeviceMemory)(uintptr_t)UNDEFINED;
    return result;
  }
  result = count_made(real_AllocateMemory(device, info, callbacks, out));
  if (!result)
    count_memory(*out, info->allocationSize);
  return result;
}

static VKAPI_ATTR void VKAPI_CALL watched_FreeMemory(VkDevice device, VkDeviceMemory memory, const VkAllocationCallbacks *callbacks) {
  pthread_mutex_lock(&lock);
  calls.n_live -= memory != VK_NULL_HANDLE;
  for (size_t i = 0; i < MAX_MEMORIES; i++)
    if (memory != VK_NULL_HANDLE && memories[i].memory == memory) {
      calls.bytes -= memories[i].bytes;
      memories[i].memory = VK_NULL_HANDLE;
    }
  pthread_mutex_unlock(&lock);
  if (memory != (VkDeviceMemory)(uintptr_t)UNDEFINED)
    real_FreeMemory(device, memory, callbacks);
}

static VKAPI_ATTR VkResult VKAPI_CALL watched_CreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                           const VkAllocationCallbacks *callbacks, VkDevice *out) {
  VkResult result = fails_now("vkCreateDevice");
  if (!result && !kept_device)
    result = real_CreateDevice(physical, info, callbacks, &kept_device);
  *out = kept_device;
  return count_made(result);
}

static VKAPI_ATTR void VKAPI_CALL watched_DestroyDevice(VkDevice device, const VkAllocationCallbacks *callbacks) {
  (void)callbacks;
  count_destroyed(device != VK_NULL_HANDLE);
}

/* ---- others that may run out of memory ---- */

#define OTHER(call, parameters, arguments) \
  static PFN_vk##call real_##call; \
  static VKAPI_ATTR VkResult VKAPI_CALL watched_##call parameters { \
    VkResult result = fails_now("vk" #call); \
    return result ? result : real_##call arguments; \
  }

OTHER(AllocateCommandBuffers, (VkDevice device, const VkCommandBufferAllocateInfo *info, VkCommandBuffer *out), (device, info, out))
OTHER(BeginCommandBuffer, (VkCommandBuffer buffer, const VkCommandBufferBeginInfo *info), (buffer, info))
OTHER(BindBufferMemory, (VkDevice device, VkBuffer buffer, VkDeviceMemory memory, VkDeviceSize offset), (device, buffer, memory, offset))
OTHER(EndCommandBuffer, (VkCommandBuffer buffer), (buffer))
OTHER(GetPipelineCacheData, (VkDevice device, VkPipelineCache cache, size_t *n, void *data), (device, cache, n, data))
OTHER(MapMemory, (VkDevice device, VkDeviceMemory memory, VkDeviceSize offset, VkDeviceSize bytes, VkMemoryMapFlags flags, void **out),
      (device, memory, offset, bytes, flags, out))
OTHER(QueueSubmit2, (VkQueue queue, uint32_t n, const VkSubmitInfo2 *infos, VkFence fence), (queue, n, infos, fence))
OTHER(ResetCommandPool, (VkDevice device, VkCommandPool pool, VkCommandPoolResetFlags flags), (device, pool, flags))
OTHER(WaitSemaphores, (VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout), (device, info, timeout))

/* ---- between the library and the loader ---- */

static PFN_vkGetDeviceProcAddr real_proc;

#define WATCHED_BY(call, watched) \
  if (strcmp(name, "vk" #call) == 0) { \
    real_##call = (PFN_vk##call)real; \
    return (PFN_vkVoidFunction)watched; \
  }
#define WATCHED(call) WATCHED_BY(call, watched_##call)

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL watched_proc(VkDevice device, const char *name) {
  PFN_vkVoidFunction real = real_proc(device, name);
  WATCHED(CreateBuffer)
  WATCHED(DestroyBuffer)
  WATCHED(CreateCommandPool)
  WATCHED(DestroyCommandPool)
  WATCHED(CreatePipelineCache)
  WATCHED(DestroyPipelineCache)
  WATCHED(CreatePipelineLayout)
  WATCHED(DestroyPipelineLayout)
  WATCHED(CreateSemaphore)
  WATCHED(DestroySemaphore)
  WATCHED_BY(CreateShaderModule, noted_CreateShaderModule)
  WATCHED(DestroyShaderModule)
  WATCHED(CreateComputePipelines)
  WATCHED(DestroyPipeline)
  WATCHED(AllocateMemory)
  WATCHED(FreeMemory)
  WATCHED(DestroyDevice)
  WATCHED(AllocateCommandBuffers)
  WATCHED(BeginCommandBuffer)
  WATCHED(BindBufferMemory)
  WATCHED(EndCommandBuffer)
  WATCHED(GetPipelineCacheData)
  WATCHED(MapMemory)
  WATCHED(QueueSubmit2)
  WATCHED(ResetCommandPool)
  WATCHED(WaitSemaphores)
  return real;
}

void vulkan_calls_finish(void) {
  while (n_kept > 0)
    real_DestroyPipeline(kept_device, kept[--n_kept].pipeline, NULL);
  if (kept_device)
    real_DestroyDevice(kept_device, NULL);
  kept_device = VK_NULL_HANDLE;
}

void vulkan_calls_watch(void) {
  real_proc = vkGetDeviceProcAddr;
  real_CreateDevice = vkCreateDevice;
  vkGetDeviceProcAddr = watched_proc;
  vkCreateDevice = watched_CreateDevice;
}

vulkan_calls vulkan_calls_count(void) {
  return calls;
}

void vulkan_calls_reset_peak(void) {
  calls.peak_bytes = calls.bytes;
}

void vulkan_calls_fail(uint64_t n, VkResult result) {
  failed = NULL;
  failure = result;
  until_failure = n;
}

void vulkan_calls_succeed(void) {
  until_failure = UINT64_MAX;
}

const char *vulkan_calls_failed(void) {
  return failed;
}
