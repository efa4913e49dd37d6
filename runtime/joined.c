#include "joined.h"

#include "../loader/quant.h"
#include "../shaders/shared.h"
#include "matrix.h"
#include "planes.h"

/* The bias of a matrix; N_LAYER_VECTORS: none. */
static int bias_of(int m) {
  switch (m) {
  case WQ: return BQ;
  case WK: return BK;
  case WV: return BV;
  default: return N_LAYER_VECTORS;
  }
}

static bool has_bias(const model_layer *layer, int m) {
  return bias_of(m) < N_LAYER_VECTORS && layer->vectors[bias_of(m)];
}

/* Whether m follows m - 1 in one matrix. */
static bool follows(const model_layer *layer, int m) {
  if (m != WK && m != WV && m != W_UP)
    return false;
  matrix before = matrix_of(layer->matrices[m - 1]), it = matrix_of(layer->matrices[m]);
  return it.type == before.type && it.n_cols == before.n_cols && before.n_rows % TILE_ROWS == 0 && has_bias(layer, m - 1) == has_bias(layer, m);
}

uint32_t joined_count(const model_layer *layer, int m) {
  if (follows(layer, m))
    return 0;
  uint32_t n = 1;
  while (m + (int)n < N_LAYER_MATRICES && follows(layer, m + (int)n))
    n++;
  return n;
}

uint64_t joined_bytes(const model_layer *layer, int m) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < joined_count(layer, m); i++) {
    matrix it = matrix_of(layer->matrices[m + (int)i]);
    bytes += planes_bytes(it.type, it.n_rows, it.n_cols / QUANT_GRANULE);
  }
  return bytes;
}

uint64_t joined_vector_bytes(const model_layer *layer, int v) {
  for (int m = WQ; m <= WV; m++)
    if (bias_of(m) == v && layer->vectors[v]) {
      uint64_t bytes = 0;
      for (uint32_t i = 0; i < joined_count(layer, m); i++)
        bytes += layer->vectors[bias_of(m + (int)i)]->bytes;
      return bytes;
    }
  return layer->vectors[v] ? layer->vectors[v]->bytes : 0;
}
