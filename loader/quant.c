#include "quant.h"

#include <string.h>

#include "../shaders/exact.h"

#define BLOCK 32        /* weights of a legacy block */
#define SUPER_BLOCK 256 /* weights of a K-quant block */

quant_type_info quant_info(uint32_t type) {
  switch (type) {
  case QUANT_F32:
    return (quant_type_info){"F32", 1, 4};
  case QUANT_F16:
    return (quant_type_info){"F16", 1, 2};
  case QUANT_BF16:
    return (quant_type_info){"BF16", 1, 2};
  case QUANT_Q4_0:
    return (quant_type_info){"Q4_0", BLOCK, 18};
  case QUANT_Q4_1:
    return (quant_type_info){"Q4_1", BLOCK, 20};
  case QUANT_Q5_0:
    return (quant_type_info){"Q5_0", BLOCK, 22};
  case QUANT_Q5_1:
    return (quant_type_info){"Q5_1", BLOCK, 24};
  case QUANT_Q8_0:
    return (quant_type_info){"Q8_0", BLOCK, 34};
  case QUANT_Q2_K:
    return (quant_type_info){"Q2_K", SUPER_BLOCK, 84};
  case QUANT_Q3_K:
    return (quant_type_info){"Q3_K", SUPER_BLOCK, 110};
  case QUANT_Q4_K:
    return (quant_type_info){"Q4_K", SUPER_BLOCK, 144};
  case QUANT_Q5_K:
    return (quant_type_info){"Q5_K", SUPER_BLOCK, 176};
  case QUANT_Q6_K:
    return (quant_type_info){"Q6_K", SUPER_BLOCK, 210};
  case QUANT_IQ4_NL:
    return (quant_type_info){"IQ4_NL", BLOCK, 18};
  case QUANT_IQ4_XS:
    return (quant_type_info){"IQ4_XS", SUPER_BLOCK, 136};
  default:
    return (quant_type_info){NULL, 0, 0};
  }
}

bool quant_is_quantized(uint32_t type) {
  return type != QUANT_F32 && type != QUANT_F16 && type != QUANT_BF16 && quant_info(type).name;
}

bool quant_has_minimum(uint32_t type) {
  return type == QUANT_Q4_1 || type == QUANT_Q5_1 || type == QUANT_Q2_K || type == QUANT_Q4_K || type == QUANT_Q5_K;
}

static uint16_t load_u16(const uint8_t *p) {
  return (uint16_t)(p[0] | p[1] << 8);
}

static float load_f16(const uint8_t *p) {
  return x_f16_to_f32(load_u16(p));
}

/* 32 nibbles: the low halves of 16 bytes are weights 0-15, the high halves weights 16-31. */
static void load_nibbles(const uint8_t *p, int8_t q[QUANT_GRANULE]) {
  for (int j = 0; j < 16; j++) {
    q[j] = (int8_t)(p[j] & 15);
    q[j + 16] = (int8_t)(p[j] >> 4);
  }
}

static void add_fifth_bits(const uint8_t *bits, int8_t q[QUANT_GRANULE]) {
  for (int j = 0; j < QUANT_GRANULE; j++)
    q[j] = (int8_t)(q[j] | (bits[j / 8] >> (j % 8) & 1) << 4);
}

static void subtract(int8_t q[QUANT_GRANULE], int offset) {
  for (int j = 0; j < QUANT_GRANULE; j++)
    q[j] = (int8_t)(q[j] - offset);
}

/* Two bits of 32 bytes: of granule `sub`, whose byte j holds weight j of this granule and of three others. */
static void load_bit_pairs(const uint8_t *bytes, size_t sub, int8_t q[QUANT_GRANULE]) {
  for (int j = 0; j < QUANT_GRANULE; j++)
    q[j] = (int8_t)(bytes[sub / 4 * 32 + (size_t)j] >> sub % 4 * 2 & 3);
}

static void load_q2_k(const uint8_t *block, size_t sub, quant_granule *g) {
  load_bit_pairs(block + 16, sub, g->q);
  for (int i = 0; i < 2; i++) {
    g->scale[i] = block[sub * 2 + (size_t)i] & 15;
    g->minimum[i] = block[sub * 2 + (size_t)i] >> 4;
  }
  g->d = load_f16(block + 80);
  g->m = -load_f16(block + 82);
}

static void load_q3_k(const uint8_t *block, size_t sub, quant_granule *g) {
  load_bit_pairs(block + 32, sub, g->q);
  for (int j = 0; j < QUANT_GRANULE; j++)
    g->q[j] = (int8_t)((g->q[j] | (block[j] >> sub & 1) << 2) - 4);
  const uint8_t *scales = block + 96; /* 16 of 6 bits: the low 4 in 8 bytes, the high 2 in 4 bytes */
  for (size_t i = 0; i < 2; i++) {
    size_t s = sub * 2 + i;
    int low = scales[s % 8] >> s / 8 * 4 & 15, high = scales[8 + s % 4] >> s / 4 * 2 & 3;
    g->scale[i] = (low | high << 4) - 32;
  }
  g->minimum[0] = g->minimum[1] = 1;
  g->d = load_f16(block + 108);
  g->m = 0;
}

/* The 6-bit scale and minimum of granule `sub` of a Q4_K or Q5_K super-block. */
static void load_scale_min(const uint8_t *scales, size_t sub, quant_granule *g) {
  int scale, minimum;
  if (sub < 4) {
    scale = scales[sub] & 63;
    minimum = scales[sub + 4] & 63;
  } else {
    scale = (scales[sub + 4] & 15) | scales[sub - 4] >> 6 << 4;
    minimum = scales[sub + 4] >> 4 | scales[sub] >> 6 << 4;
  }
  g->scale[0] = g->scale[1] = scale;
  g->minimum[0] = g->minimum[1] = minimum;
}

static void load_q4_k(const uint8_t *block, size_t sub, quant_granule *g) {
  const uint8_t *qs = block + 16 + sub / 2 * 32;
  for (int j = 0; j < QUANT_GRANULE; j++)
    g->q[j] = (int8_t)(sub % 2 ? qs[j] >> 4 : qs[j] & 15);
  load_scale_min(block + 4, sub, g);
  g->d = load_f16(block);
  g->m = -load_f16(block + 2);
}

static void load_q5_k(const uint8_t *block, size_t sub, quant_granule *g) {
  const uint8_t *qs = block + 48 + sub / 2 * 32;
  const uint8_t *high = block + 16;
  for (int j = 0; j < QUANT_GRANULE; j++) {
    int low = sub % 2 ? qs[j] >> 4 : qs[j] & 15;
    g->q[j] = (int8_t)(low | (high[j] >> sub & 1) << 4);
  }
  load_scale_min(block + 4, sub, g);
  g->d = load_f16(block);
  g->m = -load_f16(block + 2);
}

static void load_q6_k(const uint8_t *block, size_t sub, quant_granule *g) {
  const uint8_t *low = block + sub / 4 * 64 + sub % 2 * 32;
  const uint8_t *high = block + 128 + sub / 4 * 32;
  size_t nibble = sub % 4 / 2 * 4;
  size_t pair = sub % 4 * 2;
  for (int j = 0; j < QUANT_GRANULE; j++)
    g->q[j] = (int8_t)(((low[j] >> nibble & 15) | (high[j] >> pair & 3) << 4) - 32);
  const int8_t *scales = (const int8_t *)block + 192 + sub * 2;
  g->scale[0] = scales[0];
  g->scale[1] = scales[1];
  g->minimum[0] = g->minimum[1] = 1;
  g->d = load_f16(block + 208);
  g->m = 0;
}

/* The values of the 16 codes of IQ4_NL and IQ4_XS; shaders/weights.glsl has them as functions of a code's bits. */
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void load_iq4(const uint8_t *nibbles, quant_granule *g) {
  load_nibbles(nibbles, g->q);
  for (int j = 0; j < QUANT_GRANULE; j++)
    g->q[j] = iq4_values[g->q[j]];
  g->scale[0] = g->scale[1] = g->minimum[0] = g->minimum[1] = 1;
  g->m = 0;
}

static void load_iq4_nl(const uint8_t *block, quant_granule *g) {
  load_iq4(block + 2, g);
  g->d = load_f16(block);
}

static void load_iq4_xs(const uint8_t *block, size_t sub, quant_granule *g) {
  load_iq4(block + 8 + sub * 16, g);
  int low = block[4 + sub / 2] >> sub % 2 * 4 & 15, high = load_u16(block + 2) >> sub * 2 & 3;
  g->scale[0] = g->scale[1] = (low | high << 4) - 32;
  g->d = load_f16(block);
}

static void load_legacy(uint32_t type, const uint8_t *block, quant_granule *g) {
  bool affine = type == QUANT_Q4_1 || type == QUANT_Q5_1;
  g->scale[0] = g->scale[1] = g->minimum[0] = g->minimum[1] = 1;
  g->d = load_f16(block);
  g->m = affine ? load_f16(block + 2) : 0;
  const uint8_t *p = block + (affine ? 4 : 2);
  if (type == QUANT_Q8_0) {
    memcpy(g->q, p, QUANT_GRANULE);
    return;
  }
  bool fifth = type == QUANT_Q5_0 || type == QUANT_Q5_1;
  load_nibbles(p + (fifth ? 4 : 0), g->q);
  if (fifth)
    add_fifth_bits(p, g->q);
  if (!affine)
    subtract(g->q, fifth ? 16 : 8);
}

void quant_load_granule(uint32_t type, const void *row, size_t index, quant_granule *out) {
  quant_type_info info = quant_info(type);
  size_t per_block = info.block_weights / QUANT_GRANULE;
  const uint8_t *block = (const uint8_t *)row + index / per_block * info.block_bytes;
  size_t sub = index % per_block;
  switch (type) {
  case QUANT_Q2_K:
    load_q2_k(block, sub, out);
    break;
  case QUANT_Q3_K:
    load_q3_k(block, sub, out);
    break;
  case QUANT_Q4_K:
    load_q4_k(block, sub, out);
    break;
  case QUANT_Q5_K:
    load_q5_k(block, sub, out);
    break;
  case QUANT_Q6_K:
    load_q6_k(block, sub, out);
    break;
  case QUANT_IQ4_NL:
    load_iq4_nl(block, out);
    break;
  case QUANT_IQ4_XS:
    load_iq4_xs(block, sub, out);
    break;
  default:
    load_legacy(type, block, out);
    break;
  }
}

/* IEEE half to float, infinities and NaN as such. */
static float half_value(uint16_t h) {
  if ((h & 0x7C00u) == 0x7C00u)
    return x_from_bits((uint32_t)(h & 0x8000u) << 16 | 0x7F800000u | (uint32_t)(h & 1023u) << 13);
  return x_f16_to_f32(h);
}

static void dequantize_plain(uint32_t type, const uint8_t *p, size_t n, float *out) {
  for (size_t i = 0; i < n; i++)
    switch (type) {
    case QUANT_F32:
      memcpy(&out[i], p + i * 4, 4);
      break;
    case QUANT_F16:
      out[i] = half_value(load_u16(p + i * 2));
      break;
    default:
      out[i] = x_from_bits((uint32_t)load_u16(p + i * 2) << 16);
      break;
    }
}

void quant_dequantize(uint32_t type, const void *blocks, size_t n, float *out) {
  if (!quant_is_quantized(type)) {
    dequantize_plain(type, blocks, n, out);
    return;
  }
  quant_granule g;
  for (size_t i = 0; i < n / QUANT_GRANULE; i++) {
    quant_load_granule(type, blocks, i, &g);
    for (size_t j = 0; j < QUANT_GRANULE; j++) {
      float scale = g.d * (float)g.scale[j / 16];
      float w = scale * (float)g.q[j];
      out[i * QUANT_GRANULE + j] = quant_has_minimum(type) ? w + (float)g.minimum[j / 16] * g.m : w;
    }
  }
}

void quant_to_q8_0(const float *x, size_t n, void *blocks) {
  uint8_t *out = blocks;
  for (size_t i = 0; i < n; i += BLOCK, out += 34) {
    float amax = 0;
    for (size_t j = 0; j < BLOCK; j++) {
      float a = x_abs(x[i + j]);
      if (a > amax)
        amax = a;
    }
    bool zero = amax < X_TINY;
    float inverse = zero ? 0 : X_Q8_MAX * x_rcp(amax);
    uint32_t d = zero ? 0 : x_f32_to_f16(amax * X_Q8_STEP);
    out[0] = (uint8_t)d;
    out[1] = (uint8_t)(d >> 8);
    for (size_t j = 0; j < BLOCK; j++)
      out[2 + j] = zero ? 0 : (uint8_t)x_round(x[i + j] * inverse);
  }
}
