// activations.glsl: rounds f32 activations to int8, in blocks of 32 that share a scale.

struct Q8Row {
  uvec2 q, d, sums;
};

// Four values as int8, by the largest magnitude of all that share it; zeros below X_TINY.
ivec4 round_to_int8(vec4 x, float amax) {
  bool zero = !(amax >= X_TINY);
  float scale = X_Q8_MAX * x_rcp(zero ? 1.0 : amax);
  ivec4 q = ivec4(0);
  for (uint i = 0u; i < 4u && !zero; i++)
    q[i] = x_round(x[i] * scale);
  return q;
}

// The scale they share.
float int8_step(float amax) {
  return amax >= X_TINY ? amax * X_Q8_STEP : 0.0;
}

uint pack_sums(int low, int high) {
  return (uint(low) & 0xFFFFu) | uint(high) << 16;
}

// Writes block `block` of a q8 row: d = amax / 127, q = round(x * 127 / amax), the two sums of 16.
void store_block(Q8Row row, uint block, float x[ACT_BLOCK]) {
  float amax = 0.0;
  for (uint i = 0u; i < ACT_BLOCK; i++)
    amax = x_abs(x[i]) > amax ? x_abs(x[i]) : amax;
  ivec2 sums = ivec2(0);
  for (uint w = 0u; w < ACT_BLOCK / 4u; w++) {
    ivec4 q = round_to_int8(vec4(x[4u * w], x[4u * w + 1u], x[4u * w + 2u], x[4u * w + 3u]), amax);
    WordsOut(row.q).at[block * (ACT_BLOCK / 4u) + w] = pack_bytes(q);
    sums[w / 4u] += q.x + q.y + q.z + q.w;
  }
  FloatsOut(row.d).at[block] = int8_step(amax);
  WordsOut(row.sums).at[block] = pack_sums(sums.x, sums.y);
}
