#version 460
// matmat: matvec for many tokens, the same bits: chunks are walked in order with a chunk sum and a total.
// A workgroup is a tile of ROWS x TOKENS (matmat.glsl), whose sums are in the registers of its invocations or, of COOPERATIVE, in matrices of its
// subgroups. Groups: (ceil(n_rows / ROWS), ceil(n_tokens / TOKENS)).
#extension GL_EXT_control_flow_attributes : require
#ifdef COOPERATIVE
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#endif
#include "buffers.glsl"
#include "matmat.glsl"

// A row's sum and a token's of the tile, where both exist.
void store_sum(uint tile_row, uint tile_token, float sum) {
  uint token = gl_WorkGroupID.y * TOKENS + tile_token, row = gl_WorkGroupID.x * ROWS + tile_row;
  if (token < p.n_tokens && row < p.n_rows)
    store(token, row, sum);
}

#ifdef COOPERATIVE
#include "matmat_coop.glsl"
#else
#include "matmat_lanes.glsl"
#endif

void main() {
  begin();
  for (uint c = 0u; c < N_CHUNKS; c++) {
    uvec2 range = chunk_range(c);
    begin_chunk();
    for (uint k = range.x; k < range.y; k += STEP)
      add_step(k, range.y);
    add_chunk(); // of an empty one these are zeros, which change nothing: no sum is -0
  }
  store_tile();
}
