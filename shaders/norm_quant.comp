#version 460
// norm_quant: q8 = quantize(x / sqrt(mean(x^2) + eps) * weight). A workgroup is one token. Squares are summed by 256 lanes
// (lane i takes i, i + 256, ...), then by a binary tree. Groups: (n_tokens).
#include "buffers.glsl"
#include "activations.glsl"

layout(local_size_x = 256) in; // NORM_LANES

layout(push_constant, std430) uniform Push {
  uvec2 x, weight, q, d, sums;
  uint n;
  float inverse_n, eps;
} p;

shared float sums[NORM_LANES];

void main() {
  uint lane = gl_LocalInvocationIndex, token = gl_WorkGroupID.x;
  float sum = 0.0;
  for (uint i = lane; i < p.n; i += NORM_LANES) {
    float x = Floats(p.x).at[token * p.n + i];
    sum = sum + x * x;
  }
  sums[lane] = sum;
  barrier();
  for (uint width = NORM_LANES / 2u; width > 0u; width /= 2u) {
    if (lane < width)
      sums[lane] = sums[lane] + sums[lane + width];
    barrier();
  }
  float r = x_rsqrt(sums[0] * p.inverse_n + p.eps);
  uint blocks = p.n / ACT_BLOCK;
  for (uint b = lane; b < blocks; b += NORM_LANES) {
    float y[ACT_BLOCK];
    for (uint i = 0u; i < ACT_BLOCK; i++) {
      uint at = b * ACT_BLOCK + i;
      y[i] = (Floats(p.x).at[token * p.n + at] * r) * Floats(p.weight).at[at];
    }
    store_block(Q8Row(p.q, p.d, p.sums), token * blocks + b, y);
  }
}
