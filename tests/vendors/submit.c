/*
 * vendor_submit: the host's path to the GPU, on a driver whose GPU may not be there: opens the first device as the library does,
 * allocates, records copies, fills and a kernel, submits, waits. It looks at no result.
 */
#include <stdio.h>
#include <string.h>

#include "../../runtime/gpu.h"
#include "../../runtime/kernels.h"
#include "../../shaders/shared.h"
#include "../../shaders/spirv.h"

enum { ROUNDS = 3, BLOCKS = 64 };
static const uint64_t BYTES = 1 << 20, LIMIT_NS = 5000000000;

static hn_status submit_rounds(gpu_device *device, const gpu_pipeline *pipeline, const gpu_buffer *on_device,
                               const gpu_buffer *on_host, const gpu_buffer *readback, hn_error *err) {
  gpu_cmd *cmd = NULL;
  hn_status status = gpu_cmd_create(device, &cmd, err);
  for (int i = 0; i < ROUNDS && !status; i++) {
    VkDeviceAddress at = on_device->address;
    struct push_quantize push = {at, at + BYTES / 4, at + BYTES / 2, at + BYTES / 4 * 3, BLOCKS};
    gpu_access access = {0};
    status = gpu_cmd_begin(cmd, err);
    if (status)
      break;
    gpu_cmd_fill(cmd, on_device, 0, BYTES, 0);
    gpu_cmd_barrier(cmd);
    gpu_cmd_copy(cmd, on_host, 0, on_device, 0, BYTES);
    gpu_cmd_barrier(cmd);
    gpu_cmd_dispatch(cmd, &(gpu_launch){pipeline, &push, sizeof push, 1, 1}, &access);
    gpu_cmd_barrier(cmd);
    gpu_cmd_copy(cmd, on_device, 0, readback, 0, BYTES);
    status = gpu_cmd_submit_wait(cmd, LIMIT_NS, err);
  }
  gpu_cmd_destroy(&cmd);
  return status;
}

static hn_status use_device(gpu_device *device, hn_error *err) {
  gpu_buffer on_device = {0}, on_host = {0}, readback = {0};
  gpu_pipeline pipeline = {0};
  const spirv_module *module = spirv_modules;
  while (module->name && strcmp(module->name, "quantize") != 0)
    module++;
  hn_status status = gpu_pipeline_init(device, module->name, module->words, module->n_words, NULL, 0, &pipeline, err);
  if (!status)
    status = gpu_buffer_init(device, GPU_MEMORY_DEVICE, BYTES, "test", &on_device, err);
  if (!status)
    status = gpu_buffer_init(device, GPU_MEMORY_HOST, BYTES, "test", &on_host, err);
  if (!status)
    status = gpu_buffer_init(device, GPU_MEMORY_READBACK, BYTES, "test", &readback, err);
  if (!status) {
    memset(on_host.mapped, 1, BYTES);
    status = submit_rounds(device, &pipeline, &on_device, &on_host, &readback, err);
  }
  gpu_buffer_finish(device, &readback);
  gpu_buffer_finish(device, &on_host);
  gpu_buffer_finish(device, &on_device);
  gpu_pipeline_finish(device, &pipeline);
  return status;
}

int main(void) {
  gpu_instance *instance = NULL;
  gpu_device *device = NULL;
  hn_error err = {0};
  hn_logger logger = {0};
  hn_status status = gpu_instance_create(&logger, false, &instance, &err);
  if (!status && instance->n_devices == 0)
    status = hn_fail(&err, HN_ERROR_NO_DEVICE, "no device");
  if (!status)
    status = gpu_device_create(instance, 0, NULL, &device, &err);
  if (!status)
    status = use_device(device, &err);
  if (status)
    fprintf(stderr, "vendor_submit: %s\n", err.message);
  else
    printf("%s: %d submissions\n", device->info.name, ROUNDS);
  gpu_device_destroy(&device);
  gpu_instance_destroy(&instance);
  return status ? 1 : 0;
}
