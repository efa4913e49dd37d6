// buffers.glsl: access to memory by 64-bit address, and the pieces that all kernels share. Include it first.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_GOOGLE_include_directive : require

#include "shared.h"
#include "exact.h"

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Words4 { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Words2 { uvec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Floats { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Pairs { vec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer WordsOut { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer FloatsOut { float at[]; };
// What other workgroups of the same dispatch wrote: see arrival.glsl.
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer FloatsShared { float at[]; };

bool present(uvec2 address) {
  return (address.x | address.y) != 0u;
}

// Signed byte i (0 .. 3) of a word.
int byte_of(uint word, uint i) {
  return bitfieldExtract(int(word), int(i * 8u), 8);
}

ivec4 bytes_of(uint word) {
  return ivec4(byte_of(word, 0u), byte_of(word, 1u), byte_of(word, 2u), byte_of(word, 3u));
}

uint pack_bytes(ivec4 v) {
  return (uint(v.x) & 255u) | (uint(v.y) & 255u) << 8 | (uint(v.z) & 255u) << 16 | (uint(v.w) & 255u) << 24;
}

// Bytes of 0 .. 2^n-1 minus `offset` (one bit, in every byte), without a borrow between bytes.
uint subtract_bytes(uint v, uint offset) {
  return ((v | 0x80808080u) - offset * 0x01010101u) ^ 0x80808080u;
}
