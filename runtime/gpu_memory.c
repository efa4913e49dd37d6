#include <inttypes.h>

#include "gpu_vma.h"

static void count(gpu_device *device, const gpu_buffer *buffer, bool added) {
  if (buffer->kind != GPU_MEMORY_DEVICE)
    return;
  pthread_mutex_lock(&device->queue_lock);
  device->buffer_bytes += added ? buffer->bytes : -buffer->bytes;
  if (device->buffer_bytes > device->peak_buffer_bytes)
    device->peak_buffer_bytes = device->buffer_bytes;
  pthread_mutex_unlock(&device->queue_lock);
}

hn_status gpu_buffer_init(gpu_device *device, gpu_memory_kind kind, uint64_t bytes, const char *name, gpu_buffer *out,
                          hn_error *err) {
  *out = (gpu_buffer){0};
  if (bytes > device->info.max_allocation_bytes)
    return hn_fail(err, HN_ERROR_OUT_OF_DEVICE_MEMORY, "%s allocates at most %" PRIu64 " MiB at once: %s needs %" PRIu64 " MiB",
                   device->info.name, device->info.max_allocation_bytes >> 20, name, (bytes >> 20) + 1);
  VkResult result = gpu_vma_create_buffer(device, kind, bytes, name, out);
  if (result) {
    *out = (gpu_buffer){0};
    return hn_fail_vk(err, gpu_status(result), result, "%s has no memory for %s (%" PRIu64 " MiB)", device->info.name, name,
                      (bytes >> 20) + 1);
  }
  out->bytes = bytes;
  out->kind = kind;
  count(device, out, true);
  out->address = device->vk.vkGetBufferDeviceAddress(
      device->device,
      &(VkBufferDeviceAddressInfo){.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = out->handle});
  if (out->address == 0 || out->address % 16 != 0) {
    gpu_buffer_finish(device, out);
    return hn_fail(err, HN_ERROR_VULKAN, "%s gave %s an address that is no multiple of 16", device->info.name, name);
  }
  return HN_OK;
}

void gpu_buffer_finish(gpu_device *device, gpu_buffer *buffer) {
  if (buffer->handle && !gpu_device_stuck(device)) {
    gpu_vma_destroy_buffer(device, buffer);
    count(device, buffer, false);
  }
  *buffer = (gpu_buffer){0};
}
