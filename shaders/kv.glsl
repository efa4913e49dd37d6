// kv.glsl: where the KV cache has a head's block of positions (layout: shared.h). Included behind KV, which has the members kv_device, kv_host,
// n_device_blocks, n_kv_heads, head_dim (push constants p, where it is not defined), and built with TYPE_Q8_0 or TYPE_Q4_0 of the cache, or
// behind Q4, which says so.

#ifndef KV
#define KV p
#endif
#ifndef Q4
#ifdef TYPE_Q4_0
#define Q4 1
#else
#define Q4 0
#endif
#endif

#define ROW_WORDS uint(KV_ROW_WORDS(Q4, KV.head_dim))
#define VALUE_SCALES uint(KV_VALUE_SCALES(Q4, KV.head_dim))

struct KvBlock { // of one head
  uvec2 base;
  uint k, v, scales; // words behind base
};

KvBlock kv_block(uint head, uint block) {
  bool first = block < KV.n_device_blocks;
  KvBlock b;
  b.base = first ? KV.kv_device : KV.kv_host;
  b.k = ((first ? block : block - KV.n_device_blocks) * KV.n_kv_heads + head) * uint(KV_HEAD_WORDS(Q4, KV.head_dim));
  b.v = b.k + KV_BLOCK * ROW_WORDS;
  b.scales = b.v + KV_BLOCK * ROW_WORDS;
  return b;
}

// Word i of the scales of position `at` (0 .. KV_BLOCK - 1).
uint scale_word(KvBlock b, uint at, uint i) {
  return b.scales + at * uint(KV_SCALE_WORDS(Q4, KV.head_dim)) + i;
}

float scale_half(KvBlock b, uint at, uint half_index) {
  uint word = Words(b.base).at[scale_word(b, at, half_index / 2u)];
  return x_f16_to_f32(word >> (16u * (half_index & 1u)) & 0xFFFFu);
}

float key_scale(KvBlock b, uint at, uint i) {
  return scale_half(b, at, Q4 != 0 ? 2u * i : i);
}

float value_scale(KvBlock b, uint at, uint i) {
  return scale_half(b, at, Q4 != 0 ? 2u * i + 1u : uint(HEAD_SCALES(KV.head_dim)));
}
