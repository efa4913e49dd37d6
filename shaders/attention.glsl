// attention.glsl: the softmax of ROWS queries over a block of the cache, for attention.comp and attention_prompt.comp, which define ROWS
// first. A workgroup is 64 lanes. For the scores, a lane is a position, whose key it reads once for all rows; then lanes
// are rows: ROW_LANES of them share a row, and each has the positions j, j + ROW_LANES, ... of it.
#include "buffers.glsl"
#include "integers.glsl"
#include "activations.glsl"

layout(local_size_x = 64) in; // KV_BLOCK; head_dim <= 256

layout(push_constant, std430) uniform Push {
  uvec2 positions, q, q_d, kv_device, kv_host, o, a_q, a_d, a_sums, part_o, part_sums, counters;
  uint n_heads, n_kv_heads, head_dim, n_device_blocks, n_tokens;
  float scale;
} p;

#include "kv.glsl"

#define TILE_DIMS uint(ATTENTION_DIMS) // whose values are summed at a time, and its scales
#define MAX_VALUE_SCALES (3 * Q4 + 1)

#define LOWEST x_from_bits(0xFF7FFFFFu) // the lowest finite number
#define ROW_LANES (KV_BLOCK / ROWS)
#define MY_ROW (gl_LocalInvocationIndex / ROW_LANES)
#define MY_FIRST (gl_LocalInvocationIndex % ROW_LANES)

shared float scores[ROWS][KV_BLOCK];
shared float value_scales[MAX_VALUE_SCALES][KV_BLOCK];
shared float row_max[ROWS][ROW_LANES], row_sum[ROWS][ROW_LANES];
shared uint scale_max[MAX_VALUE_SCALES][ROWS][ROW_LANES];
shared int weights[MAX_VALUE_SCALES][KV_BLOCK * ROWS]; // of a position all rows
shared float units[MAX_VALUE_SCALES][ROWS];            // what a weight of 1 stands for

// The HEAD_BLOCK values of block b of the key of position `at`.
void load_key(KvBlock kv, uint at, uint b, out uvec4 k0, out uvec4 k1) {
#ifdef TYPE_Q4_0
  uvec4 codes = Words4(kv.base).at[(kv.k + at * ROW_WORDS) / 4u + b];
  for (uint i = 0u; i < 4u; i++) {
    k0[i] = subtract_bytes(codes[i] & 0x0F0F0F0Fu, 8u);
    k1[i] = subtract_bytes(codes[i] >> 4 & 0x0F0F0F0Fu, 8u);
  }
#else
  uint k_at = (kv.k + at * ROW_WORDS) / 4u + 2u * b;
  k0 = Words4(kv.base).at[k_at];
  k1 = Words4(kv.base).at[k_at + 1u];
#endif
}

int dot_block(uint query_block, uvec4 k0, uvec4 k1) {
  uvec4 q0 = Words4(p.q).at[2u * query_block], q1 = Words4(p.q).at[2u * query_block + 1u];
  integer dot = integer(0);
  for (uint i = 0u; i < 4u; i++)
    dot = dot4(q0[i], k0[i], dot);
  for (uint i = 0u; i < 4u; i++)
    dot = dot4(q1[i], k1[i], dot);
  return int(dot);
}

// scores = q . k * scale of n_rows queries and n positions, each one sum from left to right.
void score_rows(KvBlock kv, uint queries[ROWS], uint n_rows, uint n) {
  uint at = gl_LocalInvocationIndex, blocks = HEAD_SCALES(p.head_dim);
  if (at < n) {
    float total[ROWS];
    for (uint t = 0u; t < ROWS; t++)
      total[t] = 0.0;
    for (uint b = 0u; b < blocks; b++) {
      uvec4 k0, k1;
      load_key(kv, at, b, k0, k1);
      float k_d = key_scale(kv, at, b);
      for (uint t = 0u; t < ROWS; t++)
        if (t < n_rows) {
          uint query_block = queries[t] * blocks + b;
          float d = k_d * Floats(p.q_d).at[query_block];
          total[t] = total[t] + float(dot_block(query_block, k0, k1)) * d;
        }
    }
    for (uint t = 0u; t < ROWS; t++)
      scores[t][at] = total[t] * p.scale;
  }
  barrier();
}

struct Sums { // of a softmax over some positions
  float m, l; // maximum, sum of e^(score - m)
};

// The softmax of my row over its first n of the n_loaded positions that have scores: its sums, and its weights as integers for TILE_DIMS values
// from first_dim on. A barrier must follow before these are read.
// A maximum is the same in any order, and the bits of floats that are not negative are ordered as the floats are.
Sums weigh_rows(KvBlock kv, uint n_loaded, uint n, uint first_dim) {
  uint first_scale = Q4 != 0 ? first_dim / HEAD_BLOCK : 0u, n_scales = min(VALUE_SCALES - first_scale, uint(MAX_VALUE_SCALES));
  for (uint s = 0u; s < n_scales; s++)
    value_scales[s][gl_LocalInvocationIndex] =
        gl_LocalInvocationIndex < n_loaded ? value_scale(kv, gl_LocalInvocationIndex, first_scale + s) : 0.0;
  float e[ROWS], sum[ROWS], lanes[ROW_LANES];
  float largest = LOWEST;
  for (uint i = 0u; i < ROWS; i++) {
    uint at = MY_FIRST + ROW_LANES * i;
    e[i] = at < n ? scores[MY_ROW][at] : LOWEST;
    largest = e[i] > largest ? e[i] : largest;
  }
  row_max[MY_ROW][MY_FIRST] = largest;
  barrier();
  Sums r;
  r.m = LOWEST;
  for (uint i = 0u; i < ROW_LANES; i++)
    r.m = row_max[MY_ROW][i] > r.m ? row_max[MY_ROW][i] : r.m;
  float top = n == 0u ? 0.0 : r.m; // what is not visible becomes 0 in either case
  for (uint i = 0u; i < ROWS; i++) {
    e[i] = x_exp(e[i] - top);
    sum[i] = e[i];
  }
  for (uint width = ROWS / 2u; width > 0u; width /= 2u)
    for (uint i = 0u; i < width; i++)
      sum[i] = sum[i] + sum[i + width];
  row_sum[MY_ROW][MY_FIRST] = sum[0];
  for (uint s = 0u; s < n_scales; s++) {
    uint a = 0u;
    for (uint i = 0u; i < ROWS; i++)
      a = max(a, floatBitsToUint(e[i] * value_scales[s][MY_FIRST + ROW_LANES * i]) & 0x7FFFFFFFu);
    scale_max[s][MY_ROW][MY_FIRST] = a;
  }
  barrier();
  for (uint i = 0u; i < ROW_LANES; i++)
    lanes[i] = row_sum[MY_ROW][i];
  for (uint width = ROW_LANES / 2u; width > 0u; width /= 2u)
    for (uint i = 0u; i < width; i++)
      lanes[i] = lanes[i] + lanes[i + width];
  r.l = lanes[0];
  for (uint s = 0u; s < n_scales; s++) {
    uint largest_bits = 0u;
    for (uint i = 0u; i < ROW_LANES; i++)
      largest_bits = max(largest_bits, scale_max[s][MY_ROW][i]);
    float a = uintBitsToFloat(largest_bits);
    bool zero = !(a >= X_TINY);
    float to_integer = zero ? 0.0 : P_MAX * x_rcp(a);
    for (uint i = 0u; i < ROWS; i++) {
      uint at = MY_FIRST + ROW_LANES * i;
      weights[s][at * ROWS + MY_ROW] = x_round((e[i] * value_scales[s][at]) * to_integer);
    }
    if (MY_FIRST == 0u)
      units[s][MY_ROW] = zero ? 0.0 : a * P_STEP;
  }
  return r;
}

// Four bytes: values 4 * word .. 4 * word + 3 of position `at`.
uint value_word(KvBlock kv, uint at, uint word) {
#ifdef TYPE_Q4_0
  uint codes = Words(kv.base).at[kv.v + at * ROW_WORDS + word / 8u * 4u + word % 4u];
  return subtract_bytes(codes >> (word & 4u) & 0x0F0F0F0Fu, 8u);
#else
  return Words(kv.base).at[kv.v + at * ROW_WORDS + word];
#endif
}

// a, merged with the part b that follows it, as in "Online normalizer calculation for softmax" (Milakov, Gimelshein 2018): what was summed
// before is to be multiplied by keep, what is added by add. Nothing comes before (LOWEST, 0).
Sums merge(Sums a, Sums b, out float keep, out float add) {
  Sums r;
  r.m = b.m > a.m ? b.m : a.m;
  keep = x_exp(a.m - r.m);
  add = x_exp(b.m - r.m);
  float la = a.l * keep, lb = b.l * add;
  r.l = la + lb;
  return r;
}
