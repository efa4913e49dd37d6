#version 460
// matmat: matvec for many tokens, the same bits: chunks are walked in order with a chunk sum and a total.
// A workgroup is a tile of ROWS x TOKENS, of which an invocation has LANE_ROWS x LANE_TOKENS in registers; see matmat.glsl.
// Groups: (ceil(n_rows / ROWS), ceil(n_tokens / TOKENS)).
#extension GL_EXT_control_flow_attributes : require
#include "buffers.glsl"
#include "matmat.glsl"

float acc[LANE_ROWS][LANE_TOKENS];
uint row_lane, token_lane;

// What a sum over half h, or the whole of granule g begins with.
integer first_sum(uint g, uint h, uint j) {
  return COUNTER(OFFSET != 0 ? token_factor(g, 1u + h, token_lane, j) : COUNT_FROM);
}

// acc + s * d_x as in add_granule; dots: the sum of products, with the two scales of types that have them.
void add_dots(uint g, uint i, uint j, float dots) {
  float s = dots * row_factor(g, 0u, row_lane, i);
#ifdef HAS_MINIMUM
#ifdef TWO_SCALES
  float low = token_factor(g, 1u, token_lane, j) * row_factor(g, MINIMUMS + 1u, row_lane, i);
  float high = token_factor(g, 2u, token_lane, j) * row_factor(g, MINIMUMS + 2u, row_lane, i);
  float sums = low + high; // of integers below 2^24
  float m = sums * row_factor(g, MINIMUMS, row_lane, i);
#else
  float m = token_factor(g, 1u, token_lane, j) * row_factor(g, MINIMUMS, row_lane, i);
#endif
  s = s + m;
#endif
  float term = s * token_factor(g, 0u, token_lane, j);
  acc[i][j] = acc[i][j] + term;
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
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
    [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
      add_dots(g, i, j, SUMS == 2u ? dots[i][j] : sums[i][j]);
}

#else

// Of a batch that fills half of the tile's tokens, only these are multiplied; not where STEP is 1, so that there is no branch on lavapipe.
void add_granule_of_tile(uint g) {
  uint n_tokens = p.n_tokens - gl_WorkGroupID.y * TOKENS;
  uvec4 a[LANE_ROWS][2];
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
    [[unroll]] for (uint h = 0u; h < 2u; h++)
      a[i][h] = w_codes[(g * 2u + h) * ROWS + row_of(row_lane, i)];
  [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++) {
    if (STEP > 1u && j * TOKEN_LANES >= n_tokens)
      break;
    uvec4 b[2];
    [[unroll]] for (uint h = 0u; h < 2u; h++)
      b[h] = x_codes[(g * 2u + h) * TOKENS + token_of(token_lane, j)];
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++) {
      int sums[2] = int[2](first_sum(g, 0u, j), first_sum(g, SUMS - 1u, j));
      [[unroll]] for (uint w = 0u; w < 8u; w++)
        sums[w / 4u * (SUMS - 1u)] = dot4(a[i][w / 4u][w % 4u], b[w / 4u][w % 4u], sums[w / 4u * (SUMS - 1u)]);
#ifdef TWO_SCALES
      float low = COUNTED(sums[0]) * row_factor(g, SCALES, row_lane, i);
      float high = COUNTED(sums[1]) * row_factor(g, SCALES + 1u, row_lane, i);
      add_dots(g, i, j, low + high); // integers below 2^24
#else
      add_dots(g, i, j, COUNTED(sums[0]));
#endif
    }
  }
}

#endif

void main() {
  row_lane = gl_LocalInvocationIndex % ROW_LANES;
  token_lane = gl_LocalInvocationIndex / ROW_LANES;
  float total[LANE_ROWS][LANE_TOKENS];
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
    [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
      total[i][j] = 0.0;
  for (uint c = 0u; c < N_CHUNKS; c++) {
    uvec2 range = chunk_range(c);
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
      [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
        acc[i][j] = 0.0;
    for (uint k = range.x; k < range.y; k += STEP) {
      barrier();
      load_step(k);
      barrier();
      uint n = STEP == 1u ? 1u : min(STEP, range.y - k);
      [[dont_unroll]] for (uint g = 0u; g < n; g++)
        add_granule_of_tile(g);
    }
    // Of an empty chunk these are zeros, which change nothing: no sum is -0.
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
      [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
        total[i][j] = total[i][j] + acc[i][j];
  }
  [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++) {
      uint token = gl_WorkGroupID.y * TOKENS + token_of(token_lane, j), row = gl_WorkGroupID.x * ROWS + row_of(row_lane, i);
      if (token < p.n_tokens && row < p.n_rows)
        store(token, row, total[i][j]);
    }
}
