/* device_test.h: what a device can do, without a model: bandwidths, rates, latencies. */
#ifndef HN_BENCH_DEVICE_TEST_H
#define HN_BENCH_DEVICE_TEST_H

#include "measure.h"

/* Fills the names alone. */
void device_describe(const measure *m, bench_device *out);

/* Fills all of out. Errors: those of measure_recorded and gpu_pipeline_init. */
hn_status device_test(measure *m, bench_device *out, hn_error *err);

#endif
