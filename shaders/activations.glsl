// activations.glsl: rounds one block of 32 f32 activations to int8.

struct Q8Row {
  uvec2 q, d, sums;
};

float quantize_scale(float amax) { // what a value is multiplied with
  return X_Q8_MAX * x_rcp(amax);
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
    ivec4 q = ivec4(0);
    for (uint i = 0u; i < 4u && !zero; i++)
      q[i] = x_round(x[4u * w + i] * scale);
    WordsOut(row.q).at[block * (ACT_BLOCK / 4u) + w] = pack_bytes(q);
    sums[w / 4u] += q.x + q.y + q.z + q.w;
  }
  FloatsOut(row.d).at[block] = zero ? 0.0 : amax * X_Q8_STEP;
  WordsOut(row.sums).at[block] = (uint(sums.x) & 0xFFFFu) | uint(sums.y) << 16;
}
