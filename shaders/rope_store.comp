#version 460
// rope_store: rotates q and k of a token by its position, rounds q to int8 and k and v to the cache's type, and stores these in the cache.
// For a Q4_0 cache q and k are mixed before they are rounded (KV_MIX in shared.h), as in "QuaRot" (Ashkboos et al. 2024).
// Pairs (2i, 2i + 1) of a head are rotated by the angle i of the token. A workgroup is one head of one token; a lane has 4
// neighbouring values. Slots are the heads of q and then, for each key head, k and v together (they share the words of
// scales). Groups: (n_heads + n_kv_heads, n_tokens).
#include "buffers.glsl"

layout(local_size_x = 64) in; // head_dim <= 256

layout(push_constant, std430) uniform Push {
  uvec2 positions, rotation, qkv, q, q_d, kv_device, kv_host;
  uint n_heads, n_kv_heads, head_dim, n_device_blocks;
} p;

#include "kv.glsl"

shared float lane_max[64];
shared float steps[2 * 8 + 1]; // scales before they become f16
#ifdef TYPE_Q4_0
shared uint codes[64];
#endif

float max_of(vec4 v) {
  float m = v.x;
  for (uint i = 1u; i < 4u; i++)
    m = v[i] > m ? v[i] : m;
  return m;
}

float max_abs(vec4 v) {
  return max_of(vec4(x_abs(v.x), x_abs(v.y), x_abs(v.z), x_abs(v.w)));
}

// The largest magnitude of each group of `width` lanes (a power of two), in all its lanes.
float group_max(float mine, uint width) {
  uint lane = gl_LocalInvocationIndex;
  lane_max[lane] = mine;
  barrier();
  for (uint step = 1u; step < width; step *= 2u) {
    float other = lane_max[lane ^ step];
    barrier();
    lane_max[lane] = other > lane_max[lane] ? other : lane_max[lane];
    barrier();
  }
  float result = lane_max[lane];
  barrier();
  return result;
}

vec4 load_head(uint slot) { // zeros beyond head_dim
  uint lane = gl_LocalInvocationIndex, token = gl_WorkGroupID.y;
  if (4u * lane >= p.head_dim)
    return vec4(0.0);
  uint at = (token * (p.n_heads + 2u * p.n_kv_heads) + slot) * p.head_dim + 4u * lane;
  return vec4(Floats(p.qkv).at[at], Floats(p.qkv).at[at + 1u], Floats(p.qkv).at[at + 2u], Floats(p.qkv).at[at + 3u]);
}

vec4 rotate(vec4 v) {
  uint lane = gl_LocalInvocationIndex, token = gl_WorkGroupID.y;
  if (4u * lane >= p.head_dim)
    return v;
  vec4 r;
  for (uint i = 0u; i < 2u; i++) {
    vec2 cs = Pairs(p.rotation).at[token * (p.head_dim / 2u) + 2u * lane + i];
    float a = v[2u * i], b = v[2u * i + 1u];
    float ac = a * cs.x, bs = b * cs.y, as = a * cs.y, bc = b * cs.x;
    r[2u * i] = ac - bs;
    r[2u * i + 1u] = as + bc;
  }
  return r;
}

#ifdef TYPE_Q4_0
shared vec4 mixed[64];

// The mix of queries and keys (KV_MIX): stages of sums and differences of values 1, 2, 4, ... apart.
vec4 mix_head(vec4 v) {
  uint lane = gl_LocalInvocationIndex, width = uint(KV_MIX(p.head_dim)) / 4u;
  v = vec4(v.x + v.y, v.x - v.y, v.z + v.w, v.z - v.w);
  v = vec4(v.x + v.z, v.y + v.w, v.x - v.z, v.y - v.w);
  for (uint apart = 1u; apart < width; apart *= 2u) {
    mixed[lane] = v;
    barrier();
    vec4 other = mixed[lane ^ apart];
    barrier();
    v = (lane & apart) == 0u ? v + other : other - v;
  }
  return v * vec4(KV_MIX_SCALE(p.head_dim));
}
#else
vec4 mix_head(vec4 v) {
  return v;
}
#endif

uint rounded(vec4 v, float amax) {
  if (!(amax >= X_TINY))
    return 0u;
  float scale = X_Q8_MAX * x_rcp(amax);
  return pack_bytes(ivec4(x_round(v.x * scale), x_round(v.y * scale), x_round(v.z * scale), x_round(v.w * scale)));
}

float step_of(float amax) {
  return amax >= X_TINY ? amax * X_Q8_STEP : 0.0;
}

void store_query(uint head) {
  uint lane = gl_LocalInvocationIndex, at = gl_WorkGroupID.y * p.n_heads + head;
  vec4 v = mix_head(rotate(load_head(head)));
  float amax = group_max(max_abs(v), HEAD_BLOCK / 4u);
  if (lane < HEAD_WORDS(p.head_dim))
    WordsOut(p.q).at[at * HEAD_WORDS(p.head_dim) + lane] = rounded(v, amax);
  if (lane % (HEAD_BLOCK / 4u) == 0u && lane < HEAD_WORDS(p.head_dim))
    FloatsOut(p.q_d).at[at * HEAD_SCALES(p.head_dim) + lane / (HEAD_BLOCK / 4u)] = step_of(amax);
}

#ifdef TYPE_Q4_0
// A row of codes of 4 bits, and its scales. The value of the largest magnitude (the lowest among equals) becomes -8.
void store_row(KvBlock kv, uint row, vec4 v, uint first_step) {
  uint lane = gl_LocalInvocationIndex;
  float high = group_max(max_of(v), HEAD_BLOCK / 4u), low = group_max(max_of(-v), HEAD_BLOCK / 4u);
  bool flip = high > low;
  float amax = flip ? high : low;
  bool zero = !(amax >= X_TINY);
  float scale = 8.0 * x_rcp(zero ? 1.0 : amax);
  ivec4 code;
  for (uint i = 0u; i < 4u; i++) {
    int n = zero ? 0 : x_round(v[i] * scale);
    code[i] = min(flip ? -n : n, 7) + 8;
  }
  codes[lane] = pack_bytes(code);
  if (lane % (HEAD_BLOCK / 4u) == 0u && lane < HEAD_WORDS(p.head_dim))
    steps[first_step + lane / (HEAD_BLOCK / 4u)] = zero ? 0.0 : flip ? amax * -0.125 : amax * 0.125;
  barrier();
  if (lane < HEAD_WORDS(p.head_dim) && (lane & 4u) == 0u)
    WordsOut(kv.base).at[row + lane / 8u * 4u + lane % 4u] = codes[lane] | codes[lane + 4u] << 4;
  barrier();
}
#else
// A row of int8 and its scales: one for each `width` lanes.
void store_row(KvBlock kv, uint row, vec4 v, uint first_step, uint width) {
  uint lane = gl_LocalInvocationIndex;
  float amax = group_max(max_abs(v), width);
  if (lane < HEAD_WORDS(p.head_dim))
    WordsOut(kv.base).at[row + lane] = rounded(v, amax);
  if (lane % width == 0u && lane < HEAD_WORDS(p.head_dim))
    steps[first_step + lane / width] = step_of(amax);
}
#endif

// All scales of a position's head. They lie in steps: those of the key, then those of the value.
void store_scales(KvBlock kv, uint at) {
  uint lane = gl_LocalInvocationIndex, blocks = HEAD_SCALES(p.head_dim);
  barrier();
  if (lane >= KV_SCALE_WORDS(Q4, p.head_dim))
    return;
  uint low = Q4 != 0 ? lane : 2u * lane, high = Q4 != 0 ? blocks + lane : 2u * lane + 1u, n = blocks + VALUE_SCALES;
  uint word = x_f32_to_f16(low < n ? steps[low] : 0.0) | x_f32_to_f16(high < n ? steps[high] : 0.0) << 16;
  WordsOut(kv.base).at[scale_word(kv, at, lane)] = word;
}

void store_key_value(uint head) {
  uint position = Words(p.positions).at[gl_WorkGroupID.y], at = position % KV_BLOCK, blocks = HEAD_SCALES(p.head_dim);
  KvBlock kv = kv_block(head, position / KV_BLOCK);
  vec4 k = mix_head(rotate(load_head(p.n_heads + head))), v = load_head(p.n_heads + p.n_kv_heads + head);
#ifdef TYPE_Q4_0
  store_row(kv, kv.k + at * ROW_WORDS, k, 0u);
  store_row(kv, kv.v + at * ROW_WORDS, v, blocks);
#else
  store_row(kv, kv.k + at * ROW_WORDS, k, 0u, HEAD_BLOCK / 4u);
  store_row(kv, kv.v + at * ROW_WORDS, v, blocks, 64u);
#endif
  store_scales(kv, at);
}

void main() {
  if (gl_WorkGroupID.x < p.n_heads)
    store_query(gl_WorkGroupID.x);
  else
    store_key_value(gl_WorkGroupID.x - p.n_heads);
}
