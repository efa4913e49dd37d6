/*
 * kernels_cpu.h: the kernels of shaders/ in C, on one thread, with the same bits and the same layouts of activations
 * and cache (shaders/shared.h). Weights are read as the file has them. This is the specification of the arithmetic:
 * read it beside the shader of the same name.
 */
#ifndef HN_KERNELS_CPU_H
#define HN_KERNELS_CPU_H

#include "../loader/quant.h"

typedef struct cpu_matrix {
  uint32_t type; /* a quantized one */
  uint32_t n_rows, n_cols;
  const uint8_t *blocks;
  size_t row_bytes;
} cpu_matrix;

typedef struct cpu_q8 { /* rows of n values, one behind the other */
  int8_t *q;     /* n per row */
  float *d;      /* n / 32 */
  int16_t *sums; /* n / 16 */
} cpu_q8;

typedef struct cpu_heads { /* shapes of attention */
  uint32_t n_heads, n_kv_heads, head_dim;
} cpu_heads;

typedef struct cpu_cache { /* of one layer: see shaders/shared.h */
  uint32_t type;          /* QUANT_Q8_0 or QUANT_Q4_0 */
  uint32_t n_device_blocks; /* the first ones, which lie in `device`; the others in `host`: a GPU's two places */
  uint32_t *device, *host;
} cpu_cache;

typedef struct cpu_query {
  int8_t *q; /* (n_tokens, n_heads, 4 * HEAD_WORDS) */
  float *d;  /* (n_tokens, n_heads, HEAD_SCALES) */
} cpu_query;

/* x (n_cols) = row id */
void cpu_embed(const cpu_matrix *table, int32_t id, float *x);

/* Row `row` of out = quantize(rmsnorm(x) * weight); x, weight (n). */
void cpu_norm_quant(const float *x, const float *weight, uint32_t n, float inverse_n, float eps, cpu_q8 out, size_t row);

/* Blocks first .. end - 1 (of 32 values) of out = quantize(x). */
void cpu_quantize(const float *x, size_t first, size_t end, cpu_q8 out);

/* The same for silu(gate) * up. */
void cpu_swiglu_quant(const float *gate, const float *up, size_t first, size_t end, cpu_q8 out);

typedef struct cpu_product { /* y[token][row] = (residual[token][row] +) (w . x (+ bias)) */
  const cpu_matrix *w;
  cpu_q8 x; /* (n_tokens, n_cols) */
  uint32_t n_tokens;
  const float *bias;     /* (n_rows) or NULL */
  const float *residual; /* as y, may be y, or NULL */
  float *y;              /* row of a token: y_stride floats */
  uint32_t y_stride;
} cpu_product;

void cpu_matmul(const cpu_product *p, uint32_t first_row, uint32_t end_row);

/* Stores one token at cache position `position`. qkv (n_heads + 2 * n_kv_heads, head_dim), rotation (head_dim / 2) pairs. */
void cpu_rope_store(const cpu_heads *h, const float *qkv, const float *rotation, uint32_t position, uint32_t token, cpu_query q,
                    const cpu_cache *cache);

/* o (head_dim) for one head of one token that sees positions 0 .. n_visible - 1. */
void cpu_attention(const cpu_heads *h, cpu_query q, uint32_t token, uint32_t head, const cpu_cache *cache, uint32_t n_visible,
                   float *o);

/* The index of the largest of n values, the lowest among equals; 0 where none is above -inf. */
int32_t cpu_argmax(const float *x, uint32_t n);

#endif
