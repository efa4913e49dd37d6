#version 460
// matvec: y = (residual +) weights . x (+ bias) for few tokens. y[token] (n_rows), x (n_tokens) q8 rows. What a workgroup does: matvec.glsl.
// Groups: (ceil(n_rows / (2 * LANES)), n_tokens).
#include "buffers.glsl"
#include "matvec.glsl"

void main() {
  store_rows(gl_WorkGroupID.y);
}
