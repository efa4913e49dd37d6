#version 460
// matvec_swiglu: q8 = quantize(silu(gate . x) * (up . x)) for few tokens. gate and up follow each other in one matrix of 2 * n_rows rows; n_rows is
// a multiple of 32. Groups: (ceil(n_rows / (2 * LANES)), n_tokens).
#define PUSH_MORE uvec2 q, d, sums; // of the result; bias, residual and y are not there
#define MATRICES 2u
#include "buffers.glsl"
#include "matvec.glsl"
#include "group_quantize.glsl"

void main() {
  uint token = gl_WorkGroupID.y, first = gl_WorkGroupID.x * LANES * ROWS;
  ROW_SUMS total;
  if (multiply_rows(token, total))
    for (uint r = 0u; r < ROWS; r++)
      values[gl_LocalInvocationID.x * ROWS + r] = x_silu(total[r][0]) * total[ROWS + r][0];
  barrier();
  group_quantize(Q8Row(p.q, p.d, p.sums), (token * p.n_rows + first) / ACT_BLOCK, min(p.n_rows - first, LANES * ROWS) / ACT_BLOCK);
}
