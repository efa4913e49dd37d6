/*
 * test_decode: hn_session_decode chooses the tokens that single evaluations choose, and leaves the session as these do: to its end, ended early
 * while steps are under way, cancelled. On Vulkan device 0, which drivers/on chooses, and on the CPU. Exit 77 where there is no device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/hornito.h"
#include "random_model.h"

enum { EXIT_SKIPPED = 77, N_VOCAB = 300, N_PROMPT = 50, N_STEPS = 150 /* the cache grows by several blocks */, N_CTX = N_PROMPT + N_STEPS };

static int n_failed;

static void check(bool ok, const char *device, const char *what) {
  if (!ok)
    printf("FAILED: %s: %s\n", device, what);
  n_failed += !ok;
}

/* What single evaluations give: the token that is chosen first, and those behind it; the logits behind each. */
static int32_t want[N_STEPS + 1];
static float logits[N_STEPS][N_VOCAB];

static hn_session *begin(hn_model *model, hn_error *err) {
  hn_session *session = NULL;
  int32_t ids[N_PROMPT];
  for (int32_t i = 0; i < N_PROMPT; i++)
    ids[i] = (i * 7919 + 13) % N_VOCAB;
  if (hn_session_create(model, &(hn_session_params){.n_ctx = N_CTX}, &session, err) || hn_session_eval(session, ids, N_PROMPT, err))
    hn_session_destroy(&session);
  return session;
}

static bool one_by_one(hn_model *model, hn_error *err) {
  hn_session *session = begin(model, err);
  bool ok = session;
  want[0] = ok ? hn_session_argmax(session) : 0;
  for (int i = 0; i < N_STEPS && ok; i++) {
    ok = !hn_session_eval(session, &want[i], 1, err);
    if (!ok)
      break;
    want[i + 1] = hn_session_argmax(session);
    memcpy(logits[i], hn_session_logits(session), sizeof logits[i]);
  }
  hn_session_destroy(&session);
  return ok;
}

typedef struct listener {
  int n, n_at_most; /* tokens it got; behind so many it ends, or cancels */
  bool cancels, right;
  hn_session *session;
} listener;

static bool hear(void *user, int32_t id) {
  listener *l = user;
  l->right &= l->n < N_STEPS && id == want[l->n + 1];
  if (++l->n < l->n_at_most)
    return true;
  if (l->cancels)
    hn_session_cancel(l->session);
  return l->cancels;
}

/* The session goes on as if its n tokens had been evaluated one by one. */
static void goes_on(const char *device, hn_session *session, int n) {
  hn_error err = {0};
  check(hn_session_n_past(session) == (uint32_t)(N_PROMPT + n), device, "the timeline is not as long as it should be");
  check(memcmp(hn_session_tokens(session) + N_PROMPT, want, (size_t)n * sizeof *want) == 0, device, "other tokens in the timeline");
  if (n == N_STEPS)
    return;
  check(!hn_session_eval(session, &want[n], 1, &err), device, err.message);
  const float *got = hn_session_logits(session);
  check(got && memcmp(got, logits[n], sizeof logits[n]) == 0, device, "other bits afterwards");
}

/* Decodes n tokens behind the first `before`, to be ended behind n_at_most of them. */
static void decode_some(const char *device, hn_session *session, int before, int n, int n_at_most, bool cancels) {
  hn_error err = {0};
  listener l = {.n = before, .n_at_most = before + n_at_most, .cancels = cancels, .right = true, .session = session};
  hn_status status = hn_session_decode(session, want[before], (size_t)n, hear, &l, &err);
  int got = l.n - before;
  check(status == (cancels ? HN_ERROR_CANCELLED : HN_OK), device, "the status");
  check(l.right, device, "other tokens");
  check(cancels ? got >= n_at_most && got < n_at_most + 4 : got == (n < n_at_most ? n : n_at_most), device, "more or fewer tokens");
  check(hn_session_argmax(session) == want[l.n], device, "the last token is another");
  check((hn_session_logits(session) != NULL) == (got == 1 && !cancels), device, "logits where there are none, or none");
}

/* In one call, or in two. */
static void decode(const char *device, hn_model *model, int n, int n_at_most, bool cancels, bool twice) {
  hn_error err = {0};
  hn_session *session = begin(model, &err);
  check(session, device, err.message);
  if (!session)
    return;
  decode_some(device, session, 0, n, n_at_most, cancels);
  int done = (int)hn_session_n_past(session) - N_PROMPT;
  if (twice && done < N_STEPS)
    decode_some(device, session, done, N_STEPS - done, N_STEPS, false);
  goes_on(device, session, twice ? N_STEPS : done);
  hn_session_destroy(&session);
}

/* What is cancelled before it begins changes nothing. */
static void cancel_first(const char *device, hn_model *model) {
  hn_error err = {0};
  hn_session *session = begin(model, &err);
  listener l = {.n_at_most = N_STEPS, .right = true};
  check(session, device, err.message);
  if (!session)
    return;
  hn_session_cancel(session);
  check(hn_session_decode(session, want[0], 5, hear, &l, NULL) == HN_ERROR_CANCELLED && l.n == 0, device, "cancelling before it begins");
  goes_on(device, session, 0);
  hn_session_destroy(&session);
}

static void misuse(const char *device, hn_model *model) {
  hn_error err = {0};
  hn_session *session = begin(model, &err);
  listener l = {.n_at_most = N_STEPS, .right = true};
  check(session && hn_session_decode(session, want[0], 0, hear, &l, NULL) == HN_ERROR_ARGUMENT, device, "no tokens are taken");
  check(session && hn_session_decode(session, want[0], 1, NULL, NULL, NULL) == HN_ERROR_ARGUMENT, device, "no callback is taken");
  check(session && hn_session_decode(session, N_VOCAB, 1, hear, &l, NULL) == HN_ERROR_ARGUMENT, device, "a wrong token is taken");
  check(session && hn_session_decode(session, want[0], N_STEPS + 1, hear, &l, NULL) == HN_ERROR_CONTEXT_FULL, device,
        "more than the context holds is taken");
  check(l.n == 0, device, "tokens of what was refused");
  if (session)
    goes_on(device, session, 0);
  hn_session_destroy(&session);
}

static void test(hn_context *ctx, const char *path, const char *device, hn_kv_type kv_type) {
  hn_model *model = NULL;
  hn_error err = {0};
  hn_model_params params = {.device = device, .plan = {.n_ctx = N_CTX, .kv_type = kv_type}};
  bool ok = !hn_model_load(ctx, path, &params, &model, &err) && one_by_one(model, &err);
  check(ok, device, err.message);
  if (ok) {
    static const int ends[] = {1, 2, 3, 5, 17, 79, N_STEPS - 2};
    decode(device, model, N_STEPS, N_STEPS, false, false); /* to the end of the context */
    decode(device, model, 1, 1, false, true);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
      decode(device, model, N_STEPS, ends[i], false, i % 2);
      decode(device, model, N_STEPS, ends[i], true, i % 2);
    }
    cancel_first(device, model);
    misuse(device, model);
  }
  hn_model_destroy(&model);
}

int main(void) {
  static const random_model model = {.type = QUANT_Q4_0, .n_embd = 96, .n_ff = 128, .n_layers = 2, .n_heads = 6, .n_kv_heads = 2, .head_dim = 32,
                                     .n_vocab = N_VOCAB, .bias = true};
  char path[64];
  hn_context *ctx = NULL;
  if (hn_context_create(NULL, &ctx, NULL) || hn_context_n_devices(ctx) == 0) {
    fputs("skipped: no Vulkan device\n", stderr);
    return EXIT_SKIPPED;
  }
  random_model_save(&model, 11, path);
  test(ctx, path, "cpu", HN_KV_Q8_0);
  test(ctx, path, "0", HN_KV_Q8_0);
  test(ctx, path, "0", HN_KV_Q4_0);
  unlink(path);
  hn_context_destroy(&ctx);
  return n_failed ? 1 : 0;
}
