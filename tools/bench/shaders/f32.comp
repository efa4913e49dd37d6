#version 460
// f32: per loop 32 multiply-adds in 8 chains.
#extension GL_GOOGLE_include_directive : require
#include "push.glsl"

void main() {
  float acc[8], a = uintBitsToFloat(p.n);
  for (uint c = 0u; c < 8u; c++)
    acc[c] = float(gl_GlobalInvocationID.x + c);
  for (uint i = 0u; i < p.loops; i++)
    for (uint u = 0u; u < 4u; u++)
      for (uint c = 0u; c < 8u; c++)
        acc[c] = fma(acc[c], a, a);
  float sum = 0.0;
  for (uint c = 0u; c < 8u; c++)
    sum += acc[c];
  if (sum == 1.5)
    WordsOut(p.to).at[0] = 1u;
}
