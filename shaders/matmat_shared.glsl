// matmat_shared.glsl: a step of a matmat workgroup by shared memory.
#include "matmat_stage.glsl"

// (granule, half, row or token); factors lie by (lane, row or token of the lane).
shared uvec4 w_codes[STEP * 2u * ROWS], x_codes[STEP * 2u * TOKENS];

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

void put_row_codes(uint g, uint row, Granule w) {
  w_codes[g * 2u * ROWS + row] = uvec4(w.q[0], w.q[1], w.q[2], w.q[3]);
  w_codes[(g * 2u + 1u) * ROWS + row] = uvec4(w.q[4], w.q[5], w.q[6], w.q[7]);
}

void put_token_codes(uint g, uint token, uvec4 codes[2]) {
  x_codes[g * 2u * TOKENS + token] = codes[0];
  x_codes[(g * 2u + 1u) * TOKENS + token] = codes[1];
}

uint row_slot(uint row) {
  return row % ROW_LANES * LANE_ROWS + row / ROW_LANES;
}

uint token_slot(uint token) {
  return token % TOKEN_LANES * LANE_TOKENS + token / TOKEN_LANES;
}

float row_factor(uint g, uint which, uint lane, uint i) {
  return w_factors[(g * ROW_FACTORS + which) * ROWS + lane * LANE_ROWS + i];
}

float token_factor(uint g, uint which, uint lane, uint j) {
  return x_factors[(g * TOKEN_FACTORS + which) * TOKENS + lane * LANE_TOKENS + j];
}

float of_sum(int sum) {
  return OFFSET != 0 ? COUNT_FROM - float(OFFSET * sum) : float(sum);
}

// What a sum over half h, or the whole of granule g begins with.
integer first_sum(uint g, uint h, uint j) {
  return COUNTER(OFFSET != 0 ? token_factor(g, 1u + h, token_lane, j) : COUNT_FROM);
}

// Products of all rows and TOGETHER tokens, from token j on: n is that of row n % LANE_ROWS, token j + n / LANE_ROWS.
#ifdef TWO_SCALES // more sums, which would be spilled
const uint TOGETHER = 1u;
#else
const uint TOGETHER = LARGE_TILE ? 2u : 1u;
#endif
const uint PRODUCTS = TOGETHER * LANE_ROWS;

// acc + s * d_x as in add_granule; dots: the sums of products, with the two scales of types that have them. Step by step for all products:
// neighbouring operations are independent, so that none waits, and two of them may become one instruction.
void add_dots(uint g, uint j, float dots[PRODUCTS]) {
  float s[PRODUCTS], term[PRODUCTS];
  [[unroll]] for (uint n = 0u; n < PRODUCTS; n++)
    s[n] = dots[n] * row_factor(g, 0u, row_lane, n % LANE_ROWS);
#ifdef HAS_MINIMUM
  float m[PRODUCTS];
  [[unroll]] for (uint n = 0u; n < PRODUCTS; n++) {
    uint i = n % LANE_ROWS, token = j + n / LANE_ROWS;
#ifdef TWO_SCALES
    float low = token_factor(g, 1u, token_lane, token) * row_factor(g, MINIMUMS + 1u, row_lane, i);
    float high = token_factor(g, 2u, token_lane, token) * row_factor(g, MINIMUMS + 2u, row_lane, i);
    float sums = low + high; // of integers below 2^24
#else
    float sums = token_factor(g, 1u, token_lane, token);
#endif
    m[n] = sums * row_factor(g, MINIMUMS, row_lane, i);
  }
  [[unroll]] for (uint n = 0u; n < PRODUCTS; n++)
    s[n] = s[n] + m[n];
#endif
  [[unroll]] for (uint n = 0u; n < PRODUCTS; n++)
    term[n] = s[n] * token_factor(g, 0u, token_lane, j + n / LANE_ROWS);
  [[unroll]] for (uint n = 0u; n < PRODUCTS; n++)
    acc[n % LANE_ROWS][j + n / LANE_ROWS] = acc[n % LANE_ROWS][j + n / LANE_ROWS] + term[n];
}

#ifdef INT_F32

// Words of codes one after the other, so that the floats of few are in registers at a time.
void add_granule_of_tile(uint g) {
  float sums[LANE_ROWS][LANE_TOKENS], dots[LANE_ROWS][LANE_TOKENS];
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
    [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++) {
      sums[i][j] = first_sum(g, 0u, j);
      dots[i][j] = 0.0;
    }
  [[dont_unroll]] for (uint w = 0u; w < 8u; w++) {
    uint b[LANE_TOKENS];
    [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
      b[j] = x_codes[(g * 2u + w / 4u) * TOKENS + token_of(token_lane, j)][w % 4u];
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++) {
      uint a = w_codes[(g * 2u + w / 4u) * ROWS + row_of(row_lane, i)][w % 4u];
      [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
        sums[i][j] = dot4(a, b[j], sums[i][j]);
    }
#ifdef TWO_SCALES
    if (w % 4u == 3u)
      [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
        [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++) {
          float scaled = sums[i][j] * row_factor(g, SCALES + w / 4u, row_lane, i);
          dots[i][j] = dots[i][j] + scaled; // integers below 2^24
          sums[i][j] = first_sum(g, 1u, j);
        }
#endif
  }
  [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j += TOGETHER) {
    float together[PRODUCTS];
    [[unroll]] for (uint n = 0u; n < PRODUCTS; n++)
      together[n] = SUMS == 2u ? dots[n % LANE_ROWS][j + n / LANE_ROWS] : sums[n % LANE_ROWS][j + n / LANE_ROWS];
    add_dots(g, j, together);
  }
}

#else

// Tokens j .. j + TOGETHER - 1 of the invocation.
void add_products(uint g, uint j, uvec4 a[LANE_ROWS][2]) {
  uvec4 b[TOGETHER][2];
  [[unroll]] for (uint t = 0u; t < TOGETHER; t++)
    [[unroll]] for (uint h = 0u; h < 2u; h++)
      b[t][h] = x_codes[(g * 2u + h) * TOKENS + token_of(token_lane, j + t)];
  int sums[PRODUCTS][2];
  [[unroll]] for (uint n = 0u; n < PRODUCTS; n++)
    sums[n] = int[2](first_sum(g, 0u, j + n / LANE_ROWS), first_sum(g, SUMS - 1u, j + n / LANE_ROWS));
  [[unroll]] for (uint w = 0u; w < 8u; w++) {
    uint h = w / 4u, of = h * (SUMS - 1u);
    [[unroll]] for (uint n = 0u; n < PRODUCTS; n++)
      sums[n][of] = dot4(a[n % LANE_ROWS][h][w % 4u], b[n / LANE_ROWS][h][w % 4u], sums[n][of]);
  }
  float dots[PRODUCTS];
  [[unroll]] for (uint n = 0u; n < PRODUCTS; n++) {
    dots[n] = COUNTED(sums[n][0]);
#ifdef TWO_SCALES
    float low = dots[n] * row_factor(g, SCALES, row_lane, n % LANE_ROWS);
    float high = COUNTED(sums[n][1]) * row_factor(g, SCALES + 1u, row_lane, n % LANE_ROWS);
    dots[n] = low + high; // integers below 2^24
#endif
  }
  add_dots(g, j, dots);
}

// An invocation's tokens between two looks at whether the batch goes on: 32 tokens of the tile. Fewer would take 3 to 5 % more instructions of a full
// tile on Intel and NVIDIA. Tiles of 32 tokens have no branch: SwiftShader's must not.
const uint PART = TOGETHER * TOKEN_LANES < 32u ? 32u / TOKEN_LANES : TOGETHER;

void add_granule_of_tile(uint g) {
  uint n_tokens = p.n_tokens - gl_WorkGroupID.y * TOKENS;
  uvec4 a[LANE_ROWS][2];
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
    [[unroll]] for (uint h = 0u; h < 2u; h++)
      a[i][h] = w_codes[(g * 2u + h) * ROWS + row_of(row_lane, i)];
  [[unroll]] for (uint part = 0u; part < LANE_TOKENS; part += PART) {
    if (LANE_TOKENS > PART && part * TOKEN_LANES >= n_tokens)
      break;
    [[unroll]] for (uint j = 0u; j < PART; j += TOGETHER)
      if (part + j < LANE_TOKENS)
        add_products(g, part + j, a);
  }
}

#endif

// Granules k .. min(k + STEP, end) - 1.
void add_shared(uint k, uint end) {
  if (!LARGE_TILE)
    find_elements();
  load_step(k);
  uint n = STEP == 1u ? 1u : min(STEP, end - k);
  [[dont_unroll]] for (uint g = 0u; g < n; g++)
    add_granule_of_tile(g);
}
