#version 460
// matvec_batch: matvec for a few tokens that share the weights in registers; the same bits. Groups: (ceil(n_rows / (2 * LANES)),
// ceil(n_tokens / COLUMNS)).
#define BATCH
#include "buffers.glsl"
#include "matvec.glsl"

void main() {
  store_rows(gl_WorkGroupID.y * COLUMNS);
}
