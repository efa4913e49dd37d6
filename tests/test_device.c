#include "test_device.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_SKIPPED = 77 };

gpu_device *test_device_open(bool validation, hn_log_fn log) {
  const hn_logger logger = {log, NULL};
  gpu_instance *instance = NULL;
  gpu_device *device = NULL;
  hn_error err = {0};
  if (gpu_instance_create(&logger, validation, &instance, &err) || instance->n_devices == 0) {
    puts("skipped: no Vulkan device");
    gpu_instance_destroy(&instance);
    exit(EXIT_SKIPPED);
  }
  if (validation && !instance->messenger) {
    puts("skipped: no validation layer");
    gpu_instance_destroy(&instance);
    exit(EXIT_SKIPPED);
  }
  if (gpu_device_create(instance, 0, NULL, &device, &err)) {
    printf("FAILED: %s\n", err.message);
    gpu_instance_destroy(&instance);
    exit(1);
  }
  return device;
}

void test_device_close(gpu_device **device) {
  gpu_instance *instance = (*device)->instance;
  gpu_device_destroy(device);
  gpu_instance_destroy(&instance);
}
