// attention.glsl: the softmax of ROWS queries over a block of the cache, for attention.comp and attention_prompt.comp, which define ROWS
// first. A workgroup works as 64 lanes, of which an invocation is one or, on a CPU, several; what a lane keeps behind a barrier lies in shared
// memory. For the scores, a lane is a position, whose key it reads once for all rows; then lanes are rows: ROW_LANES of them share
// a row, and each has the positions j, j + ROW_LANES, ... of it.
#extension GL_EXT_control_flow_attributes : require
#include "buffers.glsl"
#include "integers.glsl"
#include "activations.glsl"

layout(constant_id = 0) const uint INVOCATIONS = 64u; // by runtime/tuning.c
layout(local_size_x_id = 0) in;
layout(local_size_x = 64) in; // KV_BLOCK; head_dim <= 256

// A loop over the lanes of an invocation; none where there is one.
#define EACH_LANE(work)                                                                                      \
  if (INVOCATIONS == KV_BLOCK) {                                                                             \
    uint lane = gl_LocalInvocationIndex;                                                                     \
    work;                                                                                                    \
  } else {                                                                                                   \
    [[dont_unroll]] for (uint lane = gl_LocalInvocationIndex; lane < KV_BLOCK; lane += INVOCATIONS) { work; } \
  }

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

shared uint row_n[ROWS];             // positions of the block that a row sees: the first ones
shared float scores[ROWS][KV_BLOCK]; // then e^(score - maximum)
shared float value_scales[MAX_VALUE_SCALES][KV_BLOCK];
shared float row_max[ROWS][ROW_LANES], row_sum[ROWS][ROW_LANES], row_m[ROWS];
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

// Of position `at`: scores = q . k * scale of n_rows queries, each one sum from left to right.
void score_position(KvBlock kv, uint at, uint queries[ROWS], uint n_rows) {
  float total[ROWS];
  uint blocks = HEAD_SCALES(p.head_dim);
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

// Of n positions.
void score_rows(KvBlock kv, uint queries[ROWS], uint n_rows, uint n) {
  EACH_LANE(if (lane < n) score_position(kv, lane, queries, n_rows))
  barrier();
}

struct Sums { // of a softmax over some positions
  float m, l; // maximum, sum of e^(score - m)
};

// Of a row's lane: the maximum of its scores, which is the same in any order.
void find_maximum(uint lane) {
  uint row = lane / ROW_LANES, first = lane % ROW_LANES;
  float largest = LOWEST;
  for (uint i = 0u; i < ROWS; i++) {
    uint at = first + ROW_LANES * i;
    float score = at < row_n[row] ? scores[row][at] : LOWEST;
    largest = score > largest ? score : largest;
  }
  row_max[row][first] = largest;
}

void exponentiate(uint lane) {
  uint row = lane / ROW_LANES, first = lane % ROW_LANES;
  float sum[ROWS], m = LOWEST;
  for (uint i = 0u; i < ROW_LANES; i++)
    m = row_max[row][i] > m ? row_max[row][i] : m;
  float top = row_n[row] == 0u ? 0.0 : m; // what is not visible becomes 0 in either case
  for (uint i = 0u; i < ROWS; i++) {
    uint at = first + ROW_LANES * i;
    sum[i] = x_exp((at < row_n[row] ? scores[row][at] : LOWEST) - top);
    scores[row][at] = sum[i];
  }
  for (uint width = ROWS / 2u; width > 0u; width /= 2u)
    for (uint i = 0u; i < width; i++)
      sum[i] = sum[i] + sum[i + width];
  row_sum[row][first] = sum[0];
  if (first == 0u)
    row_m[row] = m;
}

void load_scales(KvBlock kv, uint at, uint n_loaded, uint first_scale, uint n_scales) {
  for (uint s = 0u; s < n_scales; s++)
    value_scales[s][at] = at < n_loaded ? value_scale(kv, at, first_scale + s) : 0.0;
}

// The bits of floats that are not negative are ordered as the floats are.
void find_largest(uint lane, uint n_scales) {
  uint row = lane / ROW_LANES, first = lane % ROW_LANES;
  for (uint s = 0u; s < n_scales; s++) {
    uint a = 0u;
    for (uint i = 0u; i < ROWS; i++)
      a = max(a, floatBitsToUint(scores[row][first + ROW_LANES * i] * value_scales[s][first + ROW_LANES * i]) & 0x7FFFFFFFu);
    scale_max[s][row][first] = a;
  }
}

void round_weights(uint lane, uint n_scales) {
  uint row = lane / ROW_LANES, first = lane % ROW_LANES;
  for (uint s = 0u; s < n_scales; s++) {
    uint largest_bits = 0u;
    for (uint i = 0u; i < ROW_LANES; i++)
      largest_bits = max(largest_bits, scale_max[s][row][i]);
    float a = uintBitsToFloat(largest_bits);
    bool zero = !(a >= X_TINY);
    float to_integer = zero ? 0.0 : P_MAX * x_rcp(a);
    for (uint i = 0u; i < ROWS; i++) {
      uint at = first + ROW_LANES * i;
      weights[s][at * ROWS + row] = x_round((scores[row][at] * value_scales[s][at]) * to_integer);
    }
    if (first == 0u)
      units[s][row] = zero ? 0.0 : a * P_STEP;
  }
}

// Of the softmax of a row.
Sums sums_of_row(uint row) {
  float lanes[ROW_LANES];
  for (uint i = 0u; i < ROW_LANES; i++)
    lanes[i] = row_sum[row][i];
  for (uint width = ROW_LANES / 2u; width > 0u; width /= 2u)
    for (uint i = 0u; i < width; i++)
      lanes[i] = lanes[i] + lanes[i + width];
  return Sums(row_m[row], lanes[0]);
}

// The softmax of each row over the first row_n of the positions that have scores; behind a barrier, row_m and row_sum have its sums.
void softmax_rows() {
  EACH_LANE(find_maximum(lane))
  barrier();
  EACH_LANE(exponentiate(lane))
}

// Its weights as integers for TILE_DIMS values from first_dim on, of n_loaded positions. A barrier must follow before these are read.
void weigh_rows(KvBlock kv, uint n_loaded, uint first_dim) {
  uint first_scale = Q4 != 0 ? first_dim / HEAD_BLOCK : 0u, n_scales = min(VALUE_SCALES - first_scale, uint(MAX_VALUE_SCALES));
  EACH_LANE(load_scales(kv, lane, n_loaded, first_scale, n_scales))
  barrier();
  EACH_LANE(find_largest(lane, n_scales))
  barrier();
  EACH_LANE(round_weights(lane, n_scales))
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
