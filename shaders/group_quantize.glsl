// group_quantize.glsl: a workgroup rounds blocks of 32 f32 activations to int8, as store_block of activations.glsl does. Include it behind
// the workgroup's size; all invocations call group_quantize together.
#include "activations.glsl"
#include "invocations.glsl"

const uint GROUP_BLOCKS = 32u; // at most, at a time
const uint BLOCK_WORDS = ACT_BLOCK / 4u;

shared float values[GROUP_BLOCKS * ACT_BLOCK]; // what is to be rounded
shared int word_sums[GROUP_BLOCKS * BLOCK_WORDS];

// Blocks first .. first + n - 1 of a q8 row from values[0 ..]; n <= GROUP_BLOCKS. Values must be there: a barrier before. One before they
// are written again, too.
void group_quantize(Q8Row row, uint first, uint n) {
  for (uint w = gl_LocalInvocationIndex; w < n * BLOCK_WORDS; w += invocations()) {
    uint block = w / BLOCK_WORDS;
    float amax = 0.0;
    for (uint i = 0u; i < ACT_BLOCK; i++) {
      float x = x_abs(values[block * ACT_BLOCK + i]);
      amax = x > amax ? x : amax;
    }
    ivec4 q = round_to_int8(vec4(values[4u * w], values[4u * w + 1u], values[4u * w + 2u], values[4u * w + 3u]), amax);
    WordsOut(row.q).at[first * BLOCK_WORDS + w] = pack_bytes(q);
    word_sums[w] = q.x + q.y + q.z + q.w;
    if (w % BLOCK_WORDS == 0u)
      FloatsOut(row.d).at[first + block] = int8_step(amax);
  }
  barrier();
  for (uint b = gl_LocalInvocationIndex; b < n; b += invocations()) {
    int low = 0, high = 0;
    for (uint i = 0u; i < BLOCK_WORDS / 2u; i++) {
      low += word_sums[b * BLOCK_WORDS + i];
      high += word_sums[b * BLOCK_WORDS + BLOCK_WORDS / 2u + i];
    }
    WordsOut(row.sums).at[first + b] = pack_sums(low, high);
  }
}
