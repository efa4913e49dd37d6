#version 460
// matvec: y = (residual +) weights . x (+ bias) for few tokens. y[token] (n_rows), x (n_tokens) q8 rows.
// See matvec.glsl for what a workgroup does. Groups: (ceil(n_rows / (LANES * ROWS)), n_tokens).
#include "buffers.glsl"
#include "matvec.glsl"

void main() {
  uint token = gl_WorkGroupID.y;
  float total[ROWS];
  if (!multiply_rows(token, total))
    return;
  for (uint r = 0u; r < ROWS; r++)
    if (first_row() + r < p.n_rows)
      store(token, first_row() + r, total[r]);
}
