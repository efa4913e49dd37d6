/* test_sampler.c: the sampler against known answers and exact distributions. Every seed is fixed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../runtime/hornito.h"
#include "../runtime/sampler.h"

enum {
  DRAWS = 40000,
  MAX_VOCAB = 4096,
};

static hn_sampler *make(hn_sampler_params params, uint32_t n_vocab) {
  hn_sampler *s = NULL;
  hn_error err = {0};
  assert_int_equal(hn_sampler_create(&params, n_vocab, &s, &err), HN_OK);
  assert_non_null(s);
  return s;
}

/* The known answers of Random123's kat_vectors file, philox4x32 with 10 rounds. */
static void test_philox(void **state) {
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], out[4];
  } known[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    uint32_t out[4];
    sampler_philox(known[i].counter, known[i].key, out);
    assert_memory_equal(out, known[i].out, sizeof out);
  }
}

static void test_greedy(void **state) {
  (void)state;
  hn_sampler *s = NULL;
  assert_int_equal(hn_sampler_create(NULL, 5, &s, NULL), HN_OK);
  assert_int_equal(hn_sampler_sample(s, (const float[]){1, 3, 2, 3, 3}), 1);
  assert_int_equal(hn_sampler_sample(s, (const float[]){-1, -1, -1, -1, -1}), 0);
  assert_int_equal(hn_sampler_sample(s, (const float[]){0.0f, -0.0f, -1, 0, 0}), 0);
  assert_int_equal(hn_sampler_sample(s, (const float[]){NAN, -INFINITY, -5, NAN, -6}), 2);
  assert_int_equal(hn_sampler_sample(s, (const float[]){NAN, NAN, NAN, NAN, NAN}), 0);
  assert_int_equal(hn_sampler_sample(s, (const float[]){1, INFINITY, INFINITY, 1, 1}), 1);
  hn_sampler_destroy(&s);
  assert_null(s);
  hn_sampler_destroy(&s);
  hn_sampler_destroy(NULL);
}

/* Infinities and NaN among the logits: no crash, and never a token that they exclude. */
static void test_strange_logits(void **state) {
  (void)state;
  const hn_sampler_params all[] = {
      {.temperature = 1},
      {.temperature = 1, .top_k = 3},
      {.temperature = 1, .top_p = 0.9f},
      {.temperature = 1, .min_p = 0.1f},
      {.temperature = 1e-30f, .top_k = 4, .top_p = 0.5f, .min_p = 1, .repeat_penalty = 1e-30f},
      {.temperature = 1e30f, .repeat_penalty = 1e30f},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    hn_sampler *s = make(all[i], 5);
    for (int round = 0; round < 100; round++) {
      int32_t id = hn_sampler_sample(s, (const float[]){NAN, NAN, NAN, NAN, NAN});
      assert_true(id >= 0 && id < 5);
      id = hn_sampler_sample(s, (const float[]){-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY});
      assert_true(id >= 0 && id < 5);
      id = hn_sampler_sample(s, (const float[]){1, 2, INFINITY, 3, NAN});
      assert_int_equal(id, 2);
      if (all[i].temperature <= 1) {
        id = hn_sampler_sample(s, (const float[]){NAN, 1, -INFINITY, 1.5f, NAN});
        assert_true(id == 1 || id == 3);
      }
    }
    hn_sampler_destroy(&s);
  }
}

static void test_top_k_1(void **state) {
  (void)state;
  hn_sampler *s = make((hn_sampler_params){.temperature = 5, .top_k = 1, .seed = 3}, 4);
  for (int i = 0; i < 200; i++)
    assert_int_equal(hn_sampler_sample(s, (const float[]){0, 2, 2, 1}), 1);
  hn_sampler_destroy(&s);
}

/*
 * Draws DRAWS tokens and compares the counts with exact probabilities: none where it is 0, else within 5 standard
 * deviations, which a right sampler misses once in 1.7 million.
 */
static void expect(hn_sampler_params params, const float *logits, const double *probabilities, uint32_t n) {
  static int counts[MAX_VOCAB];
  memset(counts, 0, sizeof counts);
  hn_sampler *s = make(params, n);
  for (int i = 0; i < DRAWS; i++) {
    int32_t id = hn_sampler_sample(s, logits);
    assert_true(id >= 0 && (uint32_t)id < n);
    counts[id]++;
  }
  for (uint32_t i = 0; i < n; i++) {
    double p = probabilities[i];
    double expected = (double)DRAWS * p, deviation = sqrt(expected * (1 - p));
    if (fabs(counts[i] - expected) > 5 * deviation)
      fail_msg("token %u: %d draws, expected %.1f +/- %.1f", (unsigned)i, counts[i], expected, deviation);
  }
  hn_sampler_destroy(&s);
}

/* Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625, out of order. */
#define LN2 0.69314718f
static const float halves[5] = {-4 * LN2, -1 * LN2, -3 * LN2, -2 * LN2, -4 * LN2};

static void test_distributions(void **state) {
  (void)state;
  expect((hn_sampler_params){.temperature = 1, .seed = 1}, halves, (double[]){.0625, .5, .125, .25, .0625}, 5);
  /* temperature 0.5 squares, 2 takes the root */
  double square = .25 + .0625 + .015625 + 2 * .00390625;
  expect((hn_sampler_params){.temperature = 0.5f, .seed = 2}, halves,
         (double[]){.00390625 / square, .25 / square, .015625 / square, .0625 / square, .00390625 / square}, 5);
  double root = sqrt(.5) + .5 + sqrt(.125) + .5;
  expect((hn_sampler_params){.temperature = 2, .seed = 3}, halves,
         (double[]){.25 / root, sqrt(.5) / root, sqrt(.125) / root, .5 / root, .25 / root}, 5);
  expect((hn_sampler_params){.temperature = 1, .top_k = 3, .seed = 4}, halves,
         (double[]){0, .5 / .875, .125 / .875, .25 / .875, 0}, 5);
  /* the tie for the fourth place goes to the lower id */
  expect((hn_sampler_params){.temperature = 1, .top_k = 4, .seed = 5}, halves,
         (double[]){.0625 / .9375, .5 / .9375, .125 / .9375, .25 / .9375, 0}, 5);
  /* the smallest set that reaches 0.6 is two tokens */
  expect((hn_sampler_params){.temperature = 1, .top_p = 0.6f, .seed = 6}, halves, (double[]){0, 2. / 3, 0, 1. / 3, 0},
         5);
  expect((hn_sampler_params){.temperature = 1, .top_p = 0.01f, .seed = 7}, halves, (double[]){0, 1, 0, 0, 0}, 5);
  /* top-p is a share of the top-k's probability: 0.6 of 0.75 is less than 0.5 */
  expect((hn_sampler_params){.temperature = 1, .top_k = 2, .top_p = 0.6f, .seed = 8}, halves, (double[]){0, 1, 0, 0, 0},
         5);
  expect((hn_sampler_params){.temperature = 1, .min_p = 0.2f, .seed = 9}, halves,
         (double[]){0, .5 / .875, .125 / .875, .25 / .875, 0}, 5);
  expect((hn_sampler_params){.temperature = 1, .min_p = 1, .seed = 10}, halves, (double[]){0, 1, 0, 0, 0}, 5);
  /* the temperature comes after the cuts: it does not change what they keep */
  expect((hn_sampler_params){.temperature = 2, .min_p = 0.4f, .seed = 11}, halves,
         (double[]){0, sqrt(.5) / (sqrt(.5) + .5), 0, .5 / (sqrt(.5) + .5), 0}, 5);
}

static void test_penalty(void **state) {
  (void)state;
  const float logits[4] = {2, 4, -1, -1.5f};
  hn_sampler *s = make((hn_sampler_params){.repeat_penalty = 3, .repeat_last_n = 2}, 4);
  assert_int_equal(hn_sampler_sample(s, logits), 1);
  hn_sampler_accept(s, 1);
  hn_sampler_accept(s, 1); /* twice in the window, penalised once: 4/3 is more than -1 but less than 2 */
  assert_int_equal(hn_sampler_sample(s, logits), 0);
  hn_sampler_accept(s, 0); /* 2/3 and 4/3 */
  assert_int_equal(hn_sampler_sample(s, logits), 1);
  hn_sampler_accept(s, 2);
  hn_sampler_accept(s, -1); /* not tokens: ignored */
  hn_sampler_accept(s, 4);
  hn_sampler_accept(s, 3); /* 1 and 0 have left the window */
  assert_int_equal(hn_sampler_sample(s, logits), 1);
  const float negative[4] = {-9, -9, -1, -1.5f};
  hn_sampler_accept(s, 2);
  hn_sampler_accept(s, 2); /* negative logits are multiplied: -3 */
  assert_int_equal(hn_sampler_sample(s, negative), 3);
  hn_sampler_destroy(&s);

  s = make((hn_sampler_params){.repeat_penalty = 2, .temperature = 1, .top_k = 1}, 4);
  hn_sampler_accept(s, 1); /* 4/2 ties with 2: the lowest id */
  assert_int_equal(hn_sampler_sample(s, logits), 0);
  for (int i = 0; i < 64; i++) /* the default window is 64 */
    hn_sampler_accept(s, 3);
  assert_int_equal(hn_sampler_sample(s, logits), 1);
  hn_sampler_destroy(&s);
}

/* A plain generator of test data (splitmix64). */
static uint32_t scramble(uint64_t *state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (uint32_t)(z >> 32);
}

static const float *by_logit;

static int compare_ids(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  if (by_logit[x] != by_logit[y])
    return by_logit[x] > by_logit[y] ? -1 : 1;
  return x < y ? -1 : 1;
}

/* What the cuts keep, against a full sort, with many ties. A huge temperature draws evenly from all that is kept. */
static void test_cuts(void **state) {
  (void)state;
  static float logits[MAX_VOCAB];
  static int32_t ids[MAX_VOCAB];
  static bool seen[MAX_VOCAB];
  uint64_t random = 12345;
  for (int round = 0; round < 40; round++) {
    uint32_t n = 2 + scramble(&random) % 60;
    for (uint32_t i = 0; i < n; i++) {
      logits[i] = (float)(scramble(&random) % 20) * 0.25f;
      ids[i] = (int32_t)i;
      seen[i] = false;
    }
    by_logit = logits;
    qsort(ids, n, sizeof *ids, compare_ids);
    uint32_t top_k = scramble(&random) % (n + 2);
    float top_p = (float)(1 + scramble(&random) % 9) / 10;
    float min_p = round % 2 == 0 ? 0.0f : 0.03f;

    uint32_t k = top_k == 0 || top_k > n ? n : top_k;
    double total = 0, sum = 0;
    for (uint32_t i = 0; i < k; i++)
      total += exp((double)(logits[ids[i]] - logits[ids[0]]));
    uint32_t kept = 0;
    for (; kept < k; kept++) {
      double weight = exp((double)(logits[ids[kept]] - logits[ids[0]]));
      if (kept > 0 && (sum >= (double)top_p * total || weight < (double)min_p))
        break;
      sum += weight;
    }

    hn_sampler *s = make((hn_sampler_params){.temperature = 1e20f, .top_k = top_k, .top_p = top_p, .min_p = min_p}, n);
    uint32_t n_seen = 0;
    for (int i = 0; i < 4000; i++) {
      int32_t id = hn_sampler_sample(s, logits);
      n_seen += seen[id] ? 0 : 1;
      seen[id] = true;
    }
    for (uint32_t i = 0; i < n; i++)
      if (seen[ids[i]] != (i < kept))
        fail_msg("round %d: %u seen, %u expected, place %u", round, (unsigned)n_seen, (unsigned)kept, (unsigned)i);
    hn_sampler_destroy(&s);
  }
}

static void test_seed(void **state) {
  (void)state;
  static float logits[MAX_VOCAB];
  uint64_t random = 7;
  for (uint32_t i = 0; i < MAX_VOCAB; i++)
    logits[i] = (float)(scramble(&random) % 1000) * 0.01f;
  static float before[MAX_VOCAB];
  memcpy(before, logits, sizeof logits);
  hn_sampler_params params = {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .seed = 42};
  hn_sampler *a = make(params, MAX_VOCAB), *b = make(params, MAX_VOCAB);
  params.seed = 42 + (1ull << 32);
  hn_sampler *c = make(params, MAX_VOCAB);
  int differing = 0;
  uint64_t hash = 1469598103934665603u; /* FNV-1a */
  for (int i = 0; i < 200; i++) {
    int32_t id = hn_sampler_sample(a, logits);
    assert_int_equal(id, hn_sampler_sample(b, logits));
    differing += id != hn_sampler_sample(c, logits);
    hash = (hash ^ (uint64_t)id) * 1099511628211u;
  }
  assert_true(differing > 100); /* the upper half of the seed counts as well */
  assert_memory_equal(before, logits, sizeof logits);
  /* The choices of this version: a change here changes every user's texts. */
  printf("choices' hash: %016llx\n", (unsigned long long)hash);
  assert_true(hash == 0x6cccdb7609d1c250u);
  hn_sampler_destroy(&a);
  hn_sampler_destroy(&b);
  hn_sampler_destroy(&c);
}

static void test_arguments(void **state) {
  (void)state;
  const hn_sampler_params bad[] = {
      {.temperature = -1},
      {.temperature = NAN},
      {.temperature = INFINITY},
      {.top_p = -0.1f},
      {.top_p = 1.1f},
      {.top_p = NAN},
      {.min_p = -0.1f},
      {.min_p = 1.5f},
      {.min_p = NAN},
      {.repeat_penalty = -1},
      {.repeat_penalty = INFINITY},
      {.repeat_penalty = NAN},
      {.repeat_last_n = UINT32_MAX},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int there = 0;
    hn_sampler *s = (hn_sampler *)&there; /* must be overwritten */
    hn_error err = {0};
    assert_int_equal(hn_sampler_create(&bad[i], 10, &s, &err), HN_ERROR_ARGUMENT);
    assert_int_equal(err.code, HN_ERROR_ARGUMENT);
    assert_null(s);
  }
  hn_sampler *s = NULL;
  assert_int_equal(hn_sampler_create(NULL, 0, &s, NULL), HN_ERROR_ARGUMENT);
  assert_int_equal(hn_sampler_create(NULL, UINT32_MAX, &s, NULL), HN_ERROR_ARGUMENT);
  s = make((hn_sampler_params){.temperature = 1, .top_k = 99}, 1);
  assert_int_equal(hn_sampler_sample(s, (const float[]){-3}), 0);
  hn_sampler_destroy(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_philox),  cmocka_unit_test(test_greedy),        cmocka_unit_test(test_strange_logits),
      cmocka_unit_test(test_top_k_1), cmocka_unit_test(test_distributions), cmocka_unit_test(test_penalty),
      cmocka_unit_test(test_cuts),    cmocka_unit_test(test_seed),          cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
