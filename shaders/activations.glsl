// activations.glsl: rounds one block of 32 f32 activations to int8.

struct Q8Row {
  uvec2 q, d, sums;
};

float quantize_scale(float amax) { // what a value is multiplied with
  return X_Q8_MAX * x_rcp(amax);
}

uint pack_rounded(float a, float b, float c, float d, float scale) {
  return pack_bytes(ivec4(x_round(a * scale), x_round(b * scale), x_round(c * scale), x_round(d * scale)));
}

// Writes block `block` of a q8 row: d = amax / 127, q = round(x * 127 / amax), the two sums of 16.
void store_block(Q8Row row, uint block, float x[ACT_BLOCK]) {
  float amax = 0.0;
  for (uint i = 0u; i < ACT_BLOCK; i++)
    amax = x_abs(x[i]) > amax ? x_abs(x[i]) : amax;
  bool zero = !(amax >= X_TINY);
  float scale = quantize_scale(zero ? 1.0 : amax);
  ivec2 sums = ivec2(0);
  for (uint w = 0u; w < ACT_BLOCK / 4u; w++) {
    uint word = zero ? 0u : pack_rounded(x[4u * w], x[4u * w + 1u], x[4u * w + 2u], x[4u * w + 3u], scale);
    WordsOut(row.q).at[block * (ACT_BLOCK / 4u) + w] = word;
    sums[w / 4u] = dot4(word, 0x01010101u, sums[w / 4u]);
  }
  FloatsOut(row.d).at[block] = zero ? 0.0 : amax * X_Q8_STEP;
  WordsOut(row.sums).at[block] = (uint(sums.x) & 0xFFFFu) | uint(sums.y) << 16;
}
