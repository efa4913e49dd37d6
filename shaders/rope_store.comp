#version 460
// rope_store: rotates q and k of a token by its position, rounds q, k and v to int8 and stores k and v in the cache.
// Pairs (2i, 2i + 1) of a head are rotated by the angle i of the token. A workgroup is one head of one token; a lane has 4
// neighbouring values. Slots are the heads of q and then, for each key head, k and v together (they share the words of
// scales). Groups: (n_heads + n_kv_heads, n_tokens).
#include "buffers.glsl"

layout(local_size_x = 64) in; // head_dim <= 256

layout(push_constant, std430) uniform Push {
  uvec2 qkv, rotation, q, q_d, k_q, v_q, scales;
  uint n_heads, n_kv_heads, head_dim, n_ctx, first;
} p;

shared float lane_max[64];

float max_abs(vec4 v) {
  float m = 0.0;
  for (uint i = 0u; i < 4u; i++)
    m = x_abs(v[i]) > m ? x_abs(v[i]) : m;
  return m;
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
  vec4 v = rotate(load_head(head));
  float amax = group_max(max_abs(v), HEAD_BLOCK / 4u);
  if (lane < HEAD_WORDS(p.head_dim))
    WordsOut(p.q).at[at * HEAD_WORDS(p.head_dim) + lane] = rounded(v, amax);
  if (lane % (HEAD_BLOCK / 4u) == 0u && lane < HEAD_WORDS(p.head_dim))
    FloatsOut(p.q_d).at[at * HEAD_SCALES(p.head_dim) + lane / (HEAD_BLOCK / 4u)] = step_of(amax);
}

// All scales of a key/value head, as f16 pairs. lane_max holds the maxima of k's lanes.
void store_scales(uint index, float v_max) {
  uint lane = gl_LocalInvocationIndex, words = SCALE_WORDS(p.head_dim), blocks = HEAD_SCALES(p.head_dim);
  if (lane >= words)
    return;
  uint word = 0u;
  for (uint h = 0u; h < 2u; h++) {
    uint i = 2u * lane + h;
    float amax = i < blocks ? lane_max[i * (HEAD_BLOCK / 4u)] : i == blocks ? v_max : 0.0;
    word |= x_f32_to_f16(step_of(amax)) << (16u * h);
  }
  WordsOut(p.scales).at[index * words + lane] = word;
}

void store_key_value(uint head) {
  uint lane = gl_LocalInvocationIndex;
  uint index = head * p.n_ctx + p.first + gl_WorkGroupID.y;
  vec4 v = load_head(p.n_heads + p.n_kv_heads + head);
  float v_max = group_max(max_abs(v), 64u);
  vec4 k = rotate(load_head(p.n_heads + head));
  float k_max = group_max(max_abs(k), HEAD_BLOCK / 4u);
  if (lane < HEAD_WORDS(p.head_dim)) {
    WordsOut(p.k_q).at[index * HEAD_WORDS(p.head_dim) + lane] = rounded(k, k_max);
    WordsOut(p.v_q).at[index * HEAD_WORDS(p.head_dim) + lane] = rounded(v, v_max);
  }
  store_scales(index, v_max);
}

void main() {
  if (gl_WorkGroupID.x < p.n_heads)
    store_query(gl_WorkGroupID.x);
  else
    store_key_value(gl_WorkGroupID.x - p.n_heads);
}
