#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

typedef struct rearrange_case {
  check *c;
  gpu_matrix matrix;
  uint32_t first, n; /* the tiles that are moved */
  size_t tile_bytes; /* of raw */
  check_tensor *raw, *planes[N_PLANES];
} rearrange_case;

/* All tiles by planes_write, and of them those that are moved. */
static void reference(void *data) {
  const rearrange_case *a = data;
  const gpu_matrix *m = &a->matrix;
  planes p = planes_of(m->type, m->n_rows, m->n_granules);
  uint8_t *all[N_PLANES] = {NULL}, *blocks = calloc(p.n_tiles, a->tile_bytes);
  bool ok = blocks != NULL;
  for (int i = 0; i < N_PLANES; i++)
    ok = (all[i] = malloc(p.n_tiles * p.tile_bytes[i] + 1)) && ok;
  if (!ok)
    exit(CHECK_EXIT_MEMORY);
  memcpy(blocks + a->first * a->tile_bytes, a->raw->host, a->n * a->tile_bytes);
  planes_write(m->type, m->n_rows, m->n_granules * QUANT_GRANULE, blocks, all);
  for (int i = 0; i < N_PLANES; i++) {
    uint64_t at = a->first * p.tile_bytes[i];
    if (a->planes[i])
      memcpy(a->planes[i]->host + at, all[i] + at, a->n * p.tile_bytes[i]);
    free(all[i]);
  }
  free(blocks);
}

static void launch(void *data) {
  rearrange_case *a = data;
  for (int i = 0; i < N_PLANES; i++)
    a->matrix.planes[i] = a->planes[i] ? a->planes[i]->at : 0;
  kernel_rearrange(a->c->cmd, &a->c->kernels, &a->matrix, a->first, a->n, a->raw->at);
}

void check_rearrange(check *c) {
  static const char *const names[N_PLANES] = {"w_q", "w_high", "w_scale", "w_d"};
  quant_type_info info = quant_info(c->type);
  uint32_t unit = info.block_weights / QUANT_GRANULE; /* granules of a block */
  uint32_t n_rows = c->large ? 1024 : check_size(c, 1, 100), n_granules = unit * (c->large ? 448 / unit : check_size(c, 1, 150 / unit));
  rearrange_case a = {.c = c, .matrix = {.type = c->type, .n_rows = n_rows, .n_granules = n_granules}};
  planes p = planes_of(c->type, n_rows, n_granules);
  size_t row_bytes = (size_t)(n_granules / unit) * info.block_bytes;
  a.first = c->large ? 0 : check_size(c, 0, p.n_tiles - 1);
  a.n = c->large ? p.n_tiles : check_size(c, 1, p.n_tiles - a.first);
  a.tile_bytes = TILE_ROWS * row_bytes;
  a.raw = check_in(c, "raw", a.n * a.tile_bytes);
  uint32_t n_there = n_rows - a.first * TILE_ROWS; /* rows from there on */
  check_bytes(c, a.raw->host, (n_there < a.n * TILE_ROWS ? n_there : a.n * TILE_ROWS) * row_bytes);
  for (int i = 0; i < N_PLANES; i++)
    if (p.tile_bytes[i])
      a.planes[i] = check_out(c, names[i], p.n_tiles * p.tile_bytes[i]);
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  snprintf(one.shape, sizeof one.shape, "%u x %u, tiles %u .. %u", (unsigned)n_rows, (unsigned)(n_granules * QUANT_GRANULE),
           (unsigned)a.first, (unsigned)(a.first + a.n - 1));
  check_run(c, &one);
}
