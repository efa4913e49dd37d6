#include "gpu.h"

#include <stdlib.h>

#define WAIT_NS 60000000000ull
#define SOFTWARE_WAIT_NS 600000000000ull /* a CPU that plays a GPU */
#define DESTROY_WAIT_NS 5000000000ull /* what is in flight when a session is destroyed */

static VkResult make_recording(gpu_cmd *self, uint32_t which) {
  gpu_device *d = self->device;
  VkCommandPoolCreateInfo pool = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
      .flags = which < self->n_kept ? 0 : VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
      .queueFamilyIndex = d->queue_family,
  };
  VkResult result = d->vk.vkCreateCommandPool(d->device, &pool, NULL, &self->recordings[which].pool);
  if (result) {
    self->recordings[which].pool = VK_NULL_HANDLE; /* Vulkan leaves it undefined */
    return result;
  }
  VkCommandBufferAllocateInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
      .commandPool = self->recordings[which].pool,
      .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
      .commandBufferCount = 1,
  };
  return d->vk.vkAllocateCommandBuffers(d->device, &info, &self->recordings[which].handle);
}

static hn_status make(gpu_cmd *self, hn_error *err) {
  gpu_device *d = self->device;
  VkSemaphoreTypeCreateInfo type = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO, .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
  VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
  VkResult result = d->vk.vkCreateSemaphore(d->device, &semaphore, NULL, &self->timeline);
  if (result)
    self->timeline = VK_NULL_HANDLE;
  for (uint32_t i = 0; i <= self->n_kept && !result; i++)
    result = make_recording(self, i);
  if (result)
    return hn_fail_vk(err, gpu_status(result), result, "%s: no command buffer", d->info.name);
  return HN_OK;
}

hn_status gpu_cmd_create(gpu_device *device, uint32_t n_kept, gpu_cmd **out, hn_error *err) {
  *out = NULL;
  gpu_cmd *self = calloc(1, sizeof *self);
  if (!self)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a command buffer");
  self->device = device;
  self->n_kept = n_kept;
  hn_status status = make(self, err);
  if (status)
    gpu_cmd_destroy(&self);
  *out = self;
  return status;
}

static VkResult wait_for(gpu_cmd *self, uint64_t value, uint64_t timeout_ns) {
  VkSemaphoreWaitInfo info = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
      .semaphoreCount = 1,
      .pSemaphores = &self->timeline,
      .pValues = &value,
  };
  return self->device->vk.vkWaitSemaphores(self->device->device, &info, timeout_ns);
}

/* Whether something may be in flight that does not end in time. A wait that fails otherwise, without memory say, proves nothing. */
static bool runs_on(gpu_cmd *self) {
  if (self->done == self->submitted)
    return false;
  VkResult result = wait_for(self, self->submitted, DESTROY_WAIT_NS);
  return result != VK_SUCCESS && result != VK_ERROR_DEVICE_LOST;
}

void gpu_cmd_destroy(gpu_cmd **cmd) {
  gpu_cmd *self = *cmd;
  if (!self)
    return;
  gpu_device *d = self->device;
  if (runs_on(self)) {
    hn_log(&d->instance->logger, HN_LOG_ERROR, "%s does not end its work; its memory is not released", d->info.name);
    pthread_mutex_lock(&d->queue_lock);
    d->stuck = true;
    pthread_mutex_unlock(&d->queue_lock);
  }
  if (self->timeline && !gpu_device_stuck(d))
    d->vk.vkDestroySemaphore(d->device, self->timeline, NULL);
  for (uint32_t i = 0; i <= self->n_kept; i++)
    if (self->recordings[i].pool && !gpu_device_stuck(d))
      d->vk.vkDestroyCommandPool(d->device, self->recordings[i].pool, NULL);
  free(self);
  *cmd = NULL;
}

static void tell(gpu_cmd *self, gpu_event_kind kind, const gpu_launch *launch, const gpu_access *access) {
  if (self->observer.see)
    self->observer.see(self->observer.user, self, &(gpu_event){kind, launch, access});
}

static hn_status check_lost(const gpu_cmd *self, hn_error *err) {
  if (self->lost)
    return hn_fail(err, HN_ERROR_DEVICE_LOST, "%s stopped answering before; load the model again", self->device->info.name);
  return HN_OK;
}

VkCommandBuffer gpu_cmd_handle(const gpu_cmd *self) {
  return self->recordings[self->current].handle;
}

hn_status gpu_cmd_begin_kept(gpu_cmd *self, uint32_t which, hn_error *err) {
  gpu_device *d = self->device;
  hn_status status = check_lost(self, err);
  if (status)
    return status;
  VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                   .flags = which < self->n_kept ? 0 : VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
  self->current = which;
  VkResult result = d->vk.vkResetCommandPool(d->device, self->recordings[which].pool, 0);
  if (!result)
    result = d->vk.vkBeginCommandBuffer(gpu_cmd_handle(self), &info);
  if (result)
    return hn_fail_vk(err, gpu_status(result), result, "%s: a command buffer does not begin", d->info.name);
  tell(self, GPU_EVENT_BEGIN, NULL, NULL);
  return HN_OK;
}

hn_status gpu_cmd_begin(gpu_cmd *self, hn_error *err) {
  return gpu_cmd_begin_kept(self, self->n_kept, err);
}

void gpu_cmd_dispatch(gpu_cmd *self, const gpu_launch *launch, const gpu_access *access) {
  const struct VolkDeviceTable *vk = &self->device->vk;
  vk->vkCmdBindPipeline(gpu_cmd_handle(self), VK_PIPELINE_BIND_POINT_COMPUTE, launch->pipeline->handle);
  vk->vkCmdPushConstants(gpu_cmd_handle(self), launch->pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, launch->push_bytes, launch->push);
  vk->vkCmdDispatch(gpu_cmd_handle(self), launch->x, launch->y, 1);
  tell(self, GPU_EVENT_DISPATCH, launch, access);
}

static uint64_t sum_bytes(const gpu_range *ranges, uint32_t n) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < n; i++)
    sum += ranges[i].bytes * ranges[i].count;
  return sum;
}

uint64_t gpu_access_bytes(const gpu_access *a) {
  return a->least_bytes ? a->least_bytes : sum_bytes(a->reads, a->n_reads) + sum_bytes(a->writes, a->n_writes);
}

/* The host sees what was written only where the flags say so. */
static void barrier(gpu_cmd *self, VkPipelineStageFlags2 host_stage, VkAccessFlags2 host_access) {
  VkMemoryBarrier2 memory = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
      .srcStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT,
      .srcAccessMask = VK_ACCESS_2_SHADER_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT,
      .dstStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT | host_stage,
      .dstAccessMask = VK_ACCESS_2_SHADER_READ_BIT | VK_ACCESS_2_SHADER_WRITE_BIT | VK_ACCESS_2_TRANSFER_READ_BIT |
                       VK_ACCESS_2_TRANSFER_WRITE_BIT | host_access,
  };
  VkDependencyInfo info = {
      .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &memory};
  self->device->vk.vkCmdPipelineBarrier2(gpu_cmd_handle(self), &info);
}

void gpu_cmd_barrier(gpu_cmd *self) {
  barrier(self, 0, 0);
  tell(self, GPU_EVENT_BARRIER, NULL, NULL);
}

void gpu_cmd_copy(gpu_cmd *self, const gpu_buffer *from, uint64_t from_offset, const gpu_buffer *to, uint64_t to_offset,
                  uint64_t bytes) {
  VkBufferCopy region = {.srcOffset = from_offset, .dstOffset = to_offset, .size = bytes};
  self->device->vk.vkCmdCopyBuffer(gpu_cmd_handle(self), from->handle, to->handle, 1, &region);
  gpu_access access = {.reads = {{from->address + from_offset, bytes, 0, 1}}, .n_reads = 1,
                       .writes = {{to->address + to_offset, bytes, 0, 1}}, .n_writes = 1};
  tell(self, GPU_EVENT_COPY, NULL, &access);
}

void gpu_cmd_fill(gpu_cmd *self, const gpu_buffer *buffer, uint64_t offset, uint64_t bytes, uint32_t word) {
  self->device->vk.vkCmdFillBuffer(gpu_cmd_handle(self), buffer->handle, offset, bytes, word);
  gpu_access access = {.writes = {{buffer->address + offset, bytes, 0, 1}}, .n_writes = 1};
  tell(self, GPU_EVENT_FILL, NULL, &access);
}

static VkResult submit(gpu_cmd *self) {
  gpu_device *d = self->device;
  VkCommandBufferSubmitInfo commands = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO, .commandBuffer = gpu_cmd_handle(self)};
  VkSemaphoreSubmitInfo signal = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
      .semaphore = self->timeline,
      .value = self->submitted + 1,
      .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
  };
  VkSubmitInfo2 info = {
      .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
      .commandBufferInfoCount = 1,
      .pCommandBufferInfos = &commands,
      .signalSemaphoreInfoCount = 1,
      .pSignalSemaphoreInfos = &signal,
  };
  pthread_mutex_lock(&d->queue_lock);
  VkResult result = d->vk.vkQueueSubmit2(d->queue, 1, &info, VK_NULL_HANDLE);
  pthread_mutex_unlock(&d->queue_lock);
  if (!result)
    self->submitted++;
  return result;
}

uint64_t gpu_wait_limit_ns(const gpu_device *device) {
  return device->info.type == HN_DEVICE_SOFTWARE ? SOFTWARE_WAIT_NS : WAIT_NS;
}

/* What failed leaves the command buffer lost. */
static hn_status fail_work(gpu_cmd *self, VkResult result, hn_error *err) {
  self->lost = true;
  return hn_fail_vk(err, gpu_status(result), result, "%s: the work was not done (VkResult %d); load the model again",
                    self->device->info.name, (int)result);
}

static hn_status hand_in(gpu_cmd *self, hn_error *err) {
  VkResult result = submit(self);
  if (result)
    return fail_work(self, result, err);
  tell(self, GPU_EVENT_SUBMIT, NULL, NULL);
  return HN_OK;
}

hn_status gpu_cmd_submit(gpu_cmd *self, hn_error *err) {
  barrier(self, VK_PIPELINE_STAGE_2_HOST_BIT, VK_ACCESS_2_HOST_READ_BIT);
  VkResult result = self->device->vk.vkEndCommandBuffer(gpu_cmd_handle(self));
  return result ? fail_work(self, result, err) : hand_in(self, err);
}

hn_status gpu_cmd_submit_again(gpu_cmd *self, uint32_t which, hn_error *err) {
  hn_status status = check_lost(self, err);
  if (status)
    return status;
  self->current = which;
  return hand_in(self, err);
}

hn_status gpu_cmd_wait_for(gpu_cmd *self, uint64_t value, uint64_t timeout_ns, hn_error *err) {
  VkResult result = wait_for(self, value, timeout_ns);
  if (result && result != VK_TIMEOUT)
    return fail_work(self, result, err);
  if (!result) {
    self->done = value;
    tell(self, GPU_EVENT_WAITED, NULL, NULL);
    return HN_OK;
  }
  self->lost = true;
  return hn_fail_vk(err, HN_ERROR_TIMEOUT, result, "%s did not finish within %.0f s; load the model again", self->device->info.name,
                    (double)timeout_ns * 1e-9);
}

hn_status gpu_cmd_wait(gpu_cmd *self, uint64_t timeout_ns, hn_error *err) {
  return gpu_cmd_wait_for(self, self->submitted, timeout_ns, err);
}

hn_status gpu_cmd_submit_wait(gpu_cmd *self, uint64_t timeout_ns, hn_error *err) {
  hn_status status = gpu_cmd_submit(self, err);
  return status ? status : gpu_cmd_wait(self, timeout_ns, err);
}
