/*
 * quant.h: the tensor types of GGUF files: their names, sizes and meaning.
 *
 * A row of K weights is stored as blocks. Every type is seen in one common form, granules of 32 weights:
 *
 *     weight[j] = float(scale[j / 16] * q[j]) * d  +  float(minimum[j / 16]) * m      q: int8; scale, minimum: small integers
 *
 * Legacy types have scale = minimum = 1.
 *
 * The sum over a granule of scale * q * x with activations of -127 .. 127 is below 2^24, so that f32 holds it exactly: at most
 * 32 * 128 * 32 * 127 = 16646144 in Q6_K and 32 * 32 * 127 * 127 = 16516096 in IQ4_XS, far less in the others.
 */
#ifndef HN_QUANT_H
#define HN_QUANT_H

#include "../runtime/error.h"

typedef enum quant_type { /* numbered as in the file */
  QUANT_F32 = 0, QUANT_F16 = 1, QUANT_Q4_0 = 2, QUANT_Q4_1 = 3, QUANT_Q5_0 = 6, QUANT_Q5_1 = 7, QUANT_Q8_0 = 8,
  QUANT_Q2_K = 10, QUANT_Q3_K = 11, QUANT_Q4_K = 12, QUANT_Q5_K = 13, QUANT_Q6_K = 14,
  QUANT_IQ4_NL = 20, QUANT_IQ4_XS = 23, QUANT_BF16 = 30,
} quant_type;

typedef struct quant_type_info {
  const char *name;      /* "Q4_K"; NULL: not a type this version knows */
  uint32_t block_weights; /* weights per block: 1, 32 or 256 */
  uint32_t block_bytes;
} quant_type_info;

/* Of any number; name is NULL where it is unknown. */
quant_type_info quant_info(uint32_t type);

/* True for the types that kernels multiply with: all but F32, F16, BF16. */
bool quant_is_quantized(uint32_t type);

/* Dequantizes n weights (a multiple of the type's block) as the format defines them, in f32. */
void quant_dequantize(uint32_t type, const void *blocks, size_t n, float *out);

/* Quantizes n values (a multiple of 32) to Q8_0 blocks: d = amax / 127 in f16, q rounded to nearest even (exact.h's
 * x_rcp and rounding, so that every machine gives the same bytes). */
void quant_to_q8_0(const float *x, size_t n, void *blocks);

#define QUANT_GRANULE 32

typedef struct quant_granule { /* 32 weights in the common form */
  int8_t q[QUANT_GRANULE];
  int32_t scale[2], minimum[2]; /* of the first and the second 16 */
  float d, m;
} quant_granule;

/* Granule index (weights 32 * index ..) of a row of blocks. type must be a quantized one. */
void quant_load_granule(uint32_t type, const void *row, size_t index, quant_granule *out);

/* True where m is not 0: Q4_1, Q5_1, Q2_K, Q4_K, Q5_K. */
bool quant_has_minimum(uint32_t type);

#endif
