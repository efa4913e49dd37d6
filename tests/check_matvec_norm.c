#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "check.h"

typedef struct norm_case {
  check *c;
  uint32_t n_rows, n_tokens;
  check_operands in;
  check_q8 out;
  check_tensor *bias, *y, *weight, *then, *counters;
} norm_case;

static float *floats(const check_tensor *t) {
  return t ? (float *)(void *)t->host : NULL;
}

static void reference(void *data) {
  const norm_case *a = data;
  cpu_matrix w = check_cpu_matrix(&a->in.w);
  cpu_matmul(&(cpu_product){&w, check_cpu_act(a->in.x), a->n_tokens, floats(a->bias), floats(a->y), floats(a->y), a->n_rows}, 0, a->n_rows);
  for (uint32_t t = 0; t < a->n_tokens; t++)
    cpu_norm_quant(floats(a->y) + (size_t)t * a->n_rows, floats(a->weight), a->n_rows, 1.0f / (float)a->n_rows, 1e-5f, check_cpu_act(a->out), t);
}

static void launch(void *data) {
  const norm_case *a = data;
  gpu_matrix w = check_gpu_matrix(&a->in.w);
  gpu_product p = {{a->in.x.q->at, a->in.x.d->at, a->in.x.sums->at}, check_at(a->bias), a->y->at, a->y->at, a->n_tokens, a->n_rows};
  struct then_norm then = {{a->y->at, a->weight->at, a->out.q->at, a->out.d->at, a->out.sums->at, a->n_rows, 1.0f / (float)a->n_rows, 1e-5f},
                           a->counters->at};
  check_put(a->then, &then);
  kernel_matvec_norm(a->c->cmd, &a->c->kernels, &w, &p, &then, a->then->at);
}

void check_matvec_norm(check *c) {
  norm_case a = {.c = c, .n_tokens = c->large ? 1 : check_size(c, 1, 3)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  a.n_rows = c->large ? 4096 : 32 * check_size(c, 1, 40);
  uint64_t n_y = (uint64_t)a.n_tokens * a.n_rows;
  a.in = check_product(c, a.n_rows, 14336, 100, a.n_tokens);
  check_scale(a.in.x.d, 0x1p-14f); /* squares of y must stay below 2^100, the range of x_rsqrt */
  if (check_size(c, 0, 1)) {
    a.bias = check_in(c, "bias", 4ull * a.n_rows);
    check_floats(c, floats(a.bias), a.n_rows, 40);
  }
  a.y = check_inout(c, "y", 4 * n_y);
  check_floats(c, floats(a.y), n_y, 40);
  a.weight = check_in(c, "weight", 4ull * a.n_rows);
  check_floats(c, floats(a.weight), a.n_rows, 20);
  a.out = check_act(c, check_out, n_y / ACT_BLOCK);
  a.then = check_in(c, "then", sizeof(struct then_norm));
  a.then->whole = true;
  a.counters = check_inout(c, "counters", 4ull * a.n_tokens);
  snprintf(one.shape, sizeof one.shape, "%u x %u, %u tokens%s", (unsigned)a.n_rows, (unsigned)(a.in.n_granules * QUANT_GRANULE),
           (unsigned)a.n_tokens, a.bias ? ", bias" : "");
  check_run(c, &one);
  check_matrix_free(&a.in.w);
}
