#version 460
// embed: x[token] = row ids[token] of the embedding table, dequantized. An invocation writes one granule of 32 values.
// Groups: (ceil(n_granules / 64), n_tokens).
#include "buffers.glsl"
#include "weights.glsl"

layout(local_size_x = 64) in;

layout(push_constant, std430) uniform Push {
  uvec2 w_q, w_high, w_scale, w_d;
  uvec2 ids, x;
  uint n_granules;
} p;

void main() {
  uint k = gl_GlobalInvocationID.x, token = gl_WorkGroupID.y;
  if (k >= p.n_granules)
    return;
  uint row = Words(p.ids).at[token];
  Granule g = load_granule(Planes(p.w_q, p.w_high, p.w_scale, p.w_d), p.n_granules, row, k);
  for (uint j = 0u; j < 32u; j++) {
    float x = float(byte_of(g.q[j / 4u], j % 4u) * g.scale[j / 16u]) * g.d;
#ifdef HAS_MINIMUM
    float m = float(g.minimum[j / 16u]) * g.m;
    x = x + m;
#endif
    FloatsOut(p.x).at[(token * p.n_granules + k) * 32u + j] = x;
  }
}
