/*
 * sampler.c: chooses a token from logits.
 *
 * The order of the steps: repetition penalty, top-k, top-p, min-p, temperature, draw. So top-p and min-p judge the
 * model's own probabilities, and the temperature shapes what they leave.
 *
 * The candidates' order is total (larger logit first, then lower id), sums run in a fixed order, and no function of the
 * C library is used on floats, so that a seed gives the same choices wherever the logits are the same. A logit that is
 * not a number counts as minus infinity.
 */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "../shaders/exact.h"
#include "error.h"
#include "sampler.h"

enum {
  DEFAULT_LAST_N = 64,
  MAX_LAST_N = 1 << 20, /* longer than any context; bounds the memory of the window */
};

typedef struct candidate {
  float logit;
  int32_t id;
} candidate;

struct hn_sampler {
  hn_sampler_params params; /* with the defaults filled in */
  uint32_t n_vocab;
  uint64_t n_samples;     /* the generator's counter */
  int32_t *window;        /* (repeat_last_n), a ring of the accepted tokens; NULL when the penalty is off */
  uint32_t window_next;   /* where the next token goes */
  uint32_t window_filled; /* tokens in the ring */
  candidate *candidates;  /* (n_vocab) */
  float *weights;         /* (n_vocab), of the candidates that are left */
};

void sampler_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
  uint32_t k[2] = {key[0], key[1]};
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
    uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
    uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k[1],
                        (uint32_t)p0};
    memcpy(c, next, sizeof c);
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  memcpy(out, c, sizeof c);
}

/* 53 random bits as a double in [0, 1). */
static double draw(hn_sampler *s) {
  uint64_t seed = s->params.seed;
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  const uint32_t counter[4] = {(uint32_t)s->n_samples, (uint32_t)(s->n_samples >> 32), 0, 0};
  uint32_t bits[4];
  sampler_philox(counter, key, bits);
  s->n_samples++;
  uint64_t mantissa = ((uint64_t)bits[0] << 21) | (bits[1] >> 11);
  return (double)mantissa * 0x1p-53;
}

/* False for a value outside lowest .. highest, and for one that is not a number. */
static bool in_range(float value, float lowest, float highest) {
  return value >= lowest && value <= highest;
}

static hn_status check_params(const hn_sampler_params *p, uint32_t n_vocab, hn_error *err) {
  if (n_vocab == 0 || n_vocab > INT32_MAX)
    return hn_fail(err, HN_ERROR_ARGUMENT, "a sampler needs a vocabulary of 1 .. 2147483647 tokens");
  if (!in_range(p->temperature, 0.0f, FLT_MAX))
    return hn_fail(err, HN_ERROR_ARGUMENT, "the temperature must be a number of at least 0");
  if (!in_range(p->top_p, 0.0f, 1.0f))
    return hn_fail(err, HN_ERROR_ARGUMENT, "top-p must lie between 0 and 1");
  if (!in_range(p->min_p, 0.0f, 1.0f))
    return hn_fail(err, HN_ERROR_ARGUMENT, "min-p must lie between 0 and 1");
  if (!in_range(p->repeat_penalty, 0.0f, FLT_MAX))
    return hn_fail(err, HN_ERROR_ARGUMENT, "the repetition penalty must be a number of at least 0");
  if (p->repeat_last_n > MAX_LAST_N)
    return hn_fail(err, HN_ERROR_ARGUMENT, "the repetition penalty looks back at most %d tokens", (int)MAX_LAST_N);
  return HN_OK;
}

hn_status hn_sampler_create(const hn_sampler_params *params, uint32_t n_vocab, hn_sampler **out, hn_error *err) {
  if (out == NULL)
    return hn_fail(err, HN_ERROR_ARGUMENT, "hn_sampler_create needs a place for its result");
  *out = NULL;
  hn_sampler_params p = {0};
  if (params != NULL)
    p = *params;
  hn_status status = check_params(&p, n_vocab, err);
  if (status != HN_OK)
    return status;
  if (p.repeat_last_n == 0)
    p.repeat_last_n = DEFAULT_LAST_N;
  if (p.repeat_penalty == 0.0f)
    p.repeat_penalty = 1.0f;
  if (p.top_p == 0.0f)
    p.top_p = 1.0f;
  if (p.top_k == 0 || p.top_k > n_vocab)
    p.top_k = n_vocab;

  hn_sampler *s = calloc(1, sizeof *s);
  if (s == NULL)
    goto no_memory;
  s->params = p;
  s->n_vocab = n_vocab;
  s->candidates = calloc(n_vocab, sizeof *s->candidates);
  s->weights = calloc(n_vocab, sizeof *s->weights);
  if (s->candidates == NULL || s->weights == NULL)
    goto no_memory;
  if (p.repeat_penalty != 1.0f) {
    s->window = calloc(p.repeat_last_n, sizeof *s->window);
    if (s->window == NULL)
      goto no_memory;
  }
  *out = s;
  return HN_OK;

no_memory:
  hn_sampler_destroy(&s);
  return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for a sampler of %u tokens", (unsigned)n_vocab);
}

void hn_sampler_destroy(hn_sampler **sampler) {
  if (sampler == NULL || *sampler == NULL)
    return;
  hn_sampler *s = *sampler;
  free(s->window);
  free(s->candidates);
  free(s->weights);
  free(s);
  *sampler = NULL;
}

void hn_sampler_accept(hn_sampler *sampler, int32_t id) {
  hn_sampler *s = sampler;
  if (s->window == NULL || id < 0 || (uint32_t)id >= s->n_vocab)
    return;
  s->window[s->window_next] = id;
  s->window_next = (s->window_next + 1) % s->params.repeat_last_n;
  if (s->window_filled < s->params.repeat_last_n)
    s->window_filled++;
}

/* Within the finite range; not a number becomes the lowest. Differences of two such values are never NaN. */
static float tame(float logit) {
  if (!(logit >= -FLT_MAX))
    return -FLT_MAX;
  return logit > FLT_MAX ? FLT_MAX : logit;
}

static void collect(hn_sampler *s, const float *logits) {
  for (uint32_t i = 0; i < s->n_vocab; i++)
    s->candidates[i] = (candidate){tame(logits[i]), (int32_t)i};
  float penalty = s->params.repeat_penalty;
  for (uint32_t i = 0; i < s->window_filled; i++) {
    /* From the given logit each time: a token that is twice in the window is penalised once. */
    int32_t id = s->window[i];
    float logit = tame(logits[id]);
    s->candidates[id].logit = tame(logit > 0.0f ? logit / penalty : logit * penalty);
  }
}

static bool before(candidate a, candidate b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Restores a heap of n candidates below `at`. Its root is the first of them, or the last with last_at_root. */
static void sift_down(candidate *heap, uint32_t n, uint32_t at, bool last_at_root) {
  candidate moving = heap[at];
  for (;;) {
    size_t child = 2 * (size_t)at + 1;
    if (child >= n)
      break;
    if (child + 1 < n && before(heap[child + 1], heap[child]) != last_at_root)
      child++;
    if (before(heap[child], moving) == last_at_root)
      break;
    heap[at] = heap[child];
    at = (uint32_t)child;
  }
  heap[at] = moving;
}

static void make_heap(candidate *heap, uint32_t n, bool last_at_root) {
  for (uint32_t i = n / 2; i-- > 0;)
    sift_down(heap, n, i, last_at_root);
}

/* Leaves the first k of n candidates at the array's beginning: a heap of the best so far, the worst of them its root.
 */
static uint32_t keep_top_k(candidate *all, uint32_t n, uint32_t k) {
  if (k >= n)
    return n;
  make_heap(all, k, true);
  for (uint32_t i = k; i < n; i++) {
    if (!before(all[i], all[0]))
      continue;
    all[0] = all[i];
    sift_down(all, k, 0, true);
  }
  return k;
}

/*
 * Keeps the first candidates, one at least, whose weights reach `enough`. A heap gives them up one by one into the
 * array's end, so that no more are sorted than are kept. Returns their number.
 */
static uint32_t keep_top_p(candidate *all, uint32_t n, float largest, double enough) {
  make_heap(all, n, false);
  double sum = 0.0;
  uint32_t kept = 0;
  while (kept < n && (kept == 0 || sum < enough)) {
    candidate first = all[0];
    uint32_t last = n - 1 - kept++;
    all[0] = all[last];
    sift_down(all, last, 0, false);
    all[last] = first;
    sum += (double)x_exp(first.logit - largest);
  }
  return kept;
}

/* Top-k, top-p and min-p. *kept receives the candidates that are left. Returns their number, at least 1. */
static uint32_t cut(hn_sampler *s, candidate **kept, float *largest) {
  candidate *all = s->candidates;
  float top_p = s->params.top_p, min_p = s->params.min_p;
  uint32_t n = keep_top_k(all, s->n_vocab, s->params.top_k);
  *kept = all;
  *largest = all[0].logit;
  for (uint32_t i = 1; i < n; i++)
    *largest = all[i].logit > *largest ? all[i].logit : *largest;

  double total = 0.0; /* top-p is a share of what top-k has left */
  if (top_p < 1.0f)
    for (uint32_t i = 0; i < n; i++)
      total += (double)x_exp(all[i].logit - *largest);
  /* Top-p and min-p each keep a beginning of the candidates' order, so that both keep the shorter one, whichever comes
   * first. Min-p needs no sorting, and leaves less to sort. */
  if (min_p > 0.0f) {
    uint32_t n_left = 0;
    for (uint32_t i = 0; i < n; i++)
      if (x_exp(all[i].logit - *largest) >= min_p)
        all[n_left++] = all[i];
    n = n_left;
  }
  if (top_p < 1.0f) {
    uint32_t n_left = keep_top_p(all, n, *largest, (double)top_p * total);
    *kept = all + (n - n_left);
    n = n_left;
  }
  return n;
}

static int32_t greedy(const hn_sampler *s) {
  candidate best = s->candidates[0];
  for (uint32_t i = 1; i < s->n_vocab; i++)
    if (before(s->candidates[i], best))
      best = s->candidates[i];
  return best.id;
}

int32_t hn_sampler_sample(hn_sampler *sampler, const float *logits) {
  hn_sampler *s = sampler;
  collect(s, logits);
  float temperature = s->params.temperature;
  if (temperature == 0.0f)
    return greedy(s);

  candidate *kept;
  float largest;
  uint32_t n = cut(s, &kept, &largest);
  double total = 0.0;
  for (uint32_t i = 0; i < n; i++) {
    s->weights[i] = x_exp((kept[i].logit - largest) / temperature);
    total += (double)s->weights[i];
  }

  double left = draw(s) * total;
  int32_t chosen = kept[0].id;
  for (uint32_t i = 0; i < n; i++) {
    if (s->weights[i] == 0.0f)
      continue;
    chosen = kept[i].id;
    left -= (double)s->weights[i];
    if (left < 0.0)
      break;
  }
  return chosen;
}
