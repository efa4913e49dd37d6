#include <stdio.h>
#include <stdlib.h>

#include "../runtime/kernels_cpu.h"
#include "check.h"

typedef struct swiglu_case {
  check *c;
  uint32_t n_ff, n_tokens;
  check_operands in; /* weights: gate, and up behind it */
  check_q8 out;
  float *products; /* (n_tokens, 2 * n_ff), then gate and up apart */
} swiglu_case;

static void reference(void *data) {
  const swiglu_case *a = data;
  cpu_matrix w = check_cpu_matrix(&a->in.w);
  size_t n = (size_t)a->n_tokens * a->n_ff;
  float *gate = a->products + 2 * n, *up = gate + n;
  cpu_matmul(&(cpu_product){.w = &w, .x = check_cpu_act(a->in.x), .n_tokens = a->n_tokens, .y = a->products, .y_stride = 2 * a->n_ff}, 0, 2 * a->n_ff);
  for (size_t i = 0; i < n; i++) {
    size_t at = i / a->n_ff * 2 * a->n_ff + i % a->n_ff;
    gate[i] = a->products[at];
    up[i] = a->products[at + a->n_ff];
  }
  cpu_swiglu_quant(gate, up, 0, n / ACT_BLOCK, check_cpu_act(a->out));
}

static void launch(void *data) {
  const swiglu_case *a = data;
  gpu_matrix w = check_gpu_matrix(&a->in.w);
  kernel_matvec_swiglu(a->c->cmd, &a->c->kernels, &w, (gpu_q8){a->in.x.q->at, a->in.x.d->at, a->in.x.sums->at},
                       (gpu_q8){a->out.q->at, a->out.d->at, a->out.sums->at}, a->n_tokens);
}

void check_matvec_swiglu(check *c) {
  swiglu_case a = {.c = c, .n_tokens = c->large ? 1 : check_size(c, 1, 3)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  a.n_ff = c->large ? 14336 : 32 * check_size(c, 1, 9);
  a.in = check_product(c, 2 * a.n_ff, 4096, 100, a.n_tokens);
  check_scale(a.in.x.d, 0x1p-14f); /* products of gate and up must stay below 2^100, the range of x_rcp */
  a.out = check_act(c, check_out, (uint64_t)a.n_tokens * (a.n_ff / ACT_BLOCK));
  a.products = malloc(4 * sizeof(float) * a.n_tokens * a.n_ff);
  if (!a.products)
    exit(CHECK_EXIT_MEMORY);
  snprintf(one.shape, sizeof one.shape, "2 * %u x %u, %u tokens", (unsigned)a.n_ff, (unsigned)(a.in.n_granules * QUANT_GRANULE), (unsigned)a.n_tokens);
  check_run(c, &one);
  check_matrix_free(&a.in.w);
  free(a.products);
}
