#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "check.h"

typedef struct embed_case {
  check *c;
  uint32_t n_tokens;
  check_weights w;
  check_tensor *ids, *x;
} embed_case;

static void reference(void *data) {
  const embed_case *a = data;
  uint32_t n_cols = a->w.gpu.n_granules * QUANT_GRANULE;
  cpu_matrix table = check_cpu_matrix(&a->w);
  for (uint32_t t = 0; t < a->n_tokens; t++)
    cpu_embed(&table, ((const int32_t *)(const void *)a->ids->host)[t], (float *)(void *)a->x->host + (size_t)t * n_cols);
}

static void launch(void *data) {
  const embed_case *a = data;
  gpu_matrix table = check_gpu_matrix(&a->w);
  kernel_embed(a->c->cmd, &a->c->kernels, &table, a->ids->at, a->x->at, a->n_tokens);
}

void check_embed(check *c) {
  uint32_t unit = quant_info(c->type).block_weights / QUANT_GRANULE; /* granules of a block */
  uint32_t vocabulary = c->type == QUANT_Q4_0 || c->type == QUANT_Q4_K ? 128256 : 8192; /* whole for the types that files have */
  uint32_t n_rows = c->large ? vocabulary : check_size(c, 1, 100), n_granules = unit * (c->large ? 128 / unit : check_size(c, 1, 150 / unit));
  embed_case a = {.c = c, .n_tokens = c->large ? 512 : check_size(c, 1, 20), .w = check_matrix(c, n_rows, n_granules)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  a.ids = check_in(c, "ids", 4ull * a.n_tokens);
  a.x = check_out(c, "x", 4ull * a.n_tokens * n_granules * QUANT_GRANULE);
  for (uint32_t t = 0; t < a.n_tokens; t++)
    ((uint32_t *)(void *)a.ids->host)[t] = check_size(c, 0, n_rows - 1);
  snprintf(one.shape, sizeof one.shape, "%u x %u, %u tokens", (unsigned)n_rows, (unsigned)(n_granules * QUANT_GRANULE), (unsigned)a.n_tokens);
  check_run(c, &one);
  check_matrix_free(&a.w);
}
