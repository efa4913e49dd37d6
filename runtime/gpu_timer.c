#include "gpu_timer.h"

#include <stdlib.h>

static uint32_t timestamp_bits(const gpu_device *device) {
  VkQueueFamilyProperties families[32]; /* as gpu_info_queue_family, which chose among them */
  uint32_t n = sizeof families / sizeof *families;
  vkGetPhysicalDeviceQueueFamilyProperties(device->physical, &n, families);
  return device->queue_family < n ? families[device->queue_family].timestampValidBits : 0;
}

hn_status gpu_timer_init(gpu_device *device, uint32_t capacity, gpu_timer *out, hn_error *err) {
  *out = (gpu_timer){.device = device, .capacity = capacity};
  uint32_t bits = timestamp_bits(device);
  VkPhysicalDeviceProperties properties;
  vkGetPhysicalDeviceProperties(device->physical, &properties);
  if (bits == 0)
    return HN_OK;
  out->mask = bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;
  out->ns_per_tick = (double)properties.limits.timestampPeriod;
  VkQueryPoolCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = capacity};
  VkResult result = device->vk.vkCreateQueryPool(device->device, &info, NULL, &out->pool);
  if (!result)
    return HN_OK;
  out->pool = VK_NULL_HANDLE;
  return hn_fail_vk(err, gpu_status(result), result, "%s gives no timestamps", device->info.name);
}

void gpu_timer_finish(gpu_timer *timer) {
  if (timer->pool && !gpu_device_stuck(timer->device))
    timer->device->vk.vkDestroyQueryPool(timer->device->device, timer->pool, NULL);
  *timer = (gpu_timer){0};
}

void gpu_timer_reset(gpu_timer *timer, gpu_cmd *cmd) {
  timer->n = 0;
  if (timer->pool)
    timer->device->vk.vkCmdResetQueryPool(gpu_cmd_handle(cmd), timer->pool, 0, timer->capacity);
}

void gpu_timer_stamp(gpu_timer *timer, gpu_cmd *cmd) {
  if (timer->pool && timer->n < timer->capacity)
    timer->device->vk.vkCmdWriteTimestamp2(gpu_cmd_handle(cmd), VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, timer->pool, timer->n++);
}

bool gpu_timer_read(const gpu_timer *timer, double *ns) {
  if (!timer->pool || timer->n == 0)
    return false;
  uint64_t *ticks = calloc(timer->n, sizeof *ticks);
  if (!ticks)
    return false;
  VkResult result = timer->device->vk.vkGetQueryPoolResults(timer->device->device, timer->pool, 0, timer->n, timer->n * sizeof *ticks,
                                                            ticks, sizeof *ticks, VK_QUERY_RESULT_64_BIT);
  for (uint32_t i = 0; i < timer->n && !result; i++)
    ns[i] = (double)((ticks[i] - ticks[0]) & timer->mask) * timer->ns_per_tick;
  free(ticks);
  return !result;
}
