#version 460
// attention: o[token][head] = softmax(q . k / sqrt(head_dim)) . v over the cache positions up to the token's own.
// A workgroup of 64 is one head of one token. It walks the cache in blocks of 64 positions: a lane scores one position, the
// block's softmax weights become integers of 11 bits, then a lane sums 4 dimensions. Blocks are merged from left to right
// as in "Online normalizer calculation for softmax" (Milakov, Gimelshein 2018). Groups: (n_heads, n_tokens).
#include "buffers.glsl"
#include "integers.glsl"

layout(local_size_x = 64) in; // KV_BLOCK; head_dim <= 256

layout(push_constant, std430) uniform Push {
  uvec2 q, q_d, k_q, v_q, scales, o;
  uint n_heads, n_kv_heads, head_dim, n_ctx, first;
  float scale;
} p;

shared float tree[KV_BLOCK];
shared int weights[KV_BLOCK];

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

// One sum from left to right.
float score(uint query, uint index) {
  uint blocks = HEAD_SCALES(p.head_dim), scale_words = SCALE_WORDS(p.head_dim);
  float total = 0.0;
  for (uint b = 0u; b < blocks; b++) {
    uint q_at = (query * blocks + b) * (HEAD_BLOCK / 4u), k_at = (index * blocks + b) * (HEAD_BLOCK / 4u);
    integer dot = integer(0);
    for (uint i = 0u; i < HEAD_BLOCK / 4u; i++)
      dot = dot4(Words(p.q).at[q_at + i], Words(p.k_q).at[k_at + i], dot);
    float d = x_f16_to_f32(half_bits(p.scales, index * scale_words * 2u + b)) * Floats(p.q_d).at[query * blocks + b];
    total = total + float(dot) * d;
  }
  return total * p.scale;
}

struct Part { // a softmax over some positions
  float m, l; // maximum, sum of e^(score - m)
  vec4 o;     // the lane's 4 dimensions, not yet divided by l
};

Part block_part(uint query, uint head, uint block, uint n_visible) {
  uint lane = gl_LocalInvocationIndex, words = HEAD_WORDS(p.head_dim);
  uint base = head * p.n_ctx + block * KV_BLOCK;
  bool visible = lane < n_visible;
  float s = visible ? score(query, base + lane) : 0.0;
  Part part;
  part.m = tree_max(visible ? s : x_from_bits(0xFF7FFFFFu)); // the lowest finite number
  float e = visible ? x_exp(s - part.m) : 0.0;
  part.l = tree_sum(e);
  float d_v = visible ? x_f16_to_f32(half_bits(p.scales, (base + lane) * SCALE_WORDS(p.head_dim) * 2u + HEAD_SCALES(p.head_dim))) : 0.0;
  float weighted = e * d_v;
  float a = tree_max(weighted);
  bool zero = !(a >= X_TINY);
  weights[lane] = zero ? 0 : x_round(weighted * (P_MAX * x_rcp(zero ? 1.0 : a)));
  barrier();
  integer4 sum = integer4(0);
  if (lane < words && !zero)
    for (uint i = 0u; i < n_visible; i++)
      sum = add_bytes(sum, Words(p.v_q).at[(base + i) * words + lane], weights[i]);
  barrier();
  float unit = zero ? 0.0 : a * P_STEP;
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
  uint n_visible = p.first + token + 1u;
  uint n_blocks = (n_visible + KV_BLOCK - 1u) / KV_BLOCK;
  Part total = block_part(query, head, 0u, min(n_visible, KV_BLOCK));
  for (uint b = 1u; b < n_blocks; b++)
    total = merge(total, block_part(query, head, b, min(n_visible - b * KV_BLOCK, KV_BLOCK)));
  float inverse = x_rcp(total.l);
  if (4u * lane < p.head_dim)
    for (uint i = 0u; i < 4u; i++)
      FloatsOut(p.o).at[query * p.head_dim + 4u * lane + i] = x_zero_tiny(total.o[i] * inverse);
}
