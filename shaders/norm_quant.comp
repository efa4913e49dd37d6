#version 460
// norm_quant: q8 = quantize(x / sqrt(mean(x^2) + eps) * weight). A workgroup is one token: see norm.glsl. Groups: (n_tokens).
#include "buffers.glsl"

layout(local_size_x_id = 0) in; // by runtime/tuning.c
layout(local_size_x = 256) in;

#include "norm.glsl"

layout(push_constant, std430) uniform Push {
  uvec2 x, weight, q, d, sums;
  uint n;
  float inverse_n, eps;
} p;

void main() {
  norm_row(Norm(p.x, p.weight, Q8Row(p.q, p.d, p.sums), p.n, p.inverse_n, p.eps), gl_WorkGroupID.x);
}
