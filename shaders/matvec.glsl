// matvec.glsl: rows of weights times a q8 row, or up to COLUMNS of them, for the kernels of one or a few tokens.
//
// A workgroup is LANES x CHUNK_LANES invocations; one has ROWS neighbouring rows (of each of MATRICES matrices, which follow each other) and
// N_CHUNKS / CHUNK_LANES chunks of them, for all tokens of the workgroup: they share the weights in registers. Of one row in a lane for all chunks
// (CHUNK_LANES 1) there is nothing to add up behind: for few, fast cores. STEP granules make an iteration.
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_ballot : require
#include "matmul.glsl"

#ifndef MATRICES
#define MATRICES 1u
#endif
#ifdef BATCH
layout(constant_id = 3) const uint COLUMNS = 8u; // tokens of a workgroup
#else
#define COLUMNS 1u
#endif
#define ROW_SUMS float[PRODUCTS][COLUMNS]

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

shared float chunk_sums[N_CHUNKS][PRODUCTS * COLUMNS][LANES];

uvec2 address_at(uvec2 base, uint bytes) {
  uint low = base.x + bytes;
  return uvec2(low, base.y + (low < bytes ? 1u : 0u));
}

// Where an iteration begins: at a granule of a tile's row, and of a token. With LANE_ADDRESSES it has one address for each plane and constant
// offsets from it, else 64 bits of index arithmetic for each load.
struct From {
  Planes w[MATRICES];
  uint i[MATRICES], super[MATRICES]; // the granule and its super-block in these planes
};

struct FromToken {
  uvec2 q, d, sums;
  uint block, last; // block: 0 with LANE_ADDRESSES; last: of the token
};

Planes planes_at(Planes w, uint i, uint super) {
  return Planes(address_at(w.q, i * Q_BYTES), address_at(w.high, i * HIGH_BYTES), address_at(w.scale, super * SCALE_BYTES),
                address_at(w.d, (UNIT_GRANULES == 1u ? i : super) * D_BYTES));
}

// n_rows is a multiple of 32 where there are several matrices.
From iteration(Planes w, uint tile, uint row, uint k) {
  From f;
  for (uint m = 0u; m < MATRICES; m++) {
    uint at_tile = tile + m * (p.n_rows / TILE_ROWS);
    f.i[m] = (at_tile * p.n_granules + k) * TILE_ROWS + row;
    f.super[m] = (at_tile * (p.n_granules / UNIT_GRANULES) + k / UNIT_GRANULES) * TILE_ROWS + row;
    f.w[m] = LANE_ADDRESSES ? planes_at(w, f.i[m], f.super[m]) : w;
    if (LANE_ADDRESSES)
      f.i[m] = f.super[m] = 0u;
  }
  return f;
}

FromToken iteration_of(uint token, uint k) {
  uint block = token * p.n_granules + k;
  if (LANE_ADDRESSES)
    return FromToken(address_at(p.x_q, block * ACT_BLOCK), address_at(p.x_d, block * 4u), address_at(p.x_sums, block * 4u), 0u, 0u);
  return FromToken(p.x_q, p.x_d, p.x_sums, block, min(token + 1u, p.n_tokens) * p.n_granules - 1u);
}

// What has the same address in all lanes lavapipe reads where no lane is active, too (behind the last iteration of a loop, say): there every
// address must be one of a token's.
Input load_iteration_input(FromToken f, uint j) {
  return load_input(f.q, f.d, f.sums, LANE_ADDRESSES ? j : min(f.block + j, f.last));
}

// The first row of the invocation.
uint first_row() {
  return (gl_WorkGroupID.x * LANES + gl_LocalInvocationID.x) * ROWS;
}

// Adds granules k .. k + n - 1 of the rows from `row` of a tile on.
void add_granules(Planes w, uint tile, uint row, uint token, uint k, uint n, inout ROW_SUMS acc) {
  From f = iteration(w, tile, row, k);
  FromToken x_from[COLUMNS];
  for (uint column = 0u; column < COLUMNS; column++)
    x_from[column] = iteration_of(token + column, k);
  [[unroll]] for (uint j = 0u; j < n; j++) {
    Input x = load_iteration_input(x_from[0], j);
    Granule g[PRODUCTS];
    [[unroll]] for (uint r = 0u; r < PRODUCTS; r++) {
      uint m = r / ROWS;
      g[r] = load_codes(f.w[m], f.i[m] + j * TILE_ROWS + r % ROWS, f.super[m] + r % ROWS,
                        STEP == 8u && CHUNK_LANES > 1u ? j : k % UNIT_GRANULES + j);
      acc[r][0] = add_granule(acc[r][0], g[r], x);
    }
    [[unroll]] for (uint column = 1u; column < COLUMNS; column++) {
      if (token + column >= p.n_tokens)
        break;
      x = load_iteration_input(x_from[column], j);
      [[unroll]] for (uint r = 0u; r < PRODUCTS; r++)
        acc[r][column] = add_granule(acc[r][column], g[r], x);
    }
  }
}

void multiply_chunk(Planes w, uint tile, uint row, uint token, uvec2 range, out ROW_SUMS acc) {
  for (uint i = 0u; i < PRODUCTS * COLUMNS; i++)
    acc[i / COLUMNS][i % COLUMNS] = 0.0;
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
void add_chunks(out ROW_SUMS total) {
  bool first = true;
  for (uint c = 0u; c < N_CHUNKS; c++) {
    uvec2 range = chunk_range(c);
    if (range.x == range.y)
      continue;
    for (uint i = 0u; i < PRODUCTS * COLUMNS; i++) {
      float sum = chunk_sums[c][i][gl_LocalInvocationID.x];
      total[i / COLUMNS][i % COLUMNS] = first ? sum : total[i / COLUMNS][i % COLUMNS] + sum;
    }
    first = false;
  }
}

// The products of the invocation's rows with the tokens from `token` on. False in invocations that share those of others. n_granules is at least 1.
bool multiply_rows(uint token, out ROW_SUMS total) {
  Planes w = Planes(p.w_q, p.w_high, p.w_scale, p.w_d);
  uint x = gl_LocalInvocationID.x, y = gl_LocalInvocationID.y;
  // Lanes behind the last tile repeat it.
  uint tile = min(first_row() / TILE_ROWS, (p.n_rows - 1u) / TILE_ROWS), row = x * ROWS % TILE_ROWS;
  if (LANES % gl_SubgroupSize == 0u)
    y = subgroupBroadcastFirst(y); // so that a compiler sees that a subgroup shares its activations
  ROW_SUMS acc;
  bool first = true;
  for (uint i = 0u; i < N_CHUNKS / CHUNK_LANES; i++) {
    uint c = y * (N_CHUNKS / CHUNK_LANES) + i;
    uvec2 range = chunk_range(c);
    multiply_chunk(w, tile, row, token, range, acc);
    for (uint i = 0u; i < PRODUCTS * COLUMNS; i++) {
      float sum = acc[i / COLUMNS][i % COLUMNS];
      if (CHUNK_LANES > 1u)
        chunk_sums[c][i][x] = sum;
      else if (range.x != range.y)
        total[i / COLUMNS][i % COLUMNS] = first ? sum : total[i / COLUMNS][i % COLUMNS] + sum;
    }
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
  ROW_SUMS total;
  if (!multiply_rows(token, total))
    return;
  for (uint column = 0u; column < COLUMNS; column++)
    for (uint r = 0u; r < ROWS; r++)
      if (token + column < p.n_tokens && first_row() + r < p.n_rows)
        store(token + column, first_row() + r, total[r][column]);
}
