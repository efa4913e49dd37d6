// weights.glsl: a granule of 32 weights of any type in one common form. Built with one TYPE_* defined.
//
//   weight[j] = float(scale[j / 16] * q[j]) * d + float(minimum[j / 16]) * m
//
// Planes of a matrix; granule k of row r lies at index (r / 16 * n_granules + k) * 16 + r % 16, a super-block (8 granules)
// of K-quants at the same with n_granules / 8:
//   w_q      16 bytes per granule: 4 low bits of weight i and i + 16 in byte i. Q8_0: 16 bytes of weights 0-15. Q2_K, Q3_K: 8
//            bytes, bits 2w, 2w + 1 of byte 4h + b are the 2 low bits of weight 16h + 4w + b. IQ4_NL, IQ4_XS: 16 bytes, bit w
//            of byte 4p + b is bit p of the code of weight 4w + b
//   w_high   Q5_0, Q5_1, Q5_K: 4 bytes, bit i is bit 4 of weight i. Q6_K: 8 bytes, bits 4, 5 in the order of Q2_K. Q3_K: 4
//            bytes, bit w of byte b is bit 2 of weight 4w + b. Q8_0: 16 bytes of weights 16-31
//   w_scale  per super-block, as in the file. Q4_K, Q5_K: 16 bytes, f16 d and dmin, then scales and minimums of 6 bits. Q6_K: 16
//            int8. Q2_K: 16 bytes, scale and minimum of 4 bits. Q3_K: 12 bytes, 16 scales of 6 bits.
//            IQ4_XS: 8 bytes, f16 d, the 2 high bits of 8 scales, their 4 low bits
//   w_d      f16 d per granule (Q3_K, Q6_K: per super-block); Q4_1, Q5_1: f16 pairs d, m; Q2_K: of d, dmin per super-block

#if defined(TYPE_Q2_K) || defined(TYPE_Q3_K) || defined(TYPE_Q4_K) || defined(TYPE_Q5_K) || defined(TYPE_Q6_K) || \
    defined(TYPE_IQ4_XS)
#define UNIT_GRANULES 8u // chunks of a row are cut at super-blocks
#else
#define UNIT_GRANULES 1u
#endif
#if defined(TYPE_Q4_1) || defined(TYPE_Q5_1) || defined(TYPE_Q2_K) || defined(TYPE_Q4_K) || defined(TYPE_Q5_K)
#define HAS_MINIMUM
#endif
#if defined(TYPE_Q2_K) || defined(TYPE_Q3_K) || defined(TYPE_Q6_K)
#define TWO_SCALES // scale[0] and scale[1] differ, and the minimums
#endif

// Bytes of a granule (w_scale, and w_d of K-quants: of a super-block) in each plane.
#if defined(TYPE_Q2_K) || defined(TYPE_Q3_K)
#define Q_BYTES 8u
#else
#define Q_BYTES 16u
#endif
#if defined(TYPE_Q8_0)
#define HIGH_BYTES 16u
#elif defined(TYPE_Q6_K)
#define HIGH_BYTES 8u
#else
#define HIGH_BYTES 4u
#endif
#if defined(TYPE_Q3_K)
#define SCALE_BYTES 12u
#elif defined(TYPE_IQ4_XS)
#define SCALE_BYTES 8u
#else
#define SCALE_BYTES 16u
#endif
#if defined(TYPE_Q4_1) || defined(TYPE_Q5_1) || defined(TYPE_Q2_K)
#define D_BYTES 4u
#else
#define D_BYTES 2u
#endif

// A weight is its code minus OFFSET.
#if defined(TYPE_Q3_K)
#define OFFSET 4
#elif defined(TYPE_Q4_0)
#define OFFSET 8
#elif defined(TYPE_Q5_0)
#define OFFSET 16
#elif defined(TYPE_Q6_K)
#define OFFSET 32
#else
#define OFFSET 0
#endif

struct Planes {
  uvec2 q, high, scale, d;
};

struct Granule {
  uint q[8]; // four signed bytes each, in the order of the weights
  int scale[2], minimum[2];
  float d, m;
};

// x_f16_to_f32 with fewer operations. y, at least 2^-15, has the bits of h at their places in f32: where h is normal, it is the value, at least
// 2^-14, and what is clamped is 0. Where h is subnormal or zero, of the mantissa m < 1, y is 2^-15 (1 + m), and the value is 2^-14 m, which is
// y - (2^-14 - y). Nothing is subnormal in f32, or NaN. The clamp costs nothing behind a subtraction.
float half_value(uint h) {
  float y = x_from_bits(((h & 0x7FFFu) << 13) + 0x38000000u), value = y - clamp(6.103515625e-5 - y, 0.0, 1.0);
  return x_from_bits(x_bits(value) | (h & 0x8000u) << 16);
}

float half_at(uvec2 plane, uint i) {
  uint pair = Words(plane).at[i / 2u];
  return half_value(i % 2u == 0u ? pair & 0xFFFFu : pair >> 16);
}

// Four bits to bit 4 of four bytes.
uint spread_fifth(uint bits) {
  return ((bits & 15u) * 0x00204081u & 0x01010101u) << 4;
}

void load_nibbles(uvec4 w, inout Granule g) {
  for (uint i = 0u; i < 4u; i++) {
    g.q[i] = w[i] & 0x0F0F0F0Fu;
    g.q[i + 4u] = w[i] >> 4 & 0x0F0F0F0Fu;
  }
}

void load_bit_pairs(uvec2 w, inout Granule g) {
  for (uint i = 0u; i < 8u; i++)
    g.q[i] = w[i / 4u] >> (2u * (i % 4u)) & 0x03030303u;
}

void add_fifth(uint high, inout Granule g) {
  for (uint i = 0u; i < 8u; i++)
    g.q[i] |= spread_fifth(high >> (4u * i));
}

#if defined(TYPE_Q4_K) || defined(TYPE_Q5_K)
// Of four neighbours at once: the 6 bits of the first lie in a byte; of the others 4 do, and 2 in the first's high bits.
void load_k_scales(uvec4 s, uint sub, inout Granule g) {
  uint scales = sub < 4u ? s.y & 0x3F3F3F3Fu : (s.w & 0x0F0F0F0Fu) | (s.y >> 2 & 0x30303030u);
  uint minimums = sub < 4u ? s.z & 0x3F3F3F3Fu : (s.w >> 4 & 0x0F0F0F0Fu) | (s.z >> 2 & 0x30303030u);
  g.scale[0] = g.scale[1] = int(bitfieldExtract(scales, int(8u * (sub & 3u)), 8));
  g.minimum[0] = g.minimum[1] = int(bitfieldExtract(minimums, int(8u * (sub & 3u)), 8));
  g.d = half_value(s.x & 0xFFFFu);
  g.m = -half_value(s.x >> 16);
}
#endif

#ifdef TYPE_Q2_K
void load_q2_k(Planes w, uint i, uint super, uint sub, inout Granule g) {
  load_bit_pairs(Words2(w.q).at[i], g);
  uint scales = Words(w.scale).at[4u * super + sub / 2u] >> (16u * (sub % 2u));
  for (uint h = 0u; h < 2u; h++) {
    g.scale[h] = int(scales >> (8u * h) & 15u);
    g.minimum[h] = int(scales >> (8u * h + 4u) & 15u);
  }
  uint pair = Words(w.d).at[super];
  g.d = half_value(pair & 0xFFFFu);
  g.m = -half_value(pair >> 16);
}
#endif

#ifdef TYPE_Q3_K
void load_q3_k(Planes w, uint i, uint super, uint sub, inout Granule g) {
  load_bit_pairs(Words2(w.q).at[i], g);
  uint high = Words(w.high).at[i];
  for (uint j = 0u; j < 8u; j++)
    g.q[j] |= (high >> j & 0x01010101u) << 2;
  // The scales 2 * sub and 2 * sub + 1: 4 low bits in neighbours of bytes 0-7, 2 high bits in neighbours of bytes 8-11.
  uint shift = 16u * (sub % 2u);
  uint low = Words(w.scale).at[3u * super + sub % 4u / 2u] >> (shift + 4u * (sub / 4u));
  uint top = Words(w.scale).at[3u * super + 2u] >> (shift + 2u * (sub / 2u));
  for (uint h = 0u; h < 2u; h++)
    g.scale[h] = int((low >> (8u * h) & 15u) | (top >> (8u * h) & 3u) << 4) - 32;
  g.d = half_at(w.d, super);
}
#endif

#if defined(TYPE_IQ4_NL) || defined(TYPE_IQ4_XS)
// Swaps the bits mask << shift of a with the bits mask of b.
void swap_bits(uint shift, uint mask, inout uint a, inout uint b) {
  uint t = (a >> shift ^ b) & mask;
  a ^= t << shift;
  b ^= t;
}

// The values of 32 codes at once. Each of their 8 bits is a function of the 4 bits of a code, w.x (the lowest) to w.w; these are
// the functions of the table in loader/quant.c. Then the 8 x 8 bits of each 8 weights are transposed to bytes.
void load_iq4(uvec4 w, inout Granule g) {
  uint t = w.w & ~w.y, odd = w.y ^ w.z ^ w.w, differ = w.x ^ w.w;
  g.q[6] = w.z & ~(t & ~w.x);
  uint u = w.w ^ (differ | g.q[6]);
  uint v = u & ~odd, x = w.x ^ v;
  g.q[0] = ~v;
  g.q[1] = u & ~(w.x & ~w.y);
  g.q[3] = u ^ (w.y & ~x);
  g.q[4] = differ ^ (odd & ~g.q[3]);
  g.q[5] = w.y ^ (g.q[4] & ~(w.x & ~t));
  g.q[2] = g.q[5] ^ x ^ (g.q[1] & odd);
  g.q[7] = ~w.w;
  for (uint i = 0u; i < 4u; i++)
    swap_bits(4u, 0x0F0F0F0Fu, g.q[i], g.q[i + 4u]);
  for (uint i = 0u; i < 4u; i++)
    swap_bits(2u, 0x33333333u, g.q[i + (i & 2u)], g.q[i + (i & 2u) + 2u]);
  for (uint i = 0u; i < 4u; i++)
    swap_bits(1u, 0x55555555u, g.q[2u * i], g.q[2u * i + 1u]);
}
#endif

// The granule at index i, one of a super-block at index super, in which it has index sub. Its q are codes: OFFSET is not subtracted.
Granule load_codes(Planes w, uint i, uint super, uint sub) {
  Granule g;
  g.scale[0] = g.scale[1] = g.minimum[0] = g.minimum[1] = 1;
  g.m = 0.0;
#if defined(TYPE_Q2_K)
  load_q2_k(w, i, super, sub, g);
#elif defined(TYPE_Q3_K)
  load_q3_k(w, i, super, sub, g);
#elif defined(TYPE_IQ4_NL) || defined(TYPE_IQ4_XS)
  load_iq4(Words4(w.q).at[i], g);
#elif defined(TYPE_Q8_0)
  uvec4 low = Words4(w.q).at[i], high = Words4(w.high).at[i];
  for (uint j = 0u; j < 4u; j++) {
    g.q[j] = low[j];
    g.q[j + 4u] = high[j];
  }
#else
  load_nibbles(Words4(w.q).at[i], g);
#endif
#if defined(TYPE_Q5_0) || defined(TYPE_Q5_1) || defined(TYPE_Q5_K)
  add_fifth(Words(w.high).at[i], g);
#endif
#if defined(TYPE_Q4_0) || defined(TYPE_Q5_0) || defined(TYPE_Q8_0) || defined(TYPE_IQ4_NL)
  g.d = half_at(w.d, i);
#endif
#if defined(TYPE_Q4_1) || defined(TYPE_Q5_1)
  uint pair = Words(w.d).at[i];
  g.d = half_value(pair & 0xFFFFu);
  g.m = half_value(pair >> 16);
#endif
#if defined(TYPE_Q4_K) || defined(TYPE_Q5_K)
  load_k_scales(Words4(w.scale).at[super], sub, g);
#endif
#ifdef TYPE_IQ4_XS
  uvec2 s = Words2(w.scale).at[super];
  g.scale[0] = g.scale[1] = int((s.y >> (4u * sub) & 15u) | (s.x >> (16u + 2u * sub) & 3u) << 4) - 32;
  g.d = half_value(s.x & 0xFFFFu);
#endif
#ifdef TYPE_Q6_K
  for (uint h = 0u; h < 2u; h++) {
    uint high = Words(w.high).at[2u * i + h];
    for (uint j = 0u; j < 4u; j++)
      g.q[4u * h + j] |= (high >> (2u * j) & 0x03030303u) << 4;
  }
  uint scales = Words4(w.scale).at[super][sub / 2u];
  g.scale[0] = byte_of(scales, sub % 2u * 2u);
  g.scale[1] = byte_of(scales, sub % 2u * 2u + 1u);
  g.d = half_at(w.d, super);
#endif
  return g;
}

// Where a row begins, by its place in a tile: the indices of its first granule and super-block.
struct RowStart {
  uint granule, super;
};

RowStart start_of_row(uint n_granules, uint tile, uint lane) {
  return RowStart(tile * n_granules * TILE_ROWS + lane, tile * (n_granules / UNIT_GRANULES) * TILE_ROWS + lane);
}

// Of granule k of a row.
Granule load_row_codes(Planes w, RowStart row, uint k) {
  return load_codes(w, row.granule + k * TILE_ROWS, row.super + k / UNIT_GRANULES * TILE_ROWS, k % UNIT_GRANULES);
}

// Of granule k of row `lane` of a tile.
Granule load_tile_codes(Planes w, uint n_granules, uint tile, uint lane, uint k) {
  return load_row_codes(w, start_of_row(n_granules, tile, lane), k);
}

// Of granule k of a row, with OFFSET subtracted.
Granule load_granule(Planes w, uint n_granules, uint row, uint k) {
  Granule g = load_tile_codes(w, n_granules, row / TILE_ROWS, row % TILE_ROWS, k);
  if (OFFSET != 0)
    for (uint i = 0u; i < 8u; i++)
      g.q[i] = subtract_bytes(g.q[i], OFFSET);
  return g;
}
