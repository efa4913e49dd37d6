#version 460
// attention: o[token][head] = softmax(q . k / sqrt(head_dim)) . v over the cache positions up to the token's own.
// A workgroup of 64 is one head of one token. It walks the cache in blocks of 64 positions: a lane scores one position, the
// block's softmax weights become integers of 11 bits, then a lane sums 4 dimensions. (Where a value has several scales, Q4_0, each has
// weights of its own.) Blocks are merged from left to right
// as in "Online normalizer calculation for softmax" (Milakov, Gimelshein 2018). Groups: (n_heads, n_tokens).
#include "buffers.glsl"
#include "integers.glsl"

layout(local_size_x = 64) in; // KV_BLOCK; head_dim <= 256

layout(push_constant, std430) uniform Push {
  uvec2 positions, q, q_d, kv_device, kv_host, o;
  uint n_heads, n_kv_heads, head_dim, n_device_blocks;
  float scale;
} p;

#include "kv.glsl"

#define MAX_VALUE_SCALES (7 * Q4 + 1)

shared float tree[KV_BLOCK];
shared int weights[MAX_VALUE_SCALES][KV_BLOCK];
shared uint maxima[KV_BLOCK];
shared float to_integer[MAX_VALUE_SCALES], units[MAX_VALUE_SCALES]; // factors of weights, forth and back

float tree_max(float mine) {
  uint lane = gl_LocalInvocationIndex;
  tree[lane] = mine;
  barrier();
  for (uint width = KV_BLOCK / 2u; width > 0u; width /= 2u) {
    if (lane < width && tree[lane + width] > tree[lane])
      tree[lane] = tree[lane + width];
    barrier();
  }
  float result = tree[0];
  barrier();
  return result;
}

float tree_sum(float mine) {
  uint lane = gl_LocalInvocationIndex;
  tree[lane] = mine;
  barrier();
  for (uint width = KV_BLOCK / 2u; width > 0u; width /= 2u) {
    if (lane < width)
      tree[lane] = tree[lane] + tree[lane + width];
    barrier();
  }
  float result = tree[0];
  barrier();
  return result;
}

// q . k of HEAD_BLOCK values: block b of the query's and of the key of position `at`.
int dot_block(uint query_block, KvBlock kv, uint at, uint b) {
  uint q_at = query_block * 2u;
  uvec4 q0 = Words4(p.q).at[q_at], q1 = Words4(p.q).at[q_at + 1u], k0, k1;
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
  integer dot = integer(0);
  for (uint i = 0u; i < 4u; i++)
    dot = dot4(q0[i], k0[i], dot);
  for (uint i = 0u; i < 4u; i++)
    dot = dot4(q1[i], k1[i], dot);
  return int(dot);
}

// One sum from left to right.
float score(uint query, KvBlock kv, uint at) {
  uint blocks = HEAD_SCALES(p.head_dim);
  float total = 0.0;
  for (uint b = 0u; b < blocks; b++) {
    uint query_block = query * blocks + b;
    float d = key_scale(kv, at, b) * Floats(p.q_d).at[query_block];
    total = total + float(dot_block(query_block, kv, at, b)) * d;
  }
  return total * p.scale;
}

// Four bytes: values 4 * lane .. 4 * lane + 3 of position `at`.
uint value_word(KvBlock kv, uint at, uint lane) {
#ifdef TYPE_Q4_0
  uint codes = Words(kv.base).at[kv.v + at * ROW_WORDS + lane / 8u * 4u + lane % 4u];
  return subtract_bytes(codes >> (lane & 4u) & 0x0F0F0F0Fu, 8u);
#else
  return Words(kv.base).at[kv.v + at * ROW_WORDS + lane];
#endif
}

struct Part { // a softmax over some positions
  float m, l; // maximum, sum of e^(score - m)
  vec4 o;     // the lane's 4 dimensions, not yet divided by l
};

// The softmax weights of the block's positions, in integers. A maximum is the same in any order, and the bits of floats that are not
// negative are ordered as the floats are.
void weigh(KvBlock kv, float e, bool visible) {
  uint lane = gl_LocalInvocationIndex, part = lane / 8u;
  for (uint i = 0u; i < VALUE_SCALES; i++)
    weights[i][lane] = floatBitsToInt(visible ? e * value_scale(kv, lane, i) : 0.0);
  barrier();
  uint largest = 0u;
  if (part < VALUE_SCALES)
    for (uint i = 0u; i < 8u; i++)
      largest = max(largest, uint(weights[part][lane % 8u * 8u + i]) & 0x7FFFFFFFu);
  maxima[lane] = largest;
  barrier();
  if (lane < VALUE_SCALES) {
    largest = 0u;
    for (uint i = 0u; i < 8u; i++)
      largest = max(largest, maxima[8u * lane + i]);
    float a = uintBitsToFloat(largest);
    bool zero = !(a >= X_TINY);
    to_integer[lane] = zero ? 0.0 : P_MAX * x_rcp(a);
    units[lane] = zero ? 0.0 : a * P_STEP;
  }
  barrier();
  for (uint i = 0u; i < VALUE_SCALES; i++)
    weights[i][lane] = x_round(intBitsToFloat(weights[i][lane]) * to_integer[i]);
  barrier();
}

Part block_part(uint query, uint head, uint block, uint n_visible) {
  uint lane = gl_LocalInvocationIndex;
  KvBlock kv = kv_block(head, block);
  bool visible = lane < n_visible;
  float s = visible ? score(query, kv, lane) : 0.0;
  Part part;
  part.m = tree_max(visible ? s : x_from_bits(0xFF7FFFFFu)); // the lowest finite number
  float e = visible ? x_exp(s - part.m) : 0.0;
  part.l = tree_sum(e);
  weigh(kv, e, visible);
  integer4 sum = integer4(0);
  uint which = Q4 != 0 ? lane / (HEAD_BLOCK / 4u) % MAX_VALUE_SCALES : 0u;
  if (lane < HEAD_WORDS(p.head_dim))
    for (uint i = 0u; i < n_visible; i++)
      sum = add_bytes(sum, value_word(kv, i, lane), weights[which][i]);
  float unit = units[which];
  barrier();
  for (uint i = 0u; i < 4u; i++)
    part.o[i] = float(sum[i]) * unit;
  return part;
}

Part merge(Part a, Part b) {
  Part r;
  r.m = b.m > a.m ? b.m : a.m;
  float scale_a = x_exp(a.m - r.m), scale_b = x_exp(b.m - r.m);
  float la = a.l * scale_a, lb = b.l * scale_b;
  r.l = la + lb;
  for (uint i = 0u; i < 4u; i++) {
    float oa = a.o[i] * scale_a, ob = b.o[i] * scale_b;
    r.o[i] = oa + ob;
  }
  return r;
}

void main() {
  uint lane = gl_LocalInvocationIndex, query_head = gl_WorkGroupID.x, token = gl_WorkGroupID.y;
  uint query = token * p.n_heads + query_head;
  uint head = query_head / (p.n_heads / p.n_kv_heads);
  uint n_visible = Words(p.positions).at[token] + 1u;
  uint n_blocks = (n_visible + KV_BLOCK - 1u) / KV_BLOCK;
  Part total = block_part(query, head, 0u, min(n_visible, KV_BLOCK));
  for (uint b = 1u; b < n_blocks; b++)
    total = merge(total, block_part(query, head, b, min(n_visible - b * KV_BLOCK, KV_BLOCK)));
  float inverse = x_rcp(total.l);
  if (4u * lane < p.head_dim)
    for (uint i = 0u; i < 4u; i++)
      FloatsOut(p.o).at[query * p.head_dim + 4u * lane + i] = x_zero_tiny(total.o[i] * inverse);
}
