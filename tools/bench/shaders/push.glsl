// push.glsl: what all shaders of gpu-bench take; struct bench_push in device_test.c.
#include "buffers.glsl"

layout(local_size_x = 256) in;

layout(push_constant, std430) uniform Push {
  uvec2 from, to;
  uint n;     // of 16 bytes each
  uint loops; // of arithmetic
} p;

layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer WordsOut4 { uvec4 at[]; };

uint n_invocations() {
  return gl_NumWorkGroups.x * gl_WorkGroupSize.x;
}
