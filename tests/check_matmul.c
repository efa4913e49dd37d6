#include <stdio.h>
#include <string.h>

#include "../runtime/kernels_cpu.h"
#include "../runtime/sizes.h"
#include "../runtime/tuning.h"
#include "check.h"

typedef struct matmul_case {
  check *c;
  uint32_t n_rows, n_tokens, y_stride;
  check_operands in;
  check_tensor *bias, *residual, *y; /* residual: NULL, y itself, or another */
} matmul_case;

static const float *floats(const check_tensor *t) {
  return t ? (const float *)(const void *)t->host : NULL;
}

static void reference(void *data) {
  const matmul_case *a = data;
  cpu_matrix w = check_cpu_matrix(&a->in.w);
  cpu_matmul(&(cpu_product){&w, check_cpu_act(a->in.x), a->n_tokens, floats(a->bias), floats(a->residual), (float *)(void *)a->y->host,
                            a->y_stride},
             0, a->n_rows);
}

static void launch(void *data) {
  const matmul_case *a = data;
  gpu_matrix w = check_gpu_matrix(&a->in.w);
  gpu_product p = {{a->in.x.q->at, a->in.x.d->at, a->in.x.sums->at}, a->bias ? a->bias->at : 0, a->residual ? a->residual->at : 0, a->y->at,
                   a->n_tokens, a->y_stride};
  const kernel_id id = a->c->id;
  (id == KERNEL_MATVEC ? kernel_matvec : id == KERNEL_MATVEC_BATCH ? kernel_matvec_batch : kernel_matmat)(a->c->cmd, &a->c->kernels, &w, &p);
}

enum { BENCH_TOKENS = 512 };

static uint32_t draw_tokens(check *c) {
  switch (c->id) {
  case KERNEL_MATVEC: return c->large ? 1 : check_size(c, 1, 4);
  case KERNEL_MATVEC_BATCH: return c->large ? FEW_TOKENS : check_size(c, 1, 2 * FEW_TOKENS + 1);
  default: break;
  }
  if (c->large)
    return c->measure ? BENCH_TOKENS : matmat_tile_of(c->kernels.pipelines[c->id][c->type].constants).tokens + 1;
  return check_size(c, 1, 70);
}

/* Rows of y lie apart by more than a row, as q, k and v lie in one buffer. */
static void draw(check *c, matmul_case *a) {
  uint32_t large_cols = 0;
  const bool output = c->id == KERNEL_MATVEC && c->type == QUANT_Q6_K;
  if (c->large) { /* gate, down and, of one token and of the type that files have, the output */
    static const uint32_t shapes[][2] = {{14336, 4096}, {4096, 14336}, {128256, 4096}};
    const uint32_t *shape = shapes[c->n_cases % (output ? 3 : 2)];
    a->n_rows = shape[0];
    large_cols = shape[1];
  } else {
    a->n_rows = check_size(c, 1, 70);
  }
  a->n_tokens = draw_tokens(c);
  a->y_stride = a->n_rows + (c->large ? 0 : check_size(c, 0, 3));
  a->in = check_product(c, a->n_rows, large_cols, 200, a->n_tokens);
}

void check_matmul(check *c) {
  matmul_case a = {.c = c};
  draw(c, &a);
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  uint64_t y_bytes = 4 * ((uint64_t)(a.n_tokens - 1) * a.y_stride + a.n_rows);
  uint32_t extra = check_size(c, 0, 3); /* none, bias, a residual in another place, bias and a residual in place */
  if (extra % 2) {
    a.bias = check_in(c, "bias", 4ull * a.n_rows);
    check_floats(c, (float *)(void *)a.bias->host, a.n_rows, 60);
  }
  a.y = extra == 3 ? check_inout(c, "y", y_bytes) : check_out(c, "y", y_bytes);
  if (extra >= 2) {
    a.residual = extra == 3 ? a.y : check_in(c, "residual", y_bytes);
    check_floats(c, (float *)(void *)a.residual->host, y_bytes / 4, 60);
  }
  snprintf(one.shape, sizeof one.shape, "%u x %u, %u tokens, stride %u%s", (unsigned)a.n_rows, (unsigned)(a.in.n_granules * QUANT_GRANULE),
           (unsigned)a.n_tokens, (unsigned)a.y_stride,
           extra == 0 ? "" : extra == 1 ? ", bias" : extra == 2 ? ", residual" : ", bias, residual in place");
  check_run(c, &one);
  check_matrix_free(&a.in.w);
}
