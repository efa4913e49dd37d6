/* result.c: see result.h. */
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* `list` with room for one element more, which is zeroed; NULL, and the list unchanged, when memory is short. */
static void *grow(void *list, size_t n, size_t size) {
  if (n >= SIZE_MAX / size)
    return NULL;
  char *grown = realloc(list, (n + 1) * size);
  if (grown != NULL)
    memset(grown + n * size, 0, size);
  return grown;
}

bench_model *bench_add_model(bench_result *r) {
  bench_model *grown = grow(r->models, r->n_models, sizeof *grown);
  if (grown == NULL)
    return NULL;
  r->models = grown;
  return &grown[r->n_models++];
}

bench_test *bench_add_test(bench_model *m) {
  bench_test *grown = grow(m->tests, m->n_tests, sizeof *grown);
  if (grown == NULL)
    return NULL;
  m->tests = grown;
  return &grown[m->n_tests++];
}

bench_kernel *bench_add_kernel(bench_result *r) {
  bench_kernel *grown = grow(r->kernels, r->n_kernels, sizeof *grown);
  if (grown == NULL)
    return NULL;
  r->kernels = grown;
  return &grown[r->n_kernels++];
}

bench_span *bench_add_span(bench_result *r) {
  bench_span *grown = grow(r->spans, r->n_spans, sizeof *grown);
  if (grown == NULL)
    return NULL;
  r->spans = grown;
  return &grown[r->n_spans++];
}

void bench_finish(bench_result *r) {
  for (size_t i = 0; i < r->n_models; i++)
    free(r->models[i].tests);
  free(r->models);
  free(r->kernels);
  free(r->spans);
  *r = (bench_result){0};
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

bench_stat bench_stat_of(double *samples, size_t n) {
  if (n == 0 || n > UINT32_MAX)
    return (bench_stat){0};
  for (size_t i = 0; i < n; i++)
    if (!isfinite(samples[i]))
      return (bench_stat){0};
  qsort(samples, n, sizeof *samples, compare_doubles);
  double median = n % 2 == 1 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2.0;
  return (bench_stat){median, samples[0], samples[n - 1], (uint32_t)n};
}

bench_stat bench_stat_once(double value) {
  return bench_stat_of(&value, 1);
}

bool bench_measured(bench_stat s) {
  return s.runs > 0 && isfinite(s.median) && isfinite(s.min) && isfinite(s.max);
}

/* 1e9 units a second are 1e3 a microsecond. */
static double giga_per_second(double amount, bench_stat us) {
  return bench_measured(us) && us.median > 0.0 ? amount / us.median / 1e3 : (double)NAN;
}

double bench_attainable_us(const bench_device *d, double bytes, double ops, bool integer) {
  if (!bench_measured(d->read_gb_s) || d->read_gb_s.median <= 0.0)
    return (double)NAN;
  double memory = bytes / d->read_gb_s.median / 1e3;
  bench_stat rate = integer ? d->int8_gop_s : d->f32_gflop_s;
  double arithmetic = bench_measured(rate) && rate.median > 0.0 ? ops / rate.median / 1e3 : 0.0;
  return memory > arithmetic ? memory : arithmetic;
}

double bench_kernel_gb_s(const bench_kernel *k) {
  return giga_per_second(k->bytes, k->us);
}

double bench_kernel_gop_s(const bench_kernel *k) {
  return giga_per_second(k->ops, k->us);
}

double bench_kernel_percent(const bench_device *d, const bench_kernel *k) {
  if (!bench_measured(k->us) || k->us.median <= 0.0)
    return (double)NAN;
  return 100.0 * bench_attainable_us(d, k->bytes, k->ops, k->integer) / k->us.median;
}

double bench_test_percent(const bench_device *d, const bench_test *t) {
  if (!bench_measured(d->read_gb_s) || d->read_gb_s.median <= 0.0 || !bench_measured(t->gb_s))
    return (double)NAN;
  return 100.0 * t->gb_s.median / d->read_gb_s.median;
}
