// matvec.glsl: rows of weights times one q8 row, for the kernels of one or a few tokens.
//
// A workgroup is LANES x CHUNK_LANES invocations; one has ROWS neighbouring rows (of each of MATRICES matrices, which follow each other) and
// N_CHUNKS / CHUNK_LANES chunks of them. Of one row in a lane for all chunks (CHUNK_LANES 1) there is nothing to add up behind: for few, fast
// cores. STEP granules make an iteration.
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_ballot : require
#include "matmul.glsl"

#ifndef MATRICES
#define MATRICES 1u
#endif

// Rows of an invocation: they share the activations. Neighbours, so that one word has the f16 d of both.
const uint ROWS = 2u, PRODUCTS = ROWS * MATRICES;
layout(constant_id = 0) const uint LANES = 16u; // a multiple of 16: 32 rows
layout(constant_id = 1) const uint CHUNK_LANES = 8u;
layout(constant_id = 2) const bool LANE_ADDRESSES = false; // see From
// Granules that share the computation of addresses, and the header of a super-block. 8 of f32 multiply-adds would be too much code.
#ifdef INT_F32
const uint STEP = 2u;
#else
const uint STEP = max(UNIT_GRANULES, 4u);
#endif

layout(local_size_x_id = 0, local_size_y_id = 1) in;

shared float chunk_sums[N_CHUNKS][PRODUCTS][LANES];

uvec2 address_at(uvec2 base, uint bytes) {
  uint low = base.x + bytes;
  return uvec2(low, base.y + (low < bytes ? 1u : 0u));
}

// Where an iteration begins: at a granule of a tile's row and of a token. With LANE_ADDRESSES it has one address for each plane and constant
// offsets from it, else 64 bits of index arithmetic for each load.
struct From {
  Planes w[MATRICES];
  uint i[MATRICES], super[MATRICES]; // the granule and its super-block in these planes
  uvec2 x_q, x_d, x_sums;
  uint block;
};

Planes planes_at(Planes w, uint i, uint super) {
  return Planes(address_at(w.q, i * Q_BYTES), address_at(w.high, i * HIGH_BYTES), address_at(w.scale, super * SCALE_BYTES),
                address_at(w.d, (UNIT_GRANULES == 1u ? i : super) * D_BYTES));
}

// n_rows is a multiple of 32 where there are several matrices.
From iteration(Planes w, uint tile, uint row, uint token, uint k) {
  From f;
  f.block = token * p.n_granules + k;
  for (uint m = 0u; m < MATRICES; m++) {
    uint at_tile = tile + m * (p.n_rows / TILE_ROWS);
    f.i[m] = (at_tile * p.n_granules + k) * TILE_ROWS + row;
    f.super[m] = (at_tile * (p.n_granules / UNIT_GRANULES) + k / UNIT_GRANULES) * TILE_ROWS + row;
    f.w[m] = LANE_ADDRESSES ? planes_at(w, f.i[m], f.super[m]) : w;
    if (LANE_ADDRESSES)
      f.i[m] = f.super[m] = 0u;
  }
  if (LANE_ADDRESSES) {
    f.x_q = address_at(p.x_q, f.block * ACT_BLOCK);
    f.x_d = address_at(p.x_d, f.block * 4u);
    f.x_sums = address_at(p.x_sums, f.block * 4u);
  }
  return f;
}

// What has the same address in all lanes lavapipe reads where no lane is active, too (behind the last iteration of a loop, say): there every
// address must be one of the token's.
Input load_iteration_input(From f, uint token, uint j) {
  if (LANE_ADDRESSES)
    return load_input(f.x_q, f.x_d, f.x_sums, j);
  return load_input(p.x_q, p.x_d, p.x_sums, min(f.block + j, token * p.n_granules + p.n_granules - 1u));
}

// The first row of the invocation.
uint first_row() {
  return (gl_WorkGroupID.x * LANES + gl_LocalInvocationID.x) * ROWS;
}

// Adds granules k .. k + n - 1 of the rows from `row` of a tile on.
void add_granules(Planes w, uint tile, uint row, uint token, uint k, uint n, inout float acc[PRODUCTS]) {
  From f = iteration(w, tile, row, token, k);
  [[unroll]] for (uint j = 0u; j < n; j++) {
    Input x = load_iteration_input(f, token, j);
    [[unroll]] for (uint r = 0u; r < PRODUCTS; r++) {
      uint m = r / ROWS;
      Granule g = load_codes(f.w[m], f.i[m] + j * TILE_ROWS + r % ROWS, f.super[m] + r % ROWS,
                             STEP == 8u && CHUNK_LANES > 1u ? j : k % UNIT_GRANULES + j);
      acc[r] = add_granule(acc[r], g, x);
    }
  }
}

void multiply_chunk(Planes w, uint tile, uint row, uint token, uvec2 range, out float acc[PRODUCTS]) {
  for (uint r = 0u; r < PRODUCTS; r++)
    acc[r] = 0.0;
  uint k = range.x;
  if (CHUNK_LANES > 1u)
    for (; k + STEP <= range.y; k += STEP)
      add_granules(w, tile, row, token, k, STEP, acc);
  // What is left; all of it on a CPU, which gains nothing by more in an iteration, but compiles it.
  if (UNIT_GRANULES == 1u || CHUNK_LANES == 1u)
    for (; k < range.y; k++)
      add_granules(w, tile, row, token, k, 1u, acc);
}

// The sums of all chunks, from left to right.
void add_chunks(out float total[PRODUCTS]) {
  bool first = true;
  for (uint c = 0u; c < N_CHUNKS; c++) {
    uvec2 range = chunk_range(c);
    if (range.x == range.y)
      continue;
    for (uint r = 0u; r < PRODUCTS; r++)
      total[r] = first ? chunk_sums[c][r][gl_LocalInvocationID.x] : total[r] + chunk_sums[c][r][gl_LocalInvocationID.x];
    first = false;
  }
}

// The products of the invocation's rows with a token. False in invocations that share those of others. n_granules is at least 1.
bool multiply_rows(uint token, out float total[PRODUCTS]) {
  Planes w = Planes(p.w_q, p.w_high, p.w_scale, p.w_d);
  uint x = gl_LocalInvocationID.x, y = gl_LocalInvocationID.y;
  // Lanes behind the last tile repeat it.
  uint tile = min(first_row() / TILE_ROWS, (p.n_rows - 1u) / TILE_ROWS), row = x * ROWS % TILE_ROWS;
  if (LANES % gl_SubgroupSize == 0u)
    y = subgroupBroadcastFirst(y); // so that a compiler sees that a subgroup shares its activations
  float acc[PRODUCTS];
  bool first = true;
  for (uint i = 0u; i < N_CHUNKS / CHUNK_LANES; i++) {
    uint c = y * (N_CHUNKS / CHUNK_LANES) + i;
    uvec2 range = chunk_range(c);
    multiply_chunk(w, tile, row, token, range, acc);
    for (uint r = 0u; r < PRODUCTS; r++)
      if (CHUNK_LANES > 1u)
        chunk_sums[c][r][x] = acc[r];
      else if (range.x != range.y)
        total[r] = first ? acc[r] : total[r] + acc[r];
    if (CHUNK_LANES == 1u && range.x != range.y)
      first = false;
  }
  if (CHUNK_LANES == 1u)
    return true;
  barrier();
  if (y == 0u)
    add_chunks(total);
  return y == 0u;
}

// Where they are to be stored as they are.
void store_rows(uint token) {
  float total[PRODUCTS];
  if (!multiply_rows(token, total))
    return;
  for (uint r = 0u; r < ROWS; r++)
    if (first_row() + r < p.n_rows)
      store(token, first_row() + r, total[r]);
}
