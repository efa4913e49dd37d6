#version 460
// read: every invocation reads 16 bytes of `from`, then those one grid further on, until all n are read. The sum is written where
// it is one value of 2^32, so that the reads are not left out.
#extension GL_GOOGLE_include_directive : require
#include "push.glsl"

void main() {
  uvec4 sum = uvec4(0u);
  for (uint i = gl_GlobalInvocationID.x; i < p.n; i += n_invocations())
    sum ^= Words4(p.from).at[i];
  if ((sum.x ^ sum.y ^ sum.z ^ sum.w) == 0x9E3779B9u)
    WordsOut(p.to).at[0] = sum.x;
}
