// matmat.glsl: the tile of a matmat workgroup.
#include "matmul.glsl"

// Chosen by runtime/tuning.c. ROWS is a multiple of TILE_ROWS; LANE_TOKENS is even where an invocation has 64 sums or more.
layout(constant_id = 0) const uint INVOCATIONS = 64u;
layout(constant_id = 1) const uint ROW_LANES = 8u;
layout(constant_id = 2) const uint LANE_ROWS = 4u;
layout(constant_id = 3) const uint LANE_TOKENS = 4u;
layout(constant_id = 4) const uint STEP = 2u; // granules that are in shared memory at a time
layout(local_size_x_id = 0) in;
layout(local_size_x = 64) in;

const uint TOKEN_LANES = INVOCATIONS / ROW_LANES;
const uint ROWS = ROW_LANES * LANE_ROWS, TOKENS = TOKEN_LANES * LANE_TOKENS;
