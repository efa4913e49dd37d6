#include <inttypes.h>

#include "gpu_vma.h"

/* False where the device's limit has no room. */
static bool reserve(gpu_device *device, gpu_memory_kind kind, uint64_t bytes) {
  bool fits = true;
  pthread_mutex_lock(&device->queue_lock);
  if (kind != GPU_MEMORY_DEVICE) {
    device->host_bytes += bytes;
  } else {
    fits = !device->limit_bytes || (bytes <= device->limit_bytes && device->buffer_bytes <= device->limit_bytes - bytes);
    device->buffer_bytes += fits ? bytes : 0;
    if (device->buffer_bytes > device->peak_buffer_bytes)
      device->peak_buffer_bytes = device->buffer_bytes;
  }
  pthread_mutex_unlock(&device->queue_lock);
  return fits;
}

static void release(gpu_device *device, gpu_memory_kind kind, uint64_t bytes) {
  pthread_mutex_lock(&device->queue_lock);
  *(kind == GPU_MEMORY_DEVICE ? &device->buffer_bytes : &device->host_bytes) -= bytes;
  pthread_mutex_unlock(&device->queue_lock);
}

void gpu_device_bytes(gpu_device *device, uint64_t *device_bytes, uint64_t *host_bytes) {
  pthread_mutex_lock(&device->queue_lock);
  *device_bytes = device->buffer_bytes;
  *host_bytes = device->host_bytes;
  pthread_mutex_unlock(&device->queue_lock);
}

static const char *heap_name(gpu_memory_kind kind) {
  return kind == GPU_MEMORY_DEVICE ? "its own memory" : "memory of the host";
}

static hn_status no_room(const gpu_device *device, uint64_t bytes, const char *name, hn_error *err) {
  return hn_fail(err, HN_ERROR_OUT_OF_DEVICE_MEMORY, "%s: the budget of %" PRIu64 " MiB has no room for %s (%" PRIu64 " MiB of its own memory)",
                 device->info.name, device->limit_bytes >> 20, name, (bytes >> 20) + 1);
}

hn_status gpu_buffer_init(gpu_device *device, gpu_memory_kind kind, uint64_t bytes, const char *name, gpu_buffer *out,
                          hn_error *err) {
  *out = (gpu_buffer){0};
  if (bytes > device->info.max_allocation_bytes)
    return hn_fail(err, HN_ERROR_OUT_OF_DEVICE_MEMORY, "%s allocates at most %" PRIu64 " MiB at once: %s needs %" PRIu64 " MiB",
                   device->info.name, device->info.max_allocation_bytes >> 20, name, (bytes >> 20) + 1);
  if (!reserve(device, kind, bytes))
    return no_room(device, bytes, name, err);
  VkResult result = gpu_vma_create_buffer(device, kind, bytes, name, out);
  if (result) {
    *out = (gpu_buffer){0};
    release(device, kind, bytes);
    return hn_fail_vk(err, gpu_status(result), result, "%s has no memory for %s (%" PRIu64 " MiB of %s)", device->info.name, name,
                      (bytes >> 20) + 1, heap_name(kind));
  }
  out->bytes = bytes;
  out->kind = kind;
  if (!reserve(device, kind, out->allocated - bytes)) { /* the driver rounded up */
    gpu_vma_destroy_buffer(device, out);
    release(device, kind, bytes);
    *out = (gpu_buffer){0};
    return no_room(device, bytes, name, err);
  }
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
    release(device, buffer->kind, buffer->allocated);
  }
  *buffer = (gpu_buffer){0};
}
