#version 460
// write: 16 bytes an invocation and round, to all n of `to`.
#extension GL_GOOGLE_include_directive : require
#include "push.glsl"

void main() {
  for (uint i = gl_GlobalInvocationID.x; i < p.n; i += n_invocations())
    WordsOut4(p.to).at[i] = uvec4(i);
}
