#include "rope.h"

#include <math.h>
#include <string.h>

/* ---- elementary functions from + - * / alone: libm differs between systems ---- */

#define LN2_HIGH 6.93147180369123816490e-01 /* ln 2 in two parts; the first has 32 bits */
#define LN2_LOW 1.90821492927058770002e-10
#define PIO2_HIGH 1.57079632673412561417e+00 /* pi / 2 in two parts; the first has 33 bits */
#define PIO2_LOW 6.07710050650619224932e-11
#define TWO_PI 6.28318530717958647692

/* ln x for normal x > 0: 2 atanh((m - 1) / (m + 1)) of the mantissa. */
static double d_log(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int exponent = (int)(bits >> 52 & 2047) - 1023;
  bits = (bits & 0xFFFFFFFFFFFFFu) | (uint64_t)1023 << 52;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 1.41421356237309505) {
    m = m * 0.5;
    exponent++;
  }
  double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
  for (int k = 25; k >= 1; k -= 2)
    sum = sum * s2 + 1.0 / k;
  return exponent * LN2_HIGH + (2 * s * sum + exponent * LN2_LOW);
}

/* e^x for |x| < 700. */
static double d_exp(double x) {
  int n = (int)(x / LN2_HIGH + (x < 0 ? -0.5 : 0.5));
  double r = (x - n * LN2_HIGH) - n * LN2_LOW, sum = 1;
  for (int k = 16; k >= 1; k--)
    sum = 1 + sum * r / k;
  uint64_t bits = (uint64_t)(n + 1023) << 52;
  double power;
  memcpy(&power, &bits, sizeof power);
  return sum * power;
}

/* cos and sin of 0 <= x < 2^26. */
static void d_cos_sin(double x, double *c, double *s) {
  int64_t n = (int64_t)(x / PIO2_HIGH + 0.5);
  double r = (x - (double)n * PIO2_HIGH) - (double)n * PIO2_LOW, r2 = r * r, cosine = 1, sine = 1;
  for (int k = 18; k >= 2; k -= 2) {
    cosine = 1 - cosine * r2 / (k * (k - 1));
    sine = 1 - sine * r2 / (k * (k + 1));
  }
  sine = sine * r;
  *c = n & 1 ? (n & 2 ? sine : -sine) : (n & 2 ? -cosine : cosine);
  *s = n & 1 ? (n & 2 ? -cosine : cosine) : (n & 2 ? -sine : sine);
}

/* ---- scalings ---- */

/* The dimension whose wavelength turns `turns` times in the original context. */
static double yarn_dimension(const model_rope *r, double turns) {
  return r->n_rot * d_log(r->n_ctx_original / (turns * TWO_PI)) / (2 * d_log(r->theta));
}

/* The part of pair i that keeps its frequency: 1 for fast ones, 0 for slow ones, a ramp between. */
static double yarn_kept(const model_rope *r, uint32_t i) {
  double low = floor(yarn_dimension(r, r->beta_fast)), high = ceil(yarn_dimension(r, r->beta_slow));
  low = low < 0 ? 0 : low;
  high = high > r->n_rot - 1 ? r->n_rot - 1 : high;
  double width = high - low < 0.001 ? 0.001 : high - low, y = (i - low) / width;
  return 1 - (y < 0 ? 0 : y > 1 ? 1 : y);
}

void rope_init(const model_config *config, const float *freqs, rope *out) {
  const model_rope *r = &config->rope;
  *out = (rope){.n_pairs = config->head_dim / 2, .n_rotated = r->n_rot / 2, .magnitude = 1};
  for (uint32_t i = 0; i < out->n_rotated; i++) {
    double f = d_exp(-(2.0 * i / r->n_rot) * d_log(r->theta));
    if (freqs)
      f = f / freqs[i];
    double kept = r->scaling == ROPE_YARN ? yarn_kept(r, i) : 0;
    out->frequencies[i] = f * (kept + (1 - kept) / r->factor);
  }
  if (r->scaling == ROPE_YARN)
    out->magnitude = r->attn_factor * (1 + 0.1 * d_log(r->factor));
}

void rope_fill(const rope *r, uint32_t first, uint32_t n, float *out) {
  for (uint32_t token = 0; token < n; token++)
    for (uint32_t i = 0; i < r->n_pairs; i++, out += 2) {
      double c = 1, s = 0;
      if (i < r->n_rotated)
        d_cos_sin((first + token) * r->frequencies[i], &c, &s);
      double magnitude = i < r->n_rotated ? r->magnitude : 1;
      out[0] = (float)(c * magnitude);
      out[1] = (float)(s * magnitude);
    }
}
