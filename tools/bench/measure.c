#include "measure.h"

#include <unistd.h>

#include "../terminal.h"

#define FLUSH_BYTES ((uint64_t)256 << 20) /* more than the caches of a GPU */
#define SOFTWARE_FLUSH ((uint64_t)64 << 20)

hn_status measure_init(gpu_device *device, uint32_t runs, double seconds, measure *out, hn_error *err) {
  *out = (measure){.device = device, .runs = runs, .seconds = seconds};
  uint64_t flush = device->info.type == HN_DEVICE_SOFTWARE ? SOFTWARE_FLUSH : FLUSH_BYTES, most = device->info.device_memory / 8;
  hn_status status = gpu_cmd_create(device, 0, &out->cmd, err);
  if (!status)
    status = gpu_timer_init(device, MEASURE_STAMPS, &out->timer, err);
  if (!status)
    status = gpu_buffer_init(device, GPU_MEMORY_DEVICE, (flush < most ? flush : most) / 4 * 4, "a flush of caches", &out->flush, err);
  if (status)
    measure_finish(out);
  return status;
}

void measure_finish(measure *m) {
  gpu_cmd_destroy(&m->cmd); /* waits for what uses the rest */
  gpu_timer_finish(&m->timer);
  if (m->device)
    gpu_buffer_finish(m->device, &m->flush);
  *m = (measure){0};
}

/* Writes the flush buffer, with a submission of its own, so that the host's clock does not see it. */
static hn_status flush_caches(measure *m, hn_error *err) {
  hn_status status = gpu_cmd_begin(m->cmd, err);
  if (status)
    return status;
  gpu_cmd_fill(m->cmd, &m->flush, 0, m->flush.bytes, 0);
  return gpu_cmd_submit_wait(m->cmd, gpu_wait_limit_ns(m->device), err);
}

static hn_status run_once(measure *m, bool flush, measure_record record, void *data, double *seconds, hn_error *err) {
  double ns[2] = {0, 0};
  hn_status status = flush ? flush_caches(m, err) : HN_OK;
  if (!status)
    status = gpu_cmd_begin(m->cmd, err);
  if (status)
    return status;
  gpu_timer_reset(&m->timer, m->cmd);
  gpu_timer_stamp(&m->timer, m->cmd);
  record(m, data);
  gpu_timer_stamp(&m->timer, m->cmd);
  double start = now_seconds();
  status = gpu_cmd_submit_wait(m->cmd, gpu_wait_limit_ns(m->device), err);
  *seconds = now_seconds() - start;
  if (!status && gpu_timer_read(&m->timer, ns))
    *seconds = ns[1] * 1e-9;
  return status;
}

hn_status measure_recorded(measure *m, bool flush, measure_record record, void *data, bench_stat *seconds, hn_error *err) {
  double samples[MEASURE_MAX_RUNS], start = now_seconds();
  hn_status status = run_once(m, flush, record, data, &samples[0], err); /* warm-up */
  uint32_t n = 0;
  while (!status && n < m->runs && (n == 0 || now_seconds() - start < m->seconds))
    status = run_once(m, flush, record, data, &samples[n++], err);
  *seconds = status ? (bench_stat){0} : bench_stat_of(samples, n);
  return status;
}

hn_status measure_called(const measure *m, measure_call call, void *data, bench_stat *seconds, hn_error *err) {
  double samples[MEASURE_MAX_RUNS], start = now_seconds();
  hn_status status = HN_OK;
  uint32_t n = 0;
  bool warm = false;
  while (!status && n < m->runs && (n == 0 || now_seconds() - start < m->seconds)) {
    double before = now_seconds();
    status = call(data, err);
    samples[n] = now_seconds() - before;
    n += warm || samples[0] * (m->runs + 1) > m->seconds; /* the first is kept where there is no time for all */
    warm = true;
  }
  *seconds = status ? (bench_stat){0} : bench_stat_of(samples, n);
  return status;
}

void measure_progress(const char *what, uint64_t done, uint64_t total, const char *note) {
  if (isatty(STDERR_FILENO))
    progress_show(what, done, total, note);
}

bench_stat measure_rate(bench_stat s, double amount, double unit) {
  if (s.runs == 0 || !(s.min > 0))
    return (bench_stat){0};
  return (bench_stat){amount / s.median / unit, amount / s.max / unit, amount / s.min / unit, s.runs};
}

bench_stat measure_scaled(bench_stat s, double factor) {
  return (bench_stat){s.median * factor, s.min * factor, s.max * factor, s.runs};
}
