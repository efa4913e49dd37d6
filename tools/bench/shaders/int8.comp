#version 460
// int8: per loop 32 dot products of four bytes in 8 chains, each dot product an operand of the next, so that none can be left out.
#extension GL_GOOGLE_include_directive : require
#include "push.glsl"
#include "integers.glsl"

void main() {
  int acc[8];
  for (uint c = 0u; c < 8u; c++)
    acc[c] = int(gl_GlobalInvocationID.x * 8u + c);
  for (uint i = 0u; i < p.loops; i++)
    for (uint u = 0u; u < 4u; u++)
      for (uint c = 0u; c < 8u; c++)
        acc[c] = dot4(uint(acc[c]), p.n, acc[c]);
  int sum = 0;
  for (uint c = 0u; c < 8u; c++)
    sum ^= acc[c];
  if (uint(sum) == 0x9E3779B9u)
    WordsOut(p.to).at[0] = uint(sum);
}
