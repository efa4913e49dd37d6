/*
 * planes.h: a matrix in the form in which shaders read it: planes of tiles of 16 rows. The layout stands in
 * shaders/weights.glsl. This is its writer in C: the reference of shaders/rearrange.comp, which writes it while a model is loaded.
 */
#ifndef HN_PLANES_H
#define HN_PLANES_H

#include "matrix.h"

enum { PLANE_Q, PLANE_HIGH, PLANE_SCALE, PLANE_D, N_PLANES };

typedef struct planes {
  uint32_t n_tiles;                /* the rows of the last are filled up with zeros */
  uint64_t tile_bytes[N_PLANES];   /* multiples of 32; 0: the type has no such plane */
} planes;

/* type: a quantized one; n_granules: of QUANT_GRANULE columns. */
planes planes_of(uint32_t type, uint32_t n_rows, uint32_t n_granules);

/* Bytes of all planes of a matrix. */
uint64_t planes_bytes(uint32_t type, uint32_t n_rows, uint32_t n_granules);

/* All tiles of a matrix of a quantized type, whose rows lie in `blocks` as a file has them; out[plane]: n_tiles *
 * tile_bytes[plane] bytes. */
void planes_write(uint32_t type, uint32_t n_rows, uint32_t n_cols, const uint8_t *blocks, uint8_t *const out[N_PLANES]);

#endif
