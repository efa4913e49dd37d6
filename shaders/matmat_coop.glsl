// matmat_coop.glsl: a matmat workgroup of which each subgroup has LANE_TOKENS tokens of SUBGROUP * LANE_ROWS rows in cooperative matrices: int8
// products with int32 sums. Matrices are scaled value by value: drivers may fuse operations on whole ones.

layout(constant_id = 5) const uint SUBGROUP = 8u; // invocations of one; the pipeline asks for it
// The shape of a matrix: M rows x N tokens, of K codes; K divides a granule. runtime/gpu_info.c takes it from what the device lists.
layout(constant_id = 6) const uint M = 8u;
layout(constant_id = 7) const uint N = 8u;
layout(constant_id = 8) const uint K = 8u;

const uint SUBGROUP_ROWS = SUBGROUP * LANE_ROWS, ROW_SUBGROUPS = ROW_LANES / SUBGROUP;
const uint A = SUBGROUP_ROWS / M, B = LANE_TOKENS / N;
const uint PARTS = ACT_BLOCK / K; // matrices along a granule
#ifdef TWO_SCALES
#define HALVES 2u
#else
#define HALVES 1u
#endif
// Where a matrix is as deep as a granule that has two scales, each half has matrices of its own, with zeros in place of the other.
const uint COPIES = PARTS < HALVES ? 2u : 1u;
const uint HALF_PARTS = COPIES == 2u ? 1u : PARTS / HALVES;
const uint CODE_STRIDE = 6u; // pairs of words: a granule's 4, and 2 that keep rows out of each other's banks

#include "matmat_stage.glsl"

// Codes: (granule, copy, row) and (granule, token), each CODE_STRIDE pairs. What matrices are loaded from begins at multiples of 16 bytes, as it
// must: every array here and in matmat_stage.glsl has a size that is one.
shared uvec2 w_codes[STEP * COPIES * ROWS * CODE_STRIDE], x_codes[STEP * TOKENS * CODE_STRIDE];
shared float stored[INVOCATIONS / SUBGROUP * M * N]; // by each subgroup, on its way to memory

#define Counts coopmat<int, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define Terms coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define RowCodes coopmat<int8_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define TokenCodes coopmat<int8_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>

Terms acc[A * B], total[A * B]; // of a chunk, of those before
uint subgroup_row, subgroup_token; // the first ones in the tile

void put_row_codes(uint g, uint row, Granule w) {
  [[unroll]] for (uint copy = 0u; copy < COPIES; copy++)
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
      uvec2 codes = uvec2(w.q[2u * i], w.q[2u * i + 1u]);
      if (OFFSET != 0)
        codes = uvec2(subtract_bytes(codes.x, OFFSET), subtract_bytes(codes.y, OFFSET));
      w_codes[((g * COPIES + copy) * ROWS + row) * CODE_STRIDE + i] = COPIES == 2u && i / 2u != copy ? uvec2(0u) : codes;
    }
}

void put_token_codes(uint g, uint token, uvec4 codes[2]) {
  uint at = (g * TOKENS + token) * CODE_STRIDE;
  [[unroll]] for (uint h = 0u; h < 2u; h++) {
    x_codes[at + 2u * h] = codes[h].xy;
    x_codes[at + 2u * h + 1u] = codes[h].zw;
  }
}

uint row_slot(uint row) {
  return row;
}

uint token_slot(uint token) {
  return token;
}

float of_sum(int sum) {
  return float(sum);
}

// A factor of the rows of matrix i, the same in all columns.
Terms row_factors(uint g, uint which, uint i) {
  Terms factors;
  coopMatLoad(factors, w_factors, (g * ROW_FACTORS + which) * ROWS + subgroup_row + i * M, 0, gl_CooperativeMatrixLayoutColumnMajor);
  return factors;
}

// A factor of the tokens of matrix j, the same in all rows.
Terms token_factors(uint g, uint which, uint j) {
  Terms factors;
  coopMatLoad(factors, x_factors, (g * TOKEN_FACTORS + which) * TOKENS + subgroup_token + j * N, 0, gl_CooperativeMatrixLayoutRowMajor);
  return factors;
}

// Products of half h, or the whole of granule g.
Terms dots_of(uint g, uint h, uint i, uint j) {
  Counts sum = Counts(0);
  [[unroll]] for (uint part = 0u; part < HALF_PARTS; part++) {
    RowCodes a;
    TokenCodes b;
    uint copy = COPIES == 2u ? h : 0u, at = (COPIES == 2u ? part : h * HALF_PARTS + part) * (K / 8u);
    coopMatLoad(a, w_codes, ((g * COPIES + copy) * ROWS + subgroup_row + i * M) * CODE_STRIDE + at, CODE_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
    coopMatLoad(b, x_codes, (g * TOKENS + subgroup_token + j * N) * CODE_STRIDE + at, CODE_STRIDE, gl_CooperativeMatrixLayoutColumnMajor);
    sum = coopMatMulAdd(a, b, sum);
  }
  return Terms(sum);
}

// acc + s * d_x as in add_granule.
void add_products(uint g, uint i, uint j) {
  Terms d = row_factors(g, 0u, i), d_x = token_factors(g, 0u, j), dots = dots_of(g, 0u, i, j);
#ifdef TWO_SCALES
  Terms high = dots_of(g, 1u, i, j), scale_low = row_factors(g, SCALES, i), scale_high = row_factors(g, SCALES + 1u, i);
  [[unroll]] for (uint e = 0u; e < dots.length(); e++) {
    float scaled_low = dots[e] * scale_low[e], scaled_high = high[e] * scale_high[e];
    dots[e] = scaled_low + scaled_high; // integers below 2^24
  }
#endif
#ifdef HAS_MINIMUM
  Terms m = row_factors(g, MINIMUMS, i), sums = token_factors(g, 1u, j);
#ifdef TWO_SCALES
  Terms sums_high = token_factors(g, 2u, j), m_low = row_factors(g, MINIMUMS + 1u, i), m_high = row_factors(g, MINIMUMS + 2u, i);
  [[unroll]] for (uint e = 0u; e < sums.length(); e++) {
    float scaled_low = sums[e] * m_low[e], scaled_high = sums_high[e] * m_high[e];
    sums[e] = scaled_low + scaled_high;
  }
#endif
#endif
  [[unroll]] for (uint e = 0u; e < dots.length(); e++) {
    float s = dots[e] * d[e];
#ifdef HAS_MINIMUM
    float minimum = sums[e] * m[e];
    s = s + minimum;
#endif
    float term = s * d_x[e];
    acc[i * B + j][e] = acc[i * B + j][e] + term;
  }
}

void begin() {
  subgroup_row = gl_SubgroupID % ROW_SUBGROUPS * SUBGROUP_ROWS;
  subgroup_token = gl_SubgroupID / ROW_SUBGROUPS * LANE_TOKENS;
  [[unroll]] for (uint i = 0u; i < A * B; i++)
    total[i] = Terms(0.0);
  find_elements();
}

void begin_chunk() {
  [[unroll]] for (uint i = 0u; i < A * B; i++)
    acc[i] = Terms(0.0);
}

// Granules k .. min(k + STEP, end) - 1.
void add_step(uint k, uint end) {
  load_step(k);
  uint n = min(STEP, end - k);
  [[dont_unroll]] for (uint g = 0u; g < n; g++)
    [[unroll]] for (uint j = 0u; j < B; j++)
      [[unroll]] for (uint i = 0u; i < A; i++)
        add_products(g, i, j);
}

void add_chunk() {
  [[unroll]] for (uint i = 0u; i < A * B; i++)
    [[unroll]] for (uint e = 0u; e < total[i].length(); e++)
      total[i][e] = total[i][e] + acc[i][e];
}

void store_tile() {
  uint mine = gl_SubgroupID * M * N;
  [[unroll]] for (uint i = 0u; i < A; i++)
    [[unroll]] for (uint j = 0u; j < B; j++) {
      subgroupBarrier();
      coopMatStore(total[i * B + j], stored, mine, M, gl_CooperativeMatrixLayoutColumnMajor);
      subgroupBarrier();
      for (uint e = gl_SubgroupInvocationID; e < M * N; e += SUBGROUP)
        store_sum(subgroup_row + i * M + e % M, subgroup_token + j * N + e / M, stored[mine + e]);
    }
}
