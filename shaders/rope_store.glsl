// rope_store.glsl: one head of one token, by a workgroup of any size: rotates q and k by the token's position, rounds q to int8 and k and v to
// the cache's type, and stores these in the cache. For a Q4_0 cache q and k are mixed before they are rounded (KV_MIX in shared.h), as in
// "QuaRot" (Ashkboos et al. 2024). Pairs (2i, 2i + 1) of a head are rotated by the angle i of the token. Include it behind the workgroup's
// size; KV has the members of push_rope_store, and Q4 is 1 for a Q4_0 cache, else 0. All invocations call the functions together.
#include "activations.glsl"
#include "invocations.glsl"
#include "kv.glsl"

#ifndef FROM // what q, k and v are read through: FloatsShared where workgroups of the same dispatch write them
#define FROM Floats
#endif

const uint MAX_HEAD = 256u, MAX_BLOCKS = MAX_HEAD / HEAD_BLOCK, HEAD_BLOCK_WORDS = HEAD_BLOCK / 4u;

shared float head_values[MAX_HEAD];                 // zeros behind head_dim
shared float highest[MAX_BLOCKS], lowest[MAX_BLOCKS]; // of each block
shared float steps[2u * MAX_BLOCKS + 1u];             // scales before they are stored

// A head of q, k or v (slot counts them) to head_values, and the extremes of its blocks.
void load_head(uint token, uint slot, bool rotated) {
  uint lane = gl_LocalInvocationIndex, padded = HEAD_SCALES(KV.head_dim) * HEAD_BLOCK;
  uint at = (token * (KV.n_heads + 2u * KV.n_kv_heads) + slot) * KV.head_dim;
  barrier(); // what reads the head before is done
  for (uint i = lane; i < padded / 2u; i += invocations()) {
    bool inside = 2u * i < KV.head_dim;
    float a = inside ? FROM(KV.qkv).at[at + 2u * i] : 0.0, b = inside ? FROM(KV.qkv).at[at + 2u * i + 1u] : 0.0;
    if (rotated && inside) {
      vec2 cs = Pairs(KV.rotation).at[token * (KV.head_dim / 2u) + i];
      float ac = a * cs.x, bs = b * cs.y, as = a * cs.y, bc = b * cs.x;
      a = ac - bs;
      b = as + bc;
    }
    head_values[2u * i] = a;
    head_values[2u * i + 1u] = b;
  }
  barrier();
  if (Q4 != 0 && rotated) {
    uint width = uint(KV_MIX(KV.head_dim));
    for (uint apart = 1u; apart < width; apart *= 2u) {
      for (uint i = lane; i < padded / 2u; i += invocations()) {
        uint first = i / apart * 2u * apart + i % apart;
        float a = head_values[first], b = head_values[first + apart];
        bool last = 2u * apart == width;
        head_values[first] = last ? (a + b) * KV_MIX_SCALE(KV.head_dim) : a + b;
        head_values[first + apart] = last ? (a - b) * KV_MIX_SCALE(KV.head_dim) : a - b;
      }
      barrier();
    }
  }
  for (uint b = lane; b < padded / HEAD_BLOCK; b += invocations()) {
    float high = head_values[b * HEAD_BLOCK], low = -high;
    for (uint i = 1u; i < HEAD_BLOCK; i++) {
      float x = head_values[b * HEAD_BLOCK + i];
      high = x > high ? x : high;
      low = -x > low ? -x : low;
    }
    highest[b] = high;
    lowest[b] = low;
  }
  barrier();
}

float block_max(uint b) { // of magnitudes
  return highest[b] > lowest[b] ? highest[b] : lowest[b];
}

float head_max() {
  float m = 0.0;
  for (uint b = 0u; b < HEAD_SCALES(KV.head_dim); b++)
    m = block_max(b) > m ? block_max(b) : m;
  return m;
}

vec4 word_values(uint word) {
  return vec4(head_values[4u * word], head_values[4u * word + 1u], head_values[4u * word + 2u], head_values[4u * word + 3u]);
}

// Four codes of 4 bits. The value of the largest magnitude (the lowest among equals) becomes -8; amax is it, flip: it is positive.
uint codes(uint word, float amax, bool flip) {
  bool zero = !(amax >= X_TINY);
  float scale = 8.0 * x_rcp(zero ? 1.0 : amax);
  vec4 x = word_values(word);
  ivec4 code;
  for (uint i = 0u; i < 4u; i++) {
    int n = zero ? 0 : x_round(x[i] * scale);
    code[i] = min(flip ? -n : n, 7) + 8;
  }
  return pack_bytes(code);
}

struct Row {
  uvec2 base;
  uint word, step; // the row's first word behind base, and its first scale in steps
  bool codes, whole; // codes of 4 bits, not int8; one scale for all of the head
};

// The head as a row of q or of the cache, and its scales to steps.
void store_row(Row row) {
  uint lane = gl_LocalInvocationIndex;
  for (uint w = lane; w < HEAD_WORDS(KV.head_dim) >> (row.codes ? 1u : 0u); w += invocations()) {
    uint word;
    if (row.codes) {
      uint b = w / 4u;
      word = 0u;
      for (uint half_word = 0u; half_word < 2u; half_word++)
        word |= codes(b * HEAD_BLOCK_WORDS + w % 4u + 4u * half_word, block_max(b), highest[b] > lowest[b]) << (4u * half_word);
    } else {
      word = pack_bytes(round_to_int8(word_values(w), row.whole ? head_max() : block_max(w / HEAD_BLOCK_WORDS)));
    }
    WordsOut(row.base).at[row.word + w] = word;
  }
  for (uint b = lane; b < (row.whole ? 1u : uint(HEAD_SCALES(KV.head_dim))); b += invocations()) {
    float amax = row.whole ? head_max() : block_max(b);
    steps[row.step + b] = !row.codes ? int8_step(amax) : !(amax >= X_TINY) ? 0.0 : amax * (highest[b] > lowest[b] ? -0.125 : 0.125);
  }
}

// All scales of a position's head. They lie in steps: those of the key, then those of the value.
void store_scales(KvBlock kv, uint at) {
  uint blocks = HEAD_SCALES(KV.head_dim), n = blocks + VALUE_SCALES;
  for (uint w = gl_LocalInvocationIndex; w < KV_SCALE_WORDS(Q4, KV.head_dim); w += invocations()) {
    uint scales = 0u;
    for (uint i = 0u; i < 2u; i++) {
      uint step = Q4 != 0 ? w + i * blocks : 2u * w + i;
      scales |= x_f32_to_f16(step < n ? steps[step] : 0.0) << (16u * i);
    }
    WordsOut(kv.base).at[scale_word(kv, at, w)] = scales;
  }
}

// A head of q (0 .. n_heads - 1), or one of k and v together (behind them).
void store_head(uint token, uint slot) {
  bool query = slot < KV.n_heads;
  uint position = Words(KV.positions).at[token], at = position % KV_BLOCK, blocks = HEAD_SCALES(KV.head_dim), q_at = token * KV.n_heads + slot;
  KvBlock kv = kv_block(query ? 0u : slot - KV.n_heads, position / KV_BLOCK);
  for (uint part = 0u; part < (query ? 1u : 2u); part++) {
    bool value = part == 1u;
    load_head(token, slot + (value ? KV.n_kv_heads : 0u), !value);
    uint word = (value ? kv.v : kv.k) + at * ROW_WORDS;
    store_row(Row(query ? KV.q : kv.base, query ? q_at * HEAD_WORDS(KV.head_dim) : word, value ? blocks : 0u, Q4 != 0 && !query, Q4 == 0 && value));
  }
  barrier();
  if (query)
    for (uint b = gl_LocalInvocationIndex; b < blocks; b += invocations())
      FloatsOut(KV.q_d).at[q_at * blocks + b] = steps[b];
  else
    store_scales(kv, at);
}
