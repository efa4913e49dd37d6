#version 460
// matvec_norm: matvec and, of its whole y, q8 = quantize(y / sqrt(mean(y^2) + eps) * weight), by the workgroup that is done last. Groups as matvec.
#define PUSH_MORE uvec2 then; // struct then_norm
#define Y FloatsShared
#define FROM FloatsShared
#include "buffers.glsl"
#include "matvec.glsl"
#include "arrival.glsl"
#include "norm.glsl"

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Then {
  uvec2 x, weight, q, d, sums;
  uint n;
  float inverse_n, eps;
  uint unused;
  uvec2 counters;
};

void main() {
  uint token = gl_WorkGroupID.y;
  store_rows(token);
  Then t = Then(p.then);
  if (arrive(t.counters, token, 1u, gl_NumWorkGroups.x))
    norm_row(Norm(t.x, t.weight, Q8Row(t.q, t.d, t.sums), t.n, t.inverse_n, t.eps), token);
}
