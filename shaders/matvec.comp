#version 460
// matvec: y = (residual +) weights . x (+ bias) for few tokens. y[token] (n_rows), x (n_tokens) q8 rows.
// A workgroup is one tile of 16 rows of one token; an invocation sums one chunk of one row, then up to 7 additions in order.
// Groups: (ceil(n_rows / 16), n_tokens).
#include "buffers.glsl"
#include "matmul.glsl"

layout(local_size_x = 128) in; // TILE_ROWS * N_CHUNKS

shared float chunk_sums[N_CHUNKS][TILE_ROWS];

void main() {
  uint lane = gl_LocalInvocationIndex % TILE_ROWS, chunk = gl_LocalInvocationIndex / TILE_ROWS;
  uint row = gl_WorkGroupID.x * TILE_ROWS + lane, token = gl_WorkGroupID.y;
  Planes w = Planes(p.w_q, p.w_high, p.w_scale, p.w_d);
  uvec2 range = chunk_range(chunk);
  float acc = 0.0;
  for (uint k = range.x; k < range.y; k++)
    acc = add_granule(acc, load_granule(w, p.n_granules, row, k), token, k);
  chunk_sums[chunk][lane] = acc;
  barrier();
  if (chunk != 0u || row >= p.n_rows)
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
