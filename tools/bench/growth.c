/* growth.c: see growth.h. */
#include "growth.h"

#include <math.h>
#include <string.h>

double bench_test_us(const bench_test *t) {
  return bench_measured(t->tok_s) && t->tok_s.median > 0.0 ? 1e6 / t->tok_s.median : (double)NAN;
}

static bool is_point(const bench_test *t) {
  return strcmp(t->name, "decode") == 0 && isfinite(bench_test_us(t));
}

double bench_growth_at(const bench_growth *g, uint32_t depth) {
  return g->base_us + g->us_per_1024 * depth / GROWTH_POSITIONS;
}

static double residual(const bench_model *m, const bench_growth *g) {
  double most = 0.0;
  for (size_t i = 0; i < m->n_tests; i++) {
    const bench_test *t = &m->tests[i];
    if (is_point(t))
      most = fmax(most, 100.0 * fabs(bench_growth_at(g, t->depth) / bench_test_us(t) - 1.0));
  }
  return most;
}

bench_growth bench_growth_of(const bench_model *m) {
  bench_growth g = {(double)NAN, (double)NAN, (double)NAN, (double)NAN, 0};
  double x = 0.0, y = 0.0, xx = 0.0, xy = 0.0; /* means, then sums of products around them */
  for (size_t i = 0; i < m->n_tests; i++)
    if (is_point(&m->tests[i])) {
      x += m->tests[i].depth;
      y += bench_test_us(&m->tests[i]);
      g.n++;
    }
  if (g.n == 0)
    return g;
  x /= (double)g.n;
  y /= (double)g.n;
  for (size_t i = 0; i < m->n_tests; i++)
    if (is_point(&m->tests[i])) {
      double away = m->tests[i].depth - x;
      xx += away * away;
      xy += away * (bench_test_us(&m->tests[i]) - y);
    }
  if (!(xx > 0.0))
    return g;
  g.us_per_1024 = xy / xx * GROWTH_POSITIONS;
  g.base_us = y - xy / xx * x;
  if (g.n > 2)
    g.residual_percent = residual(m, &g);
  if (m->kv_bytes_per_1024 > 0 && g.us_per_1024 > 0.0)
    g.kv_gb_s = (double)m->kv_bytes_per_1024 / g.us_per_1024 / 1e3;
  return g;
}
