// invocations.glsl: of a workgroup, whatever its shape; included behind that.
#ifndef INVOCATIONS_GLSL
#define INVOCATIONS_GLSL

uint invocations() {
  return gl_WorkGroupSize.x * gl_WorkGroupSize.y;
}

#endif
