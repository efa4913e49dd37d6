#version 460
// swiglu_quant: q8 = quantize(silu(gate) * up). An invocation is one block of 32. Groups: (ceil(n_blocks / 64)).
#include "buffers.glsl"
#include "activations.glsl"

layout(local_size_x = 64) in;

layout(push_constant, std430) uniform Push {
  uvec2 gate, up, q, d, sums;
  uint n_blocks;
} p;

void main() {
  uint b = gl_GlobalInvocationID.x;
  if (b >= p.n_blocks)
    return;
  float h[ACT_BLOCK];
  for (uint i = 0u; i < ACT_BLOCK; i++) {
    uint at = b * ACT_BLOCK + i;
    h[i] = x_silu(Floats(p.gate).at[at]) * Floats(p.up).at[at];
  }
  store_block(Q8Row(p.q, p.d, p.sums), b, h);
}
