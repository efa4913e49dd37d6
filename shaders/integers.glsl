// integers.glsl: sums of products of int8, in one of two forms with the same bits. `integer` is the type of the sums.

#ifdef INT_F32

#define integer float
#define integer2 vec2
#define integer4 vec4

// Integers below 2^24 are exact in f32, in any order, fused or not: the one place where fma may stand.
float dot4(uint a, uint b, float sum) {
  for (uint i = 0u; i < 4u; i++)
    sum = fma(float(byte_of(a, i)), float(byte_of(b, i)), sum);
  return sum;
}

vec2 add_two_bytes(vec2 sum, uint word, int factor) {
  return fma(vec2(byte_of(word, 0u), byte_of(word, 1u)), vec2(float(factor)), sum);
}

vec4 add_bytes(vec4 sum, uint word, int factor) {
  return fma(vec4(bytes_of(word)), vec4(float(factor)), sum);
}

#else

#define integer int
#define integer2 ivec2
#define integer4 ivec4

// The dot product of four signed bytes (SPV_KHR_integer_dot_product), which older glslc cannot name.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int dot_packed(uint a, uint b, spirv_literal int format);

// sum + a . b, four signed bytes each
int dot4(uint a, uint b, int sum) {
  return sum + dot_packed(a, b, 0); // 0: PackedVectorFormat4x8Bit
}

// sum + the two low signed bytes of a word, times a factor
ivec2 add_two_bytes(ivec2 sum, uint word, int factor) {
  return sum + factor * ivec2(byte_of(word, 0u), byte_of(word, 1u));
}

// sum + the four signed bytes of a word, times a factor
ivec4 add_bytes(ivec4 sum, uint word, int factor) {
  return sum + factor * bytes_of(word);
}

#endif
