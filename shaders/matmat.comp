#version 460
// matmat: matvec for many tokens, the same bits: chunks are walked in order with a chunk sum and a total.
// A workgroup is one tile of 16 rows and 32 tokens (runtime/tuning.c says so to the launch); an invocation has one row and 4 of the tokens,
// so that a granule of weights is unpacked once for 4 products. Groups: (ceil(n_rows / 16), ceil(n_tokens / 32)).
#include "buffers.glsl"
#include "matmul.glsl"

layout(local_size_x = 128) in;

const uint TOKENS = 4u, TILE_TOKENS = gl_WorkGroupSize.x / TILE_ROWS * TOKENS;

void main() {
  uint row = gl_WorkGroupID.x * TILE_ROWS + gl_LocalInvocationIndex % TILE_ROWS;
  uint token = gl_WorkGroupID.y * TILE_TOKENS + gl_LocalInvocationIndex / TILE_ROWS * TOKENS;
  if (token >= p.n_tokens)
    return;
  uint count = min(TOKENS, p.n_tokens - token);
  Planes w = Planes(p.w_q, p.w_high, p.w_scale, p.w_d);
  float total[TOKENS];
  bool first = true;
  for (uint c = 0u; c < N_CHUNKS; c++) {
    uvec2 range = chunk_range(c);
    if (range.x == range.y)
      continue;
    float acc[TOKENS] = float[TOKENS](0.0, 0.0, 0.0, 0.0);
    for (uint k = range.x; k < range.y; k++) {
      uint tile = row / TILE_ROWS, lane = row % TILE_ROWS;
      Granule g = load_codes(w, (tile * p.n_granules + k) * TILE_ROWS + lane,
                             (tile * (p.n_granules / 8u) + k / 8u) * TILE_ROWS + lane, k % 8u);
      for (uint t = 0u; t < TOKENS; t++)
        if (t < count)
          acc[t] = add_granule(acc[t], g, load_input((token + t) * p.n_granules + k));
    }
    for (uint t = 0u; t < TOKENS; t++)
      total[t] = first ? acc[t] : total[t] + acc[t];
    first = false;
  }
  if (row >= p.n_rows)
    return;
  for (uint t = 0u; t < count; t++)
    store(token + t, row, total[t]);
}
