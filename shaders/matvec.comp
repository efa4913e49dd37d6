#version 460
// matvec: y = (residual +) weights . x (+ bias) for few tokens. y[token] (n_rows), x (n_tokens) q8 rows.
// A workgroup is one tile of 16 rows of one token; an invocation sums one chunk of ROWS rows, STEP granules in an iteration, then
// up to 7 additions in order. Groups: (ceil(n_rows / 16), n_tokens).
#extension GL_EXT_control_flow_attributes : require
#include "buffers.glsl"
#include "matmul.glsl"

// Rows of an invocation: they share the activations. Neighbours, so that one word has the f16 d of both.
const uint ROWS = 2u, LANES = TILE_ROWS / ROWS;
// Granules that share the computation of addresses, and the header of a super-block. 8 of f32 multiply-adds would be too much code.
#ifdef INT_F32
const uint STEP = 2u;
#else
const uint STEP = max(UNIT_GRANULES, 4u);
#endif

layout(local_size_x = 64) in; // LANES * N_CHUNKS

shared float chunk_sums[N_CHUNKS][TILE_ROWS];

// Activations of STEP granules from a multiple of STEP on: constant offsets from one address.
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer StepBlocks { uvec4 at[][STEP][2]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer StepFloats { float at[][STEP]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer StepWords { uint at[][STEP]; };

// Block j of those that belong to an iteration.
Input load_step_input(uint block, uint j) {
  if (UNIT_GRANULES == 1u) // chunks begin anywhere
    return load_input(block + j);
  uint at = block / STEP;
  return input_of(StepBlocks(p.x_q).at[at][j][0], StepBlocks(p.x_q).at[at][j][1], StepFloats(p.x_d).at[at][j], StepWords(p.x_sums).at[at][j]);
}

// Adds granules k .. k + n - 1 of the rows from `row` on. Addresses are indices of uniform bases: lavapipe at 512 bits crashes on others.
void add_granules(Planes w, uint row, uint token, uint k, uint n, inout float acc[ROWS]) {
  uint i = (gl_WorkGroupID.x * p.n_granules + k) * TILE_ROWS + row;
  uint super = (gl_WorkGroupID.x * (p.n_granules / UNIT_GRANULES) + k / UNIT_GRANULES) * TILE_ROWS + row;
  [[unroll]] for (uint j = 0u; j < n; j++) {
    Input x = load_step_input(token * p.n_granules + k, j);
    [[unroll]] for (uint r = 0u; r < ROWS; r++)
      acc[r] = add_granule(acc[r], load_codes(w, i + j * TILE_ROWS + r, super + r, STEP == 8u ? j : k % UNIT_GRANULES + j), x);
  }
}

void main() {
  uint row = gl_LocalInvocationIndex % LANES * ROWS, chunk = gl_LocalInvocationIndex / LANES, token = gl_WorkGroupID.y;
  Planes w = Planes(p.w_q, p.w_high, p.w_scale, p.w_d);
  uvec2 range = chunk_range(chunk);
  float acc[ROWS] = float[ROWS](0.0, 0.0);
  uint k = range.x;
  for (; k + STEP <= range.y; k += STEP)
    add_granules(w, row, token, k, STEP, acc);
  if (UNIT_GRANULES == 1u) { // the rest of less than STEP
    uint rest = range.y - k;
    if (STEP > 2u && rest >= 2u)
      add_granules(w, row, token, k, 2u, acc);
    if (rest % 2u != 0u)
      add_granules(w, row, token, range.y - 1u, 1u, acc);
  }
  for (uint r = 0u; r < ROWS; r++)
    chunk_sums[chunk][row + r] = acc[r];
  barrier();
  uint lane = gl_LocalInvocationIndex;
  row = gl_WorkGroupID.x * TILE_ROWS + lane;
  if (lane >= TILE_ROWS || row >= p.n_rows)
    return;
  float total = 0.0;
  bool first = true;
  for (uint c = 0u; c < N_CHUNKS; c++) {
    uvec2 r = chunk_range(c);
    if (r.x == r.y)
      continue;
    total = first ? chunk_sums[c][lane] : total + chunk_sums[c][lane];
    first = false;
  }
  store(token, row, total);
}
