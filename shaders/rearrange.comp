#version 460
// rearrange: tiles of a matrix as a file has them -> the planes of weights.glsl, with not one bit more or less.
//
// raw holds the rows of whole tiles, packed; each is a run of blocks of BLOCK_BYTES. Rows that the matrix does not have are zeros there, and
// so in the planes. An invocation moves a unit, UNIT granules of one block, of two neighbouring rows, whose halves in w_d share a word; then
// every n-th unit from there on. Groups: (any, n_tiles); several units for each invocation are best on software drivers, for which starting
// one costs much.
//
// A type is described by BLOCK_BYTES (even), BLOCK_GRANULES, UNIT, and `move`; HALF_D where w_d holds one half per block.
#include "buffers.glsl"

layout(local_size_x = 64) in;

layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer Words4Out { uvec4 at[]; };

layout(push_constant, std430) uniform Push {
  uvec2 raw, w_q, w_high, w_scale, w_d;
  uint n_granules;
} p;

#if defined(TYPE_Q2_K) || defined(TYPE_Q3_K) || defined(TYPE_Q4_K) || defined(TYPE_Q5_K) || defined(TYPE_Q6_K) || defined(TYPE_IQ4_XS)
#define BLOCK_GRANULES 8
#else
#define BLOCK_GRANULES 1
#define UNIT 1
#endif

#if defined(TYPE_Q4_0)
#define BLOCK_BYTES 18
#define Q_AT 2
#elif defined(TYPE_Q4_1)
#define BLOCK_BYTES 20
#define Q_AT 4
#elif defined(TYPE_Q5_0)
#define BLOCK_BYTES 22
#define HIGH_AT 2
#define Q_AT 6
#elif defined(TYPE_Q5_1)
#define BLOCK_BYTES 24
#define HIGH_AT 4
#define Q_AT 8
#elif defined(TYPE_Q8_0)
#define BLOCK_BYTES 34
#define Q_AT 2
#elif defined(TYPE_IQ4_NL)
#define BLOCK_BYTES 18
#elif defined(TYPE_IQ4_XS)
#define BLOCK_BYTES 136
#define UNIT 4
#elif defined(TYPE_Q2_K)
#define BLOCK_BYTES 84
#define UNIT 4
#define BITS_AT 16
#elif defined(TYPE_Q3_K)
#define BLOCK_BYTES 110
#define UNIT 4
#define BITS_AT 32
#elif defined(TYPE_Q4_K)
#define BLOCK_BYTES 144
#define UNIT 2
#elif defined(TYPE_Q5_K)
#define BLOCK_BYTES 176
#define UNIT 2
#else
#define BLOCK_BYTES 210
#define UNIT 4
#endif
#if defined(TYPE_Q4_0) || defined(TYPE_Q5_0) || defined(TYPE_Q8_0) || defined(TYPE_IQ4_NL) || defined(TYPE_Q3_K) || defined(TYPE_Q6_K)
#define HALF_D
#endif

// ---- reading ----

uint w[17]; // what was read last

// w = `bytes` bytes of raw from byte `at` on; both are even. No word is touched that holds none of them.
void read_bytes(uint at, uint bytes) {
#if BLOCK_BYTES % 16 == 0
  for (uint i = 0u; i < bytes / 16u; i++) {
    uvec4 v = Words4(p.raw).at[at / 16u + i];
    for (uint j = 0u; j < 4u; j++)
      w[4u * i + j] = v[j];
  }
#elif BLOCK_BYTES % 4 == 0
  for (uint i = 0u; i < bytes / 4u; i++)
    w[i] = Words(p.raw).at[at / 4u + i];
#else
  uint last = (bytes + 5u) / 4u - 1u;
  bool odd = (at & 2u) != 0u;
  for (uint i = 0u; i < last; i++)
    w[i] = Words(p.raw).at[at / 4u + i];
  w[last] = Words(p.raw).at[(at + bytes - 1u) / 4u];
  for (uint i = 0u; i < last; i++)
    w[i] = odd ? w[i] >> 16 | w[i + 1u] << 16 : w[i];
  w[last] = odd ? w[last] >> 16 : w[last];
#endif
}

// Four bytes of w from byte `at` on, an even number.
uint field(uint at) {
  return at % 4u == 0u ? w[at / 4u] : w[at / 4u] >> 16 | w[at / 4u + 1u] << 16;
}

uvec4 field4(uint at) {
  return uvec4(field(at), field(at + 4u), field(at + 8u), field(at + 12u));
}

// ---- moving: the block begins at byte `at`; its first granule of the unit has index i, the block has index b; the result is d ----

// The codes of a granule, w[first ..] as nibbles, as four planes of bits.
uvec4 bit_planes(uint first) {
  uvec4 q = uvec4(0u);
  for (uint bit = 0u; bit < 4u; bit++)
    for (uint j = 0u; j < 4u; j++)
      q[bit] |= (w[first + j] >> bit & 0x01010101u) << j | (w[first + j] >> (bit + 4u) & 0x01010101u) << (j + 4u);
  return q;
}

// 16 bit pairs, those at bit 2 * k of the bytes of w[first .. first + 3].
uint bit_pairs(uint first, uint k) {
  uint pairs = 0u;
  for (uint j = 0u; j < 4u; j++)
    pairs |= (w[first + j] >> (2u * k) & 0x03030303u) << (2u * j);
  return pairs;
}

#ifdef TYPE_IQ4_NL
uint move(uint at, uint part, uint i, uint b) {
  read_bytes(at, BLOCK_BYTES);
  uint d = w[0] & 0xFFFFu;
  for (uint j = 0u; j < 4u; j++)
    w[j] = field(2u + 4u * j);
  Words4Out(p.w_q).at[i] = bit_planes(0u);
  return d;
}
#elif BLOCK_GRANULES == 1
uint move(uint at, uint part, uint i, uint b) {
  read_bytes(at, BLOCK_BYTES);
  Words4Out(p.w_q).at[i] = field4(Q_AT);
#ifdef HIGH_AT
  WordsOut(p.w_high).at[i] = field(HIGH_AT);
#endif
#ifdef TYPE_Q8_0
  Words4Out(p.w_high).at[i] = field4(Q_AT + 16u);
#endif
#ifndef HALF_D
  WordsOut(p.w_d).at[i] = w[0];
#endif
  return w[0] & 0xFFFFu;
}
#else

// Nibbles (the lower ones, or those above) of 32 bytes, w[first ..], as one granule.
uvec4 nibbles(uint first, uint shift) {
  uvec4 q;
  for (uint j = 0u; j < 4u; j++)
    q[j] = (w[first + j] >> shift & 0x0F0F0F0Fu) | (w[first + 4u + j] >> shift & 0x0F0F0F0Fu) << 4;
  return q;
}

#if defined(TYPE_IQ4_XS)
uint move(uint at, uint part, uint i, uint b) { // half a block, and one word of the scales
  WordsOut(p.w_scale).at[2u * b + part] = Words(p.raw).at[at / 4u + part];
  read_bytes(at + 8u + 64u * part, 64u);
  for (uint k = 0u; k < 4u; k++)
    Words4Out(p.w_q).at[i + k * TILE_ROWS] = bit_planes(4u * k);
  return 0u;
}
#elif defined(TYPE_Q2_K) || defined(TYPE_Q3_K)
uint move(uint at, uint part, uint i, uint b) { // half a block: four granules share bytes
#ifdef TYPE_Q2_K
  for (uint j = 0u; j < 2u; j++)
    WordsOut(p.w_scale).at[4u * b + 2u * part + j] = Words(p.raw).at[at / 4u + 2u * part + j];
  if (part == 0u)
    WordsOut(p.w_d).at[b] = Words(p.raw).at[at / 4u + 20u];
#else
  read_bytes(at, 32u);
  for (uint k = 0u; k < 4u; k++) {
    uint high = 0u;
    for (uint j = 0u; j < 8u; j++)
      high |= (w[j] >> (4u * part + k) & 0x01010101u) << j;
    WordsOut(p.w_high).at[i + k * TILE_ROWS] = high;
  }
#endif
  read_bytes(at + uint(BITS_AT) + 32u * part, 32u);
  for (uint k = 0u; k < 4u; k++)
    for (uint h = 0u; h < 2u; h++)
      WordsOut(p.w_q).at[2u * (i + k * TILE_ROWS) + h] = bit_pairs(4u * h, k);
#ifdef TYPE_Q3_K
  read_bytes(at + 96u, 14u);
  for (uint j = 0u; j < 3u && part == 0u; j++)
    WordsOut(p.w_scale).at[3u * b + j] = w[j];
  return w[3] & 0xFFFFu;
#else
  return 0u;
#endif
}
#elif defined(TYPE_Q6_K)
uint move(uint at, uint part, uint i, uint b) { // a half of a block: granules k and k + 2 share bytes
  read_bytes(at + 64u * part, 64u);
  for (uint k = 0u; k < 4u; k++)
    Words4Out(p.w_q).at[i + k * TILE_ROWS] = nibbles(k % 2u * 8u, k / 2u * 4u);
  read_bytes(at + 128u + 32u * part, 32u);
  for (uint k = 0u; k < 4u; k++)
    for (uint h = 0u; h < 2u; h++)
      WordsOut(p.w_high).at[2u * (i + k * TILE_ROWS) + h] = bit_pairs(4u * h, k);
  read_bytes(at + 192u + 8u * part, 8u);
  WordsOut(p.w_scale).at[4u * b + 2u * part] = w[0];
  WordsOut(p.w_scale).at[4u * b + 2u * part + 1u] = w[1];
  read_bytes(at + 208u, 2u);
  return w[0] & 0xFFFFu;
}
#else
uint move(uint at, uint part, uint i, uint b) { // two granules that share bytes, and one word of the scales
  WordsOut(p.w_scale).at[4u * b + part] = Words(p.raw).at[at / 4u + part];
#ifdef TYPE_Q5_K
  read_bytes(at + 16u, 32u);
  for (uint k = 0u; k < 2u; k++) {
    uint high = 0u;
    for (uint j = 0u; j < 8u; j++) // bit 2 * part + k of four bytes to bits 28 .. 31, and on
      high |= ((w[j] >> (2u * part + k) & 0x01010101u) * 0x10204080u) >> 28 << (4u * j);
    WordsOut(p.w_high).at[i + k * TILE_ROWS] = high;
  }
#endif
  read_bytes(at + uint(BLOCK_BYTES) - 128u + 32u * part, 32u);
  for (uint k = 0u; k < 2u; k++)
    Words4Out(p.w_q).at[i + k * TILE_ROWS] = nibbles(0u, 4u * k);
  return 0u;
}
#endif
#endif

void main() {
  const uint pairs = TILE_ROWS / 2u, parts = BLOCK_GRANULES / UNIT, stride = gl_NumWorkGroups.x * gl_WorkGroupSize.x / pairs;
  uint pair = gl_GlobalInvocationID.x % pairs, tile = gl_WorkGroupID.y, n_blocks = p.n_granules / BLOCK_GRANULES;
  for (uint unit = gl_GlobalInvocationID.x / pairs; unit < n_blocks * parts; unit += stride) {
    uint block = unit / parts, part = unit % parts, d[2];
    uint i = (tile * p.n_granules + unit * UNIT) * TILE_ROWS + 2u * pair, b = (tile * n_blocks + block) * TILE_ROWS + 2u * pair;
    for (uint r = 0u; r < 2u; r++) {
      uint row = tile * TILE_ROWS + 2u * pair + r;
      d[r] = move((row * n_blocks + block) * BLOCK_BYTES, part, i + r, b + r);
    }
#ifdef HALF_D
    if (part == 0u)
      WordsOut(p.w_d).at[b / 2u] = d[0] | d[1] << 16;
#endif
  }
}
