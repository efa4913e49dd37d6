#version 460
// copy: n times 16 bytes from `from` to `to`.
#extension GL_GOOGLE_include_directive : require
#include "push.glsl"

void main() {
  for (uint i = gl_GlobalInvocationID.x; i < p.n; i += n_invocations())
    WordsOut4(p.to).at[i] = Words4(p.from).at[i];
}
