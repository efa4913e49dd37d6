#version 460
// empty: a dispatch that does nothing; the condition is never true.
#extension GL_GOOGLE_include_directive : require
#include "push.glsl"

void main() {
  if (p.n == 0xFFFFFFFFu)
    WordsOut(p.to).at[0] = 1u;
}
