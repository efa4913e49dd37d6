/*
 * SmolLM2's logits against the truth: a float64 forward pass by another implementation (reference/README.md), over 500
 * positions. Judged by what llama.cpp's CPU backend loses against the same truth. Skipped without the model.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../runtime/hornito.h"

#define MAX_KL 0.01          /* mean, in nats: lost in the quantization of the weights */
#define MAX_KL_TO_PEER 1.5   /* times llama.cpp's */
#define MAX_TOP1_BEHIND 0.01 /* of all positions */

enum { TOP = 192, SAMPLES = 64, N_IDS = TOP + SAMPLES, MAX_POSITIONS = 512, EXIT_SKIPPED = 77 };

typedef struct position { /* as save_truth of reference/activation_blocks.py writes it */
  float lse;              /* log of the sum of e^logit over the vocabulary */
  float tail;             /* probability of all but the TOP likeliest tokens */
  float nll;              /* of the next token */
  float logits[N_IDS];    /* the TOP likeliest, then SAMPLES of the tail, drawn in proportion to their probability */
  uint16_t ids[N_IDS];
} position;

typedef struct tally {
  position *truth;
  size_t n;
  uint32_t n_vocab;
  double kl;
  size_t n_same; /* positions whose likeliest token is the truth's */
} tally;

static FILE *open_reference(const char *name, const char *mode) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", REFERENCE_DIR, name);
  FILE *file = fopen(path, mode);
  if (!file)
    fail_msg("%s cannot be opened", path);
  return file;
}

static tally read_truth(void) {
  FILE *file = open_reference("smollm2_truth.bin", "rb");
  char magic[8];
  uint32_t header[6];
  assert_true(fread(magic, sizeof magic, 1, file) == 1 && memcmp(magic, "HNTRUTH1", 8) == 0);
  assert_true(fread(header, sizeof header, 1, file) == 1);
  assert_true(header[0] <= MAX_POSITIONS && header[1] == TOP && header[2] == SAMPLES);
  tally t = {.n = header[0], .n_vocab = header[3], .truth = calloc(header[0], sizeof(position))};
  assert_non_null(t.truth);
  for (size_t i = 0; i < t.n; i++) {
    position *p = &t.truth[i];
    float head[3];
    assert_int_equal(fread(head, sizeof head, 1, file), 1);
    assert_int_equal(fread(p->logits, sizeof p->logits, 1, file), 1);
    assert_int_equal(fread(p->ids, sizeof p->ids, 1, file), 1);
    p->lse = head[0];
    p->tail = head[1];
    p->nll = head[2];
  }
  assert_int_equal(fgetc(file), EOF);
  fclose(file);
  return t;
}

static void read_tokens(int32_t *ids, size_t n) {
  FILE *file = open_reference("smollm2_tokens.txt", "r");
  for (size_t i = 0; i < n; i++)
    assert_int_equal(fscanf(file, "%d,", &ids[i]), 1);
  fclose(file);
}

static double read_peer(const char *name) {
  FILE *file = open_reference("smollm2_peer.txt", "r");
  char key[64];
  double value = 0, found = -1;
  while (fscanf(file, "%63s %lf", key, &value) == 2)
    if (strcmp(key, name) == 0)
      found = value;
  fclose(file);
  assert_true(found > 0);
  return found;
}

static double log_sum_exp(const float *x, uint32_t n) {
  double largest = (double)x[0], sum = 0;
  for (uint32_t i = 1; i < n; i++)
    largest = (double)x[i] > largest ? (double)x[i] : largest;
  for (uint32_t i = 0; i < n; i++)
    sum += exp((double)x[i] - largest);
  return largest + log(sum);
}

/*
 * KL(truth || logits): exact over the TOP and over the tail as one event; how the tail's probability is spread within
 * itself is estimated from the samples, by a sum whose every term is positive.
 */
static double divergence(const position *truth, const float *logits, uint32_t n_vocab) {
  double lse = log_sum_exp(logits, n_vocab), kl = 0, q_top = 0, rest = 0;
  for (int i = 0; i < TOP; i++) {
    double p = (double)truth->logits[i] - (double)truth->lse, q = (double)logits[truth->ids[i]] - lse;
    kl += exp(p) * (p - q);
    q_top += exp(q);
  }
  double tail = (double)truth->tail, shift = log(tail / (1 - q_top));
  for (int i = TOP; i < N_IDS; i++) {
    double p = (double)truth->logits[i] - (double)truth->lse, q = (double)logits[truth->ids[i]] - lse, delta = p - q - shift;
    rest += exp(-delta) - 1 + delta;
  }
  return kl + tail * shift + tail * rest / (double)SAMPLES;
}

static bool add_position(void *user, size_t index, const float *logits) {
  tally *t = user;
  const position *truth = &t->truth[index];
  uint32_t best = 0;
  for (uint32_t i = 1; i < t->n_vocab; i++)
    best = logits[i] > logits[best] ? i : best;
  t->n_same += best == truth->ids[0];
  t->kl += divergence(truth, logits, t->n_vocab);
  return true;
}

static void logits_are_near_the_truth(void **state) {
  (void)state;
  hn_context *ctx = NULL;
  hn_model *model = NULL;
  hn_session *session = NULL;
  hn_error err = {0};
  tally t = read_truth();
  int32_t ids[MAX_POSITIONS];
  read_tokens(ids, t.n);
  assert_int_equal(hn_context_create(NULL, &ctx, &err), HN_OK);
  if (hn_model_load(ctx, TEST_MODEL, &(hn_model_params){.device = "cpu"}, &model, &err))
    fail_msg("%s", err.message);
  assert_int_equal(hn_session_create(model, &(hn_session_params){.n_ctx = MAX_POSITIONS}, &session, &err), HN_OK);
  hn_model_info info;
  hn_model_get_info(model, &info);
  assert_int_equal(info.n_vocab, t.n_vocab);
  assert_int_equal(hn_session_eval_all(session, ids, t.n, add_position, &t, &err), HN_OK);
  hn_session_destroy(&session);
  hn_model_destroy(&model);
  hn_context_destroy(&ctx);

  double kl = t.kl / (double)t.n, same = (double)t.n_same / (double)t.n;
  double peer_kl = read_peer("mean_kl"), peer_same = read_peer("top1");
  print_message("mean KL %.5f (llama.cpp %.5f), likeliest token %.4f (llama.cpp %.4f)\n", kl, peer_kl, same, peer_same);
  assert_true(kl < MAX_KL);
  assert_true(kl <= MAX_KL_TO_PEER * peer_kl);
  assert_true(same >= peer_same - MAX_TOP1_BEHIND);
  free(t.truth);
}

int main(void) {
  FILE *model = fopen(TEST_MODEL, "rb");
  if (!model) {
    puts("skipped: no model " TEST_MODEL);
    return EXIT_SKIPPED;
  }
  fclose(model);
  const struct CMUnitTest tests[] = {cmocka_unit_test(logits_are_near_the_truth)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
