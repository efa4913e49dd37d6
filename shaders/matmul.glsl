// matmul.glsl: what the two matrix kernels share: one row of weights times one q8 row, unit by unit in canonical order.
#include "weights.glsl"
#include "integers.glsl"

layout(push_constant, std430) uniform Push {
  uvec2 w_q, w_high, w_scale, w_d;
  uvec2 x_q, x_d, x_sums;
  uvec2 bias, residual, y;
  uint n_granules, n_rows, n_tokens, y_stride;
} p;

// Granules of chunk c: the units floor(c * B / 8) .. floor((c + 1) * B / 8) - 1.
uvec2 chunk_range(uint c) {
  uint units = p.n_granules / UNIT_GRANULES;
  return uvec2(c * units / N_CHUNKS, (c + 1u) * units / N_CHUNKS) * UNIT_GRANULES;
}

// acc + (weights . activations) of granule k, for one token.
float add_granule(float acc, Granule g, uint token, uint k) {
  uint block = token * p.n_granules + k;
  uvec4 x0 = Words4(p.x_q).at[2u * block], x1 = Words4(p.x_q).at[2u * block + 1u];
  integer low = integer(0), high = integer(0);
  for (uint i = 0u; i < 4u; i++) {
    low = dot4(g.q[i], x0[i], low);
    high = dot4(g.q[i + 4u], x1[i], high);
  }
  float s = float(int(low) * g.scale[0] + int(high) * g.scale[1]) * g.d;
#ifdef HAS_MINIMUM
  int sums = int(Words(p.x_sums).at[block]);
  float m = float(bitfieldExtract(sums, 0, 16) * g.minimum[0] + (sums >> 16) * g.minimum[1]) * g.m;
  s = s + m;
#endif
  float term = s * Floats(p.x_d).at[block];
  float result = acc + term;
  return result;
}

void store(uint token, uint row, float total) {
  float y = total;
  if (present(p.bias))
    y = y + Floats(p.bias).at[row];
  if (present(p.residual))
    y = Floats(p.residual).at[token * p.y_stride + row] + y;
  FloatsOut(p.y).at[token * p.y_stride + row] = y;
}
