#include "upload_matrix.h"

#include <string.h>

enum { PIECE_BYTES = 256 << 10 }; /* that a thread copies at a time */

typedef struct staging_rows {
  const matrix *matrix;
  uint32_t first;
  uint8_t *out;
} staging_rows;

static void stage_rows(void *arg, uint32_t begin, uint32_t end) {
  const staging_rows *s = arg;
  size_t bytes = s->matrix->row_bytes;
  for (uint32_t i = begin; i < end; i++) {
    uint8_t *out = s->out + i * bytes;
    const uint8_t *row = matrix_row(s->matrix, s->first + i, out);
    if (row != out)
      memcpy(out, row, bytes);
  }
}

hn_status upload_tiles(gpu_upload *upload, threads *pool, const kernels *k, const matrix *from, const gpu_matrix *to, uint32_t *first,
                       hn_error *err) {
  uint32_t n_tiles = planes_of(to->type, to->n_rows, to->n_granules).n_tiles;
  uint64_t tile_bytes = (uint64_t)TILE_ROWS * from->row_bytes;
  gpu_room room;
  if (tile_bytes > STAGING_SLOT_BYTES)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "rows of %u weights are too long", (unsigned)from->n_cols);
  hn_status status = gpu_upload_room(upload, tile_bytes, n_tiles - *first, &room, err);
  if (status)
    return status;
  staging_rows s = {from, *first * TILE_ROWS, room.mapped};
  uint32_t n = (uint32_t)room.n, there = from->n_rows - s.first;
  there = there < n * TILE_ROWS ? there : n * TILE_ROWS;
  threads_run(pool, there, (uint32_t)(PIECE_BYTES / from->row_bytes + 1), stage_rows, &s);
  memset(s.out + there * from->row_bytes, 0, n * tile_bytes - there * from->row_bytes);
  kernel_rearrange(room.cmd, k, to, *first, n, room.address);
  *first += n;
  return HN_OK;
}
