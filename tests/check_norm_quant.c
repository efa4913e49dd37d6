#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "check.h"

typedef struct norm_case {
  check *c;
  uint32_t n, n_tokens;
  float eps;
  check_tensor *x, *weight;
  check_q8 out;
} norm_case;

static void reference(void *data) {
  const norm_case *a = data;
  const float *x = (const float *)(const void *)a->x->host;
  for (uint32_t t = 0; t < a->n_tokens; t++)
    cpu_norm_quant(x + (size_t)t * a->n, (const float *)(const void *)a->weight->host, a->n, 1.0f / (float)a->n, a->eps,
                   check_cpu_act(a->out), t);
}

static void launch(void *data) {
  const norm_case *a = data;
  kernel_norm_quant(a->c->cmd, &a->c->kernels,
                    &(struct push_norm){a->x->at, a->weight->at, a->out.q->at, a->out.d->at, a->out.sums->at, a->n,
                                        1.0f / (float)a->n, a->eps},
                    a->n_tokens);
}

void check_norm_quant(check *c) {
  norm_case a = {.c = c, .n = ACT_BLOCK * (c->large ? 128 : check_size(c, 1, 300)), .n_tokens = c->large ? 512 : check_size(c, 1, 9),
                 .eps = check_size(c, 0, 1) ? 1e-5f : 1e-6f};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  uint64_t n_blocks = (uint64_t)a.n_tokens * a.n / ACT_BLOCK;
  a.x = check_in(c, "x", 4ull * a.n_tokens * a.n);
  a.weight = check_in(c, "weight", 4ull * a.n);
  a.out = check_act(c, check_out, n_blocks);
  /* The mean of squares stays below 2^100, the range of x_rsqrt. */
  check_floats(c, (float *)(void *)a.x->host, (size_t)a.n_tokens * a.n, 46);
  check_floats(c, (float *)(void *)a.weight->host, a.n, 40);
  snprintf(one.shape, sizeof one.shape, "%u, %u tokens", (unsigned)a.n, (unsigned)a.n_tokens);
  check_run(c, &one);
}
