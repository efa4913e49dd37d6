// matmat.glsl: the tile of a matmat workgroup, and how the weights and activations of a step come into shared memory: weights are unpacked
// there once for all tokens, and what their scales and sums are needed for is made ready.
#include "matmul.glsl"

// Chosen by runtime/tuning.c. ROWS is a multiple of TILE_ROWS.
layout(constant_id = 0) const uint INVOCATIONS = 64u;
layout(constant_id = 1) const uint ROW_LANES = 8u;
layout(constant_id = 2) const uint LANE_ROWS = 4u;
layout(constant_id = 3) const uint LANE_TOKENS = 4u;
layout(constant_id = 4) const uint STEP = 2u; // granules that are in shared memory at a time
layout(local_size_x_id = 0) in;
layout(local_size_x = 64) in;

const uint TOKEN_LANES = INVOCATIONS / ROW_LANES;
const uint ROWS = ROW_LANES * LANE_ROWS, TOKENS = TOKEN_LANES * LANE_TOKENS;

// The rows of an invocation lie apart, as do its tokens, so that neighbouring invocations read neighbouring codes.
uint row_of(uint lane, uint i) {
  return i * ROW_LANES + lane;
}

uint token_of(uint lane, uint j) {
  return j * TOKEN_LANES + lane;
}

// Factors of a row: (scale *) d, then the two scales, then minimum * m, or m and the two minimums. Of a token: d, then what its sums are
// needed for: the minimums, or OFFSET.
#ifdef TWO_SCALES
#define SUMS 2u
#define SCALES 1u
#define MINIMUMS 3u
#else
#define SUMS 1u
#define MINIMUMS 1u
#endif
#if defined(TWO_SCALES) && defined(HAS_MINIMUM)
#define ROW_FACTORS 6u
#elif defined(TWO_SCALES)
#define ROW_FACTORS 3u
#elif defined(HAS_MINIMUM)
#define ROW_FACTORS 2u
#else
#define ROW_FACTORS 1u
#endif
#ifdef HAS_MINIMUM
#define USES_SUMS true
#else
#define USES_SUMS (OFFSET != 0)
#endif
#define TOKEN_FACTORS (USES_SUMS ? 1u + SUMS : 1u)

// Codes: (granule, half, row or token). Factors: (granule, factor, lane, row or token of the lane).
shared uvec4 w_codes[STEP * 2u * ROWS], x_codes[STEP * 2u * TOKENS];
shared float w_factors[STEP * ROW_FACTORS * ROWS], x_factors[STEP * TOKEN_FACTORS * TOKENS];

// Sums of packed products become floats without a conversion, which is slow on some GPUs: they are counted from the bits of 1.5 * 2^23 on,
// so that these bits are the number 1.5 * 2^23 plus the sum, while that is below 2^22 (it is 32 * 128 * 127 at most).
#ifdef INT_F32
#define COUNT_FROM 0.0
#define COUNTER(start) (start)
#define COUNTED(sum) (sum)
#else
#define COUNT_FROM 12582912.0
#define COUNTER(start) floatBitsToInt(start)
#define COUNTED(sum) (intBitsToFloat(sum) - COUNT_FROM)
#endif

void put_row_factor(uint g, uint which, uint row, float value) {
  w_factors[(g * ROW_FACTORS + which) * ROWS + row % ROW_LANES * LANE_ROWS + row / ROW_LANES] = value;
}

void put_token_factor(uint g, uint which, uint token, float value) {
  x_factors[(g * TOKEN_FACTORS + which) * TOKENS + token % TOKEN_LANES * LANE_TOKENS + token / TOKEN_LANES] = value;
}

float row_factor(uint g, uint which, uint lane, uint i) {
  return w_factors[(g * ROW_FACTORS + which) * ROWS + lane * LANE_ROWS + i];
}

float token_factor(uint g, uint which, uint lane, uint j) {
  return x_factors[(g * TOKEN_FACTORS + which) * TOKENS + lane * LANE_TOKENS + j];
}

// scale * d and minimum * m are exact, 7 bits times 11, so that products with them round once, as in add_granule.
void put_weights(uint g, uint row, Granule w) {
  w_codes[g * 2u * ROWS + row] = uvec4(w.q[0], w.q[1], w.q[2], w.q[3]);
  w_codes[(g * 2u + 1u) * ROWS + row] = uvec4(w.q[4], w.q[5], w.q[6], w.q[7]);
#ifdef TWO_SCALES
  put_row_factor(g, 0u, row, w.d);
  [[unroll]] for (uint h = 0u; h < 2u; h++)
    put_row_factor(g, SCALES + h, row, float(w.scale[h]));
#ifdef HAS_MINIMUM
  put_row_factor(g, MINIMUMS, row, w.m);
  [[unroll]] for (uint h = 0u; h < 2u; h++)
    put_row_factor(g, MINIMUMS + 1u + h, row, float(w.minimum[h]));
#endif
#else
  put_row_factor(g, 0u, row, float(w.scale[0]) * w.d);
#ifdef HAS_MINIMUM
  put_row_factor(g, MINIMUMS, row, float(w.minimum[0]) * w.m);
#endif
#endif
}

float of_sum(int sum) {
  return OFFSET != 0 ? COUNT_FROM - float(OFFSET * sum) : float(sum);
}

void put_token_factors(uint g, uint token, uint block) {
  put_token_factor(g, 0u, token, Floats(p.x_d).at[block]);
  if (!USES_SUMS)
    return;
  int sums = int(Words(p.x_sums).at[block]), low = bitfieldExtract(sums, 0, 16), high = sums >> 16;
#ifdef TWO_SCALES
  put_token_factor(g, 1u, token, of_sum(low));
  put_token_factor(g, 2u, token, of_sum(high));
#else
  put_token_factor(g, 1u, token, of_sum(low + high));
#endif
}

// Granules k .. k + STEP - 1. In place of rows, tokens and granules that do not exist, the last ones are loaded.
void load_step(uint k) {
  Planes w = Planes(p.w_q, p.w_high, p.w_scale, p.w_d);
  uint n_tiles = (p.n_rows + TILE_ROWS - 1u) / TILE_ROWS;
  [[unroll]] for (uint e = gl_LocalInvocationIndex; e < STEP * ROWS; e += INVOCATIONS) {
    uint lane = e % TILE_ROWS, g = e / TILE_ROWS % STEP, tile = e / (TILE_ROWS * STEP);
    uint from = min(gl_WorkGroupID.x * (ROWS / TILE_ROWS) + tile, n_tiles - 1u), at = min(k + g, p.n_granules - 1u);
    put_weights(g, tile * TILE_ROWS + lane, load_codes(w, (from * p.n_granules + at) * TILE_ROWS + lane,
                                                       (from * (p.n_granules / 8u) + at / 8u) * TILE_ROWS + lane, at % 8u));
  }
  [[unroll]] for (uint e = gl_LocalInvocationIndex; e < STEP * 2u * TOKENS; e += INVOCATIONS) {
    uint h = e % 2u, g = e / 2u % STEP, token = e / (2u * STEP);
    uint block = min(gl_WorkGroupID.y * TOKENS + token, p.n_tokens - 1u) * p.n_granules + min(k + g, p.n_granules - 1u);
    x_codes[(g * 2u + h) * TOKENS + token] = Blocks(p.x_q).at[block][h];
    if (h == 0u)
      put_token_factors(g, token, block);
  }
}
