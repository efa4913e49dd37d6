// norm.glsl: q8 = quantize(x / sqrt(mean(x^2) + eps) * weight) of one row by a workgroup of any size. Squares are summed by 256 lanes
// (lane i takes i, i + 256, ...), then by a binary tree. Include it behind the workgroup's size.
#include "group_quantize.glsl"

#ifndef FROM // what x is read through: FloatsShared where workgroups of the same dispatch write it
#define FROM Floats
#endif

struct Norm {
  uvec2 x, weight;
  Q8Row to;
  uint n;
  float inverse_n, eps;
};

shared float squares[NORM_LANES];

void norm_row(Norm p, uint row) {
  uint lane = gl_LocalInvocationIndex, at = row * p.n;
  for (uint l = lane; l < NORM_LANES; l += invocations()) {
    float sum = 0.0;
    for (uint i = l; i < p.n; i += NORM_LANES) {
      float x = FROM(p.x).at[at + i];
      sum = sum + x * x;
    }
    squares[l] = sum;
  }
  barrier();
  for (uint width = NORM_LANES / 2u; width > 0u; width /= 2u) {
    for (uint l = lane; l < width; l += invocations())
      squares[l] = squares[l] + squares[l + width];
    barrier();
  }
  float r = x_rsqrt(squares[0] * p.inverse_n + p.eps);
  for (uint first = 0u; first < p.n; first += GROUP_BLOCKS * ACT_BLOCK) {
    uint n = min(p.n - first, GROUP_BLOCKS * ACT_BLOCK);
    for (uint i = lane; i < n; i += invocations())
      values[i] = (FROM(p.x).at[at + first + i] * r) * Floats(p.weight).at[first + i];
    barrier();
    group_quantize(p.to, (at + first) / ACT_BLOCK, n / ACT_BLOCK);
    barrier();
  }
}
