// matmat_direct.glsl: a step of a matmat workgroup without shared memory, for CPUs: the lanes of a vector have rows of their own, unpack them
// once for all tokens, and read the same activations.

// Granule k. In place of rows and tokens that do not exist, the last ones are loaded.
void add_direct(uint k) {
  Planes w = Planes(p.w_q, p.w_high, p.w_scale, p.w_d);
  uint last_row = (p.n_rows + TILE_ROWS - 1u) / TILE_ROWS * TILE_ROWS - 1u, block = min(k, p.n_granules - 1u); // see load_iteration_input of matvec.glsl
  Granule granules[LANE_ROWS];
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++) {
    uint row = min(gl_WorkGroupID.x * ROWS + row_of(row_lane, i), last_row);
    granules[i] = load_tile_codes(w, p.n_granules, row / TILE_ROWS, row % TILE_ROWS, k);
  }
  [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++) {
    Input x = load_input(p.x_q, p.x_d, p.x_sums, min(gl_WorkGroupID.y * TOKENS + token_of(token_lane, j), p.n_tokens - 1u) * p.n_granules + block);
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
      acc[i][j] = add_granule(acc[i][j], granules[i], x);
  }
}
