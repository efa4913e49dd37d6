#version 460
// quantize: q8 = quantize(x). An invocation is one block of 32. Groups: (ceil(n_blocks / 64)).
#include "buffers.glsl"
#include "activations.glsl"

layout(local_size_x = 64) in;

layout(push_constant, std430) uniform Push {
  uvec2 x, q, d, sums;
  uint n_blocks;
} p;

void main() {
  uint b = gl_GlobalInvocationID.x;
  if (b >= p.n_blocks)
    return;
  float x[ACT_BLOCK];
  for (uint i = 0u; i < ACT_BLOCK; i++)
    x[i] = Floats(p.x).at[b * ACT_BLOCK + i];
  store_block(Q8Row(p.q, p.d, p.sums), b, x);
}
