#include "planes.h"

#include <string.h>

#include "../loader/quant.h"
#include "../shaders/shared.h"

/* ---- what a type keeps in each plane: bytes per granule, or per super-block of 8 granules ---- */

typedef struct plane_sizes {
  uint32_t granule[N_PLANES], super[N_PLANES];
  uint32_t scale_at, d_at; /* where a block has what these planes hold */
  int offset;              /* added to a weight gives its unsigned code */
} plane_sizes;

static plane_sizes sizes_of(uint32_t type) {
  switch (type) {
  case QUANT_IQ4_NL: /* they have no offset: see write_bit_planes */
    return (plane_sizes){.granule = {[PLANE_Q] = 16, [PLANE_D] = 2}};
  case QUANT_IQ4_XS:
    return (plane_sizes){.granule = {[PLANE_Q] = 16}, .super = {[PLANE_SCALE] = 8}};
  case QUANT_Q4_0:
    return (plane_sizes){.granule = {[PLANE_Q] = 16, [PLANE_D] = 2}, .offset = 8};
  case QUANT_Q4_1:
    return (plane_sizes){.granule = {[PLANE_Q] = 16, [PLANE_D] = 4}};
  case QUANT_Q5_0:
    return (plane_sizes){.granule = {[PLANE_Q] = 16, [PLANE_HIGH] = 4, [PLANE_D] = 2}, .offset = 16};
  case QUANT_Q5_1:
    return (plane_sizes){.granule = {[PLANE_Q] = 16, [PLANE_HIGH] = 4, [PLANE_D] = 4}};
  case QUANT_Q8_0:
    return (plane_sizes){.granule = {[PLANE_Q] = 16, [PLANE_HIGH] = 16, [PLANE_D] = 2}};
  case QUANT_Q2_K:
    return (plane_sizes){.granule = {[PLANE_Q] = 8}, .super = {[PLANE_SCALE] = 16, [PLANE_D] = 4}, .d_at = 80};
  case QUANT_Q3_K:
    return (plane_sizes){.granule = {[PLANE_Q] = 8, [PLANE_HIGH] = 4}, .super = {[PLANE_SCALE] = 12, [PLANE_D] = 2},
                         .scale_at = 96, .d_at = 108, .offset = 4};
  case QUANT_Q4_K:
    return (plane_sizes){.granule = {[PLANE_Q] = 16}, .super = {[PLANE_SCALE] = 16}};
  case QUANT_Q5_K:
    return (plane_sizes){.granule = {[PLANE_Q] = 16, [PLANE_HIGH] = 4}, .super = {[PLANE_SCALE] = 16}};
  default: /* Q6_K */
    return (plane_sizes){.granule = {[PLANE_Q] = 16, [PLANE_HIGH] = 8}, .super = {[PLANE_SCALE] = 16, [PLANE_D] = 2},
                         .scale_at = 192, .d_at = 208, .offset = 32};
  }
}

planes planes_of(uint32_t type, uint32_t n_rows, uint32_t n_granules) {
  plane_sizes sizes = sizes_of(type);
  planes p = {.n_tiles = (n_rows + TILE_ROWS - 1) / TILE_ROWS};
  for (int i = 0; i < N_PLANES; i++)
    p.tile_bytes[i] = TILE_ROWS * ((uint64_t)n_granules * sizes.granule[i] + n_granules / 8 * sizes.super[i]);
  return p;
}

uint64_t planes_bytes(uint32_t type, uint32_t n_rows, uint32_t n_granules) {
  planes p = planes_of(type, n_rows, n_granules);
  uint64_t bytes = 0;
  for (int i = 0; i < N_PLANES; i++)
    bytes += p.n_tiles * p.tile_bytes[i];
  return bytes;
}

/* ---- one granule ---- */

static void write_nibbles(const uint8_t code[QUANT_GRANULE], uint8_t *out) {
  for (int i = 0; i < 16; i++)
    out[i] = (uint8_t)((code[i] & 15) | code[i + 16] << 4);
}

static void write_fifth_bits(const uint8_t code[QUANT_GRANULE], uint8_t *out) {
  memset(out, 0, 4);
  for (int i = 0; i < QUANT_GRANULE; i++)
    out[i / 8] = (uint8_t)(out[i / 8] | code[i] >> 4 << i % 8);
}

static void write_third_bits(const uint8_t code[QUANT_GRANULE], uint8_t *out) {
  memset(out, 0, 4);
  for (int i = 0; i < QUANT_GRANULE; i++)
    out[i % 4] = (uint8_t)(out[i % 4] | code[i] >> 2 << i / 4);
}

/* Bits `first` and first + 1. */
static void write_bit_pairs(const uint8_t code[QUANT_GRANULE], int first, uint8_t *out) {
  memset(out, 0, 8);
  for (int i = 0; i < QUANT_GRANULE; i++)
    out[i / 16 * 4 + i % 4] = (uint8_t)(out[i / 16 * 4 + i % 4] | (code[i] >> first & 3) << i % 16 / 4 * 2);
}

/* Of the codes of IQ4_NL and IQ4_XS; nibbles: as in the file. */
static void write_bit_planes(const uint8_t nibbles[16], uint8_t *out) {
  memset(out, 0, 16);
  for (int i = 0; i < QUANT_GRANULE; i++)
    for (int bit = 0; bit < 4; bit++) {
      uint8_t *byte = out + 4 * bit + i % 4;
      *byte = (uint8_t)(*byte | (nibbles[i % 16] >> (i / 16 * 4 + bit) & 1) << i / 4);
    }
}

static void write_codes(uint32_t type, int offset, const int8_t q[QUANT_GRANULE], uint8_t *low, uint8_t *high) {
  uint8_t code[QUANT_GRANULE];
  if (type == QUANT_Q8_0) {
    memcpy(low, q, 16);
    memcpy(high, q + 16, 16);
    return;
  }
  for (int i = 0; i < QUANT_GRANULE; i++)
    code[i] = (uint8_t)(q[i] + offset);
  if (type == QUANT_Q2_K || type == QUANT_Q3_K)
    write_bit_pairs(code, 0, low);
  else
    write_nibbles(code, low);
  if (type == QUANT_Q5_0 || type == QUANT_Q5_1 || type == QUANT_Q5_K)
    write_fifth_bits(code, high);
  else if (type == QUANT_Q6_K)
    write_bit_pairs(code, 4, high);
  else if (type == QUANT_Q3_K)
    write_third_bits(code, high);
}

/* ---- one row ---- */

static void copy(uint8_t *plane, size_t index, const uint8_t *from, size_t n) {
  if (n) /* there is such a plane */
    memcpy(plane + index * n, from, n);
}

static void write_row(const matrix *m, const uint8_t *row, uint32_t lane, uint8_t *const out[N_PLANES]) {
  plane_sizes sizes = sizes_of(m->type);
  quant_type_info info = quant_info(m->type);
  uint32_t per_block = info.block_weights / QUANT_GRANULE; /* granules: 1 or 8 */
  for (uint32_t k = 0; k < m->n_cols / QUANT_GRANULE; k++) {
    const uint8_t *block = row + (size_t)(k / per_block) * info.block_bytes;
    size_t at = (size_t)k * TILE_ROWS + lane, super = (size_t)(k / 8) * TILE_ROWS + lane;
    uint8_t *low = out[PLANE_Q] + at * sizes.granule[PLANE_Q];
    if (m->type == QUANT_IQ4_NL || m->type == QUANT_IQ4_XS) {
      write_bit_planes(block + (m->type == QUANT_IQ4_NL ? 2 : 8 + k % 8 * 16), low);
    } else {
      quant_granule g;
      quant_load_granule(m->type, row, k, &g);
      write_codes(m->type, sizes.offset, g.q, low, out[PLANE_HIGH] + at * sizes.granule[PLANE_HIGH]);
    }
    copy(out[PLANE_D], at, block + sizes.d_at, sizes.granule[PLANE_D]);
    if (per_block == 1 || k % 8)
      continue;
    copy(out[PLANE_SCALE], super, block + sizes.scale_at, sizes.super[PLANE_SCALE]);
    copy(out[PLANE_D], super, block + sizes.d_at, sizes.super[PLANE_D]);
  }
}

/* The matrix is of a quantized type: no row is converted. */
static void write_tile(const matrix *m, uint32_t tile, uint8_t *const out[N_PLANES]) {
  uint32_t first = tile * TILE_ROWS;
  uint32_t n = m->n_rows - first < TILE_ROWS ? m->n_rows - first : TILE_ROWS;
  if (n < TILE_ROWS) {
    planes p = planes_of(m->type, m->n_rows, m->n_cols / QUANT_GRANULE);
    for (int i = 0; i < N_PLANES; i++)
      memset(out[i], 0, p.tile_bytes[i]);
  }
  for (uint32_t lane = 0; lane < n; lane++)
    write_row(m, matrix_row(m, first + lane, NULL), lane, out);
}

void planes_write(uint32_t type, uint32_t n_rows, uint32_t n_cols, const uint8_t *blocks, uint8_t *const out[N_PLANES]) {
  gguf_tensor tensor = {.type = type, .n_dims = 2, .dims = {n_cols, n_rows, 1, 1}, .data = blocks};
  matrix m = matrix_of(&tensor);
  planes p = planes_of(type, n_rows, n_cols / QUANT_GRANULE);
  for (uint32_t tile = 0; tile < p.n_tiles; tile++) {
    uint8_t *to[N_PLANES];
    for (int i = 0; i < N_PLANES; i++)
      to[i] = p.tile_bytes[i] ? out[i] + tile * p.tile_bytes[i] : out[PLANE_Q]; /* of 0 bytes, any that is there */
    write_tile(&m, tile, to);
  }
}
