/*
 * exact.h: the few float functions of the canonical arithmetic, compiled as C and as GLSL.
 *
 * Built from f32 multiply, add, subtract and bit operations alone, so that every device and every C compiler
 * (-ffp-contract=off) gives the same bits. Division, sqrt, fma and built-in transcendentals differ between drivers. No
 * result and no intermediate that matters lies in the denormal range, which drivers flush or keep as they like.
 */
#ifndef HN_EXACT_H
#define HN_EXACT_H

#ifdef GL_core_profile
#define X_FN
#define x_bits(f) floatBitsToUint(f)
#define x_from_bits(u) uintBitsToFloat(u)
#else
#include <stdint.h>
#include <string.h>
#define X_FN static inline
typedef uint32_t uint;

X_FN uint32_t x_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}

X_FN float x_from_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}
#endif

#define X_TINY 8.6736173798840355e-19f /* 2^-60: a block whose largest magnitude is below counts as zero */
#define X_Q8_MAX 127.0f                /* the largest magnitude of an int8 code */
#define X_Q8_STEP 0.00787401574803149606f /* 1 / 127 */

/* The nearest integer, ties to even, for |x| < 2^22. Adding 1.5 * 2^23 leaves the integer in the low mantissa bits. No
 * input is undefined behaviour: beyond the range (and for NaN) the result is some integer. */
X_FN int x_round(float x) {
  uint u = x_bits(x + 12582912.0f) - 0x4B400000u;
#ifdef GL_core_profile
  return int(u);
#else
  int32_t i;
  memcpy(&i, &u, sizeof i);
  return i;
#endif
}

/* |x| */
X_FN float x_abs(float x) {
  return x_from_bits(x_bits(x) & 0x7FFFFFFFu);
}

/* x, or 0 below X_TINY: where an intermediate of a sum may have been denormal, which drivers flush or keep, the result shows it
 * only far below. */
X_FN float x_zero_tiny(float x) {
  return x_abs(x) < X_TINY ? 0.0f : x;
}

/* 1 / x for 2^-100 <= x <= 2^100, relative error below 2^-22: a bit trick, then four Newton steps. */
X_FN float x_rcp(float x) {
  float y = x_from_bits(0x7EF311C7u - x_bits(x));
  y = y * (2.0f - x * y);
  y = y * (2.0f - x * y);
  y = y * (2.0f - x * y);
  y = y * (2.0f - x * y);
  return y;
}

/* 1 / sqrt(x) for 2^-100 <= x <= 2^100, relative error below 2^-22: a bit trick, then three Newton steps. */
X_FN float x_rsqrt(float x) {
  float h = x * 0.5f;
  float y = x_from_bits(0x5F375A86u - (x_bits(x) >> 1));
  y = y * (1.5f - (h * y) * y);
  y = y * (1.5f - (h * y) * y);
  y = y * (1.5f - (h * y) * y);
  return y;
}

/* e^x for x <= 80; 0 below -80, and e^80 above 80. x_exp(0) is 1. Cody-Waite reduction by ln 2 in two parts, then the Taylor
 * polynomial of degree 7 on [-ln2/2, ln2/2]. */
X_FN float x_exp(float x) {
  float c = x > 80.0f ? 80.0f : x;
  c = c >= -80.0f ? c : -80.0f;
  int n = x_round(c * 1.44269504088896341f);
#ifdef GL_core_profile
  float fn = float(n);
#else
  float fn = (float)n;
#endif
  float r = c - fn * 0.693359375f;
  r = r - fn * -2.12194440e-4f;
  float p = 1.98412698e-4f;
  p = p * r + 1.38888889e-3f;
  p = p * r + 8.33333333e-3f;
  p = p * r + 4.16666667e-2f;
  p = p * r + 1.66666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
#ifdef GL_core_profile
  float s = x_from_bits(uint(n + 127) << 23);
#else
  float s = x_from_bits((uint32_t)(n + 127) << 23);
#endif
  return x < -80.0f ? 0.0f : p * s;
}

/* x / (1 + e^-x); 0 below -60, which keeps the argument of x_rcp within its range. */
X_FN float x_silu(float x) {
  return x < -60.0f ? 0.0f : x * x_rcp(1.0f + x_exp(-x));
}

/* An f16 bit pattern as f32, subnormals included, by integer operations and one exact multiplication. Infinities and NaN
 * cannot arise: exponent 31 counts as one more binade. */
X_FN float x_f16_to_f32(uint h) {
  uint e = (h >> 10) & 31u;
  uint m = h & 1023u;
#ifdef GL_core_profile
  float sub = float(m) * 5.9604644775390625e-8f;
#else
  float sub = (float)m * 5.9604644775390625e-8f;
#endif
  uint u = e == 0u ? x_bits(sub) : ((e + 112u) << 23) | (m << 13);
  return x_from_bits(u | ((h & 0x8000u) << 16));
}

/* f32 to an f16 bit pattern, round to nearest even, saturating at the largest finite value. (packHalf2x16 truncates on some drivers.) */
X_FN uint x_f32_to_f16(float x) {
  uint u = x_bits(x);
  uint sign = (u >> 16) & 0x8000u;
  uint a = u & 0x7FFFFFFFu;
  if (a >= 0x477FF000u) /* 65520 and more */
    return sign | 0x7BFFu;
  if (a < 0x33000001u) /* 2^-25 and less round to zero */
    return sign;
  if (a < 0x38800000u) { /* a subnormal: shift the mantissa with its hidden bit */
    uint shift = 126u - (a >> 23);
    uint m = (a & 0x7FFFFFu) | 0x800000u;
    uint rest = m & ((1u << shift) - 1u);
    uint tie = 1u << (shift - 1u);
    uint r = m >> shift;
    return sign | (r + (rest > tie || (rest == tie && (r & 1u) != 0u) ? 1u : 0u));
  }
  uint r = a - 0x38000000u;
  return sign | ((r + 0xFFFu + ((r >> 13) & 1u)) >> 13);
}

#endif
