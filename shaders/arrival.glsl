// arrival.glsl: the last of several workgroups to be done with something goes on with all of it. What the others wrote must be written and
// read through a coherent buffer. Which one it is does not show in the result.

layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Counters { uint at[]; };

shared bool is_last;

// Whether `n` complete the `total` that are waited for at a counter, which is then zero again. The whole workgroup calls it together, and
// whatever it wrote before is seen by the last one.
bool arrive(uvec2 counters, uint index, uint n, uint total) {
  memoryBarrierBuffer();
  barrier();
  if (gl_LocalInvocationIndex == 0u) {
    is_last = atomicAdd(Counters(counters).at[index], n) + n == total;
    if (is_last)
      atomicExchange(Counters(counters).at[index], 0u);
  }
  barrier();
  memoryBarrierBuffer();
  return is_last;
}
