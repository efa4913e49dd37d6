#include <stdio.h>
#include <string.h>

#include "../runtime/kernels_cpu.h"
#include "../runtime/tuning.h"
#include "check.h"

typedef struct matmul_case {
  check *c;
  uint32_t n_rows, n_granules, n_tokens, y_stride;
  check_weights w;
  check_q8 x;
  check_tensor *bias, *residual, *y; /* residual: NULL, y itself, or another */
} matmul_case;

static const float *floats(const check_tensor *t) {
  return t ? (const float *)(const void *)t->host : NULL;
}

static void reference(void *data) {
  const matmul_case *a = data;
  cpu_matrix w = check_cpu_matrix(&a->w);
  cpu_matmul(&(cpu_product){&w, check_cpu_act(a->x), a->n_tokens, floats(a->bias), floats(a->residual), (float *)(void *)a->y->host,
                            a->y_stride},
             0, a->n_rows);
}

static void launch(void *data) {
  const matmul_case *a = data;
  gpu_matrix w = check_gpu_matrix(&a->w);
  gpu_product p = {{a->x.q->at, a->x.d->at, a->x.sums->at}, a->bias ? a->bias->at : 0, a->residual ? a->residual->at : 0, a->y->at,
                   a->n_tokens, a->y_stride};
  if (a->c->id == KERNEL_MATVEC)
    kernel_matvec(a->c->cmd, &a->c->kernels, &w, &p);
  else
    kernel_matmat(a->c->cmd, &a->c->kernels, &w, &p);
}

enum { BENCH_TOKENS = 512 };

/* Rows of y lie apart by more than a row, as q, k and v lie in one buffer. */
static void draw_shape(check *c, matmul_case *a) {
  uint32_t unit = quant_info(c->type).block_weights / QUANT_GRANULE;
  bool many = c->id == KERNEL_MATMAT;
  if (c->large) { /* gate, down and, one token at a time and of the type that files have, the output */
    static const uint32_t shapes[][2] = {{14336, 4096}, {4096, 14336}, {128256, 4096}};
    const uint32_t *shape = shapes[c->n_cases % (many || c->type != QUANT_Q6_K ? 2 : 3)];
    a->n_rows = shape[0];
    a->n_granules = shape[1] / QUANT_GRANULE;
    a->n_tokens = !many ? 1 : c->measure ? BENCH_TOKENS : matmat_tile_of(c->kernels.pipelines[c->id][c->type].constants).tokens + 1;
  } else {
    a->n_rows = check_size(c, 1, 70);
    a->n_granules = unit * check_size(c, 1, 200 / unit);
    a->n_tokens = check_size(c, 1, many ? 70 : 4);
  }
  a->y_stride = a->n_rows + (c->large ? 0 : check_size(c, 0, 3));
}

void check_matmul(check *c) {
  matmul_case a = {.c = c};
  draw_shape(c, &a);
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  uint64_t n_blocks = (uint64_t)a.n_tokens * a.n_granules, y_bytes = 4 * ((uint64_t)(a.n_tokens - 1) * a.y_stride + a.n_rows);
  uint32_t extra = check_size(c, 0, 3); /* none, bias, a residual in another place, bias and a residual in place */
  a.w = check_matrix(c, a.n_rows, a.n_granules);
  a.x = check_act(c, check_in, n_blocks);
  check_fill_act(c, a.x, n_blocks);
  if (extra % 2) {
    a.bias = check_in(c, "bias", 4ull * a.n_rows);
    check_floats(c, (float *)(void *)a.bias->host, a.n_rows, 60);
  }
  a.y = extra == 3 ? check_inout(c, "y", y_bytes) : check_out(c, "y", y_bytes);
  if (extra >= 2) {
    a.residual = extra == 3 ? a.y : check_in(c, "residual", y_bytes);
    check_floats(c, (float *)(void *)a.residual->host, y_bytes / 4, 60);
  }
  snprintf(one.shape, sizeof one.shape, "%u x %u, %u tokens, stride %u%s", (unsigned)a.n_rows, (unsigned)(a.n_granules * QUANT_GRANULE),
           (unsigned)a.n_tokens, (unsigned)a.y_stride,
           extra == 0 ? "" : extra == 1 ? ", bias" : extra == 2 ? ", residual" : ", bias, residual in place");
  check_run(c, &one);
  check_matrix_free(&a.w);
}
