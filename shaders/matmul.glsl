// matmul.glsl: what the two matrix kernels share: one row of weights times one q8 row, unit by unit in canonical order.
#include "weights.glsl"
#include "integers.glsl"

#ifndef PUSH_MORE // behind the members of push_matmul
#define PUSH_MORE
#endif
#ifndef Y // what y is written through
#define Y FloatsOut
#endif

layout(push_constant, std430) uniform Push {
  uvec2 w_q, w_high, w_scale, w_d;
  uvec2 x_q, x_d, x_sums;
  uvec2 bias, residual, y;
  uint n_granules, n_rows, n_tokens, y_stride;
  PUSH_MORE
} p;

// Granules of chunk c: the units floor(c * B / 8) .. floor((c + 1) * B / 8) - 1.
uvec2 chunk_range(uint c) {
  uint units = p.n_granules / UNIT_GRANULES;
  return uvec2(c * units / N_CHUNKS, (c + 1u) * units / N_CHUNKS) * UNIT_GRANULES;
}

// A block of 32 activations, which a granule of weights is multiplied by.
struct Input {
  uvec4 q[2];
  int sums[2]; // of each 16
  float d;
};

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Blocks { uvec4 at[][2]; };

Input load_input(uvec2 q, uvec2 d, uvec2 sums, uint block) {
  int both = int(Words(sums).at[block]);
  return Input(Blocks(q).at[block], int[2](bitfieldExtract(both, 0, 16), both >> 16), Floats(d).at[block]);
}

// acc + (weights . activations) of a granule of codes. Sums of codes (at most 63) and OFFSET (at most 32) times int8 stay below
// 2^24 in any order: 32 * (63 + 32) * 128.
float add_granule(float acc, Granule g, Input x) {
#ifdef TWO_SCALES
  integer low = integer(-OFFSET * x.sums[0]), high = integer(-OFFSET * x.sums[1]);
  for (uint i = 0u; i < 4u; i++) {
    low = dot4(g.q[i], x.q[0][i], low);
    high = dot4(g.q[i + 4u], x.q[1][i], high);
  }
  float s = float(int(low) * g.scale[0] + int(high) * g.scale[1]) * g.d;
#else
  integer sum = integer(-OFFSET * (x.sums[0] + x.sums[1]));
  for (uint i = 0u; i < 8u; i++)
    sum = dot4(g.q[i], x.q[i / 4u][i % 4u], sum);
  float dots = float(sum) * float(g.scale[0]); // an integer below 2^24 too
  float s = dots * g.d;
#endif
#ifdef HAS_MINIMUM
#ifdef TWO_SCALES
  float sums = float(x.sums[0] * g.minimum[0] + x.sums[1] * g.minimum[1]);
#else
  float sums = float(x.sums[0] + x.sums[1]) * float(g.minimum[0]);
#endif
  float m = sums * g.m;
  s = s + m;
#endif
  float term = s * x.d;
  float result = acc + term;
  return result;
}

void store(uint token, uint row, float total) {
  float y = total;
  if (present(p.bias))
    y = y + Floats(p.bias).at[row];
  if (present(p.residual))
    y = Floats(p.residual).at[token * p.y_stride + row] + y;
  Y(p.y).at[token * p.y_stride + row] = y;
}
