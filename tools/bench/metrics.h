/* metrics.h: a result as one flat list of numbers, for CSV and comparisons. */
#ifndef HN_BENCH_METRICS_H
#define HN_BENCH_METRICS_H

#include "fields.h"

enum { METRIC_LABEL = 2 * BENCH_NAME + 64 };

/* What a metric belongs to; together with the field that names it. The texts are the result's. */
typedef struct bench_subject {
  const char *model; /* the file; "" for the device and for kernels */
  const char *name;  /* the test, the kernel's module, or "" */
  const char *shape; /* the kernel's, or "" */
  uint32_t n, depth; /* the test's */
} bench_subject;

typedef struct bench_metric {
  const bench_field *field;
  bench_subject subject;
  bench_stat value;
} bench_metric;

typedef struct bench_metrics {
  bench_metric *list;
  size_t n;
} bench_metrics;

/* Lists what was measured, in the order of the result; `list` is the caller's to free. False when memory is short. */
bool bench_metrics_list(const bench_result *r, bench_metrics *metrics);

/* The same field of the same subject; of a model's file the name counts, not the folder. */
bool bench_metric_same(const bench_metric *a, const bench_metric *b);

/* "prompt 512 tokens", "decode at depth 2048", "matvec_q4_0, 576 x 1536, 1 token", "memory read". Returns label. */
const char *bench_metric_label(const bench_metric *m, char label[METRIC_LABEL]);

/* The test's part of it. */
const char *bench_test_label(const char *name, uint32_t n, uint32_t depth, char label[METRIC_LABEL]);

#endif
