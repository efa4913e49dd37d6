/*
 * rope.h: the table of cosines and sines that RoPE rotates with, computed on the CPU in double with our own functions, so
 * that it has the same bits on every system.
 * Scalings: linear (positions divided by a factor), llama3 (frequencies divided by rope_freqs), yarn (Peng et al. 2023).
 */
#ifndef HN_ROPE_H
#define HN_ROPE_H

#include "../loader/model.h"

typedef struct rope {
  uint32_t n_pairs;         /* head_dim / 2; pairs beyond n_rot / 2 are not rotated */
  double frequencies[128];  /* (n_pairs) radians per position */
  double magnitude;         /* of cos and sin of the rotated pairs */
  uint32_t n_rotated;       /* pairs */
} rope;

/* freqs: (n_rot / 2) divisors or NULL. */
void rope_init(const model_config *config, const float *freqs, rope *out);

/* out: (n, n_pairs) pairs of cos and sin for positions first .. first + n - 1. */
void rope_fill(const rope *r, uint32_t first, uint32_t n, float *out);

#endif
