// matmat_lanes.glsl: a matmat workgroup of which an invocation has LANE_ROWS x LANE_TOKENS sums in registers.

// Where no two invocations have the same row, there is nothing for them to share.
const bool DIRECT = ROW_LANES == INVOCATIONS; // STEP is 1

// 64 sums of an invocation or more, for GPUs that have the registers: these take more of them, and fewer instructions. Elements are found once, not
// in each step (find_elements), and two tokens of an invocation may be multiplied together.
const bool LARGE_TILE = LANE_ROWS * LANE_TOKENS >= 64u;

// The rows of an invocation lie apart, as do its tokens, so that neighbouring invocations read neighbouring codes.
uint row_of(uint lane, uint i) {
  return i * ROW_LANES + lane;
}

uint token_of(uint lane, uint j) {
  return j * TOKEN_LANES + lane;
}

float acc[LANE_ROWS][LANE_TOKENS], total[LANE_ROWS][LANE_TOKENS]; // of a chunk, of those before
uint row_lane, token_lane;

#include "matmat_shared.glsl"
#include "matmat_direct.glsl"

void begin() {
  row_lane = gl_LocalInvocationIndex % ROW_LANES;
  token_lane = DIRECT ? 0u : gl_LocalInvocationIndex / ROW_LANES;
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
    [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
      total[i][j] = 0.0;
  if (LARGE_TILE)
    find_elements();
}

void begin_chunk() {
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
    [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
      acc[i][j] = 0.0;
}

void add_step(uint k, uint end) {
  if (DIRECT)
    add_direct(k);
  else
    add_shared(k, end);
}

void add_chunk() {
  [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
    [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
      total[i][j] = total[i][j] + acc[i][j];
}

void store_tile() {
  [[unroll]] for (uint j = 0u; j < LANE_TOKENS; j++)
    [[unroll]] for (uint i = 0u; i < LANE_ROWS; i++)
      store_sum(row_of(row_lane, i), token_of(token_lane, j), total[i][j]);
}
