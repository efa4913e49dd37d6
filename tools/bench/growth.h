/* growth.h: how the time of a decoded token grows with the context, of the tests of a model. */
#ifndef HN_BENCH_GROWTH_H
#define HN_BENCH_GROWTH_H

#include "result.h"

enum { GROWTH_POSITIONS = 1024 }; /* that a slope is of */

/* The line of least squares through the microseconds a token takes at each depth. NAN: not known. */
typedef struct bench_growth {
  double base_us;          /* at depth 0 */
  double us_per_1024;      /* more for each GROWTH_POSITIONS */
  double residual_percent; /* the farthest that a test is off the line, as a part of its time; wants three depths */
  double kv_gb_s;          /* the KV cache's bytes by the slope: the speed at which attention reads it */
  size_t n;                /* decode tests; less than two depths: nothing is known */
} bench_growth;

bench_growth bench_growth_of(const bench_model *m);

/* Where the line is at a depth. */
double bench_growth_at(const bench_growth *g, uint32_t depth);

/* Microseconds a token; NAN: not measured. */
double bench_test_us(const bench_test *t);

#endif
