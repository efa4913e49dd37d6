/* test_device.h: Vulkan device 0, for programs that drivers/on or vendors/chip starts. */
#ifndef TEST_DEVICE_H
#define TEST_DEVICE_H

#include "../runtime/gpu.h"

/* Ends the program: with 77 where there is no device (or the validation layer that is asked for is not there), with 1 where it does not
 * open. log: NULL for none. */
gpu_device *test_device_open(bool validation, hn_log_fn log);
void test_device_close(gpu_device **device);

#endif
