/* measure.h: times of work on a device: a warm-up, then runs until there are enough or the time is used up. */
#ifndef HN_BENCH_MEASURE_H
#define HN_BENCH_MEASURE_H

#include "../../runtime/gpu_timer.h"
#include "result.h"

enum { MEASURE_MAX_RUNS = 1000, MEASURE_STAMPS = 4096 };

typedef struct measure {
  gpu_device *device;
  gpu_cmd *cmd;
  gpu_timer timer;    /* without a pool, times are the host's */
  gpu_buffer flush;   /* several times the caches */
  uint32_t runs;      /* wanted, at most MEASURE_MAX_RUNS */
  double seconds;     /* a measurement takes about so long at most, but has one run at least */
} measure;

/* Errors: OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status measure_init(gpu_device *device, uint32_t runs, double seconds, measure *out, hn_error *err);
void measure_finish(measure *m); /* a zeroed one is accepted */

typedef void (*measure_record)(measure *m, void *data);

/* Seconds of what `record` records; by the device's clock where it has one. flush: something else goes through the caches before each run.
 * Errors: those of gpu_cmd_submit_wait. */
hn_status measure_recorded(measure *m, bool flush, measure_record record, void *data, bench_stat *seconds, hn_error *err);

typedef hn_status (*measure_call)(void *data, hn_error *err);

/* Seconds of a call by the host's clock. The first is a warm-up, unless it took so long that not all runs fit into the time. */
hn_status measure_called(const measure *m, measure_call call, void *data, bench_stat *seconds, hn_error *err);

/* A line on a terminal; nothing elsewhere. Take it away with progress_clear before something else is printed. */
void measure_progress(const char *what, uint64_t done, uint64_t total, const char *note);

/* amount / seconds / unit */
bench_stat measure_rate(bench_stat seconds, double amount, double unit);
bench_stat measure_scaled(bench_stat stat, double factor);

#endif
