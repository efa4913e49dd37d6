#version 460
// matmat: matvec for many tokens, the same bits: chunks are walked in order with a chunk sum and a total.
// A workgroup is a tile of ROWS x TOKENS, of which an invocation has LANE_ROWS x LANE_TOKENS in registers; see matmat.glsl.
// Groups: (ceil(n_rows / ROWS), ceil(n_tokens / TOKENS)).
#extension GL_EXT_control_flow_attributes : require
#include "buffers.glsl"
#include "matmat.glsl"
#include "matmat_shared.glsl"
#include "matmat_direct.glsl"

void main() {
  row_lane = gl_LocalInvocationIndex % ROW_LANES;
  token_lane = DIRECT ? 0u : gl_LocalInvocationIndex / ROW_LANES;
  float total[LANE_ROWS][LANE_TOKENS];
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
    [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
      total[i][j] = 0.0;
  for (uint c = 0u; c < N_CHUNKS; c++) {
    uvec2 range = chunk_range(c);
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
      [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
        acc[i][j] = 0.0;
    for (uint k = range.x; k < range.y; k += STEP)
      if (DIRECT)
        add_direct(k);
      else
        add_shared(k, range.y);
    // Of an empty chunk these are zeros, which change nothing: no sum is -0.
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
      [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
        total[i][j] = total[i][j] + acc[i][j];
  }
  [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++) {
      uint token = gl_WorkGroupID.y * TOKENS + token_of(token_lane, j), row = gl_WorkGroupID.x * ROWS + row_of(row_lane, i);
      if (token < p.n_tokens && row < p.n_rows)
        store(token, row, total[i][j]);
    }
}
