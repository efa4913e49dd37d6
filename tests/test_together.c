/*
 * test_together: tokens of several sessions evaluated together (hn_sessions_eval) give the same bits as alone, with contexts of different
 * lengths, on Vulkan device 0 and on the CPU; what is refused, or cancelled, changes nothing. drivers/on chooses the driver. Exit 77 where there is no device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/hornito.h"
#include "random_model.h"

enum { EXIT_SKIPPED = 77, N_SESSIONS = 5, N_STEPS = 3, N_VOCAB = 300, N_CTX = 256 };

static const uint32_t prompts[N_SESSIONS] = {3, 62, 1, 130, 64}; /* tokens before; some steps begin a block of the cache */
static int n_failed;

static void check(bool ok, const char *device, const char *what) {
  if (!ok)
    printf("FAILED: %s: %s\n", device, what);
  n_failed += !ok;
}

static int32_t token_of(uint32_t session, uint32_t at) {
  return (int32_t)((session * 7919 + at * 104729 + 13) % N_VOCAB);
}

static bool begin(hn_model *model, uint32_t i, hn_session **session, hn_error *err) {
  int32_t ids[N_CTX];
  for (uint32_t at = 0; at < prompts[i]; at++)
    ids[at] = token_of(i, at);
  return !hn_session_create(model, &(hn_session_params){.n_ctx = N_CTX}, session, err) && !hn_session_eval(*session, ids, prompts[i], err);
}

typedef struct outcome { /* of a step */
  float logits[N_SESSIONS][N_VOCAB];
  int32_t argmax[N_SESSIONS];
} outcome;

static void note(hn_session *session, uint32_t i, outcome *out) {
  memcpy(out->logits[i], hn_session_logits(session), sizeof out->logits[i]);
  out->argmax[i] = hn_session_argmax(session);
}

static bool alone(hn_model *model, outcome out[N_STEPS], hn_error *err) {
  bool ok = true;
  for (uint32_t i = 0; i < N_SESSIONS && ok; i++) {
    hn_session *session = NULL;
    ok = begin(model, i, &session, err);
    for (uint32_t step = 0; step < N_STEPS && ok; step++) {
      int32_t id = token_of(i, prompts[i] + step);
      ok = !hn_session_eval(session, &id, 1, err);
      if (ok)
        note(session, i, &out[step]);
    }
    hn_session_destroy(&session);
  }
  return ok;
}

static void step_ids(uint32_t step, int32_t ids[N_SESSIONS]) {
  for (uint32_t i = 0; i < N_SESSIONS; i++)
    ids[i] = token_of(i, prompts[i] + step);
}

/* Nothing changes by these. */
static void misuse(const char *device, hn_session *const *all) {
  int32_t ids[N_SESSIONS];
  hn_session *twice[] = {all[0], all[1], all[0]};
  step_ids(0, ids);
  check(hn_sessions_eval(all, ids, 0, NULL) == HN_ERROR_ARGUMENT, device, "no sessions are taken");
  check(hn_sessions_eval(twice, ids, 3, NULL) == HN_ERROR_ARGUMENT, device, "a session is taken twice");
  ids[N_SESSIONS - 1] = N_VOCAB;
  check(hn_sessions_eval(all, ids, N_SESSIONS, NULL) == HN_ERROR_ARGUMENT, device, "a wrong token is taken");
  step_ids(0, ids);
  hn_session_cancel(all[N_SESSIONS - 1]);
  check(hn_sessions_eval(all, ids, N_SESSIONS, NULL) == HN_ERROR_CANCELLED, device, "cancelling the last is not noticed");
  hn_session_cancel(all[0]);
  check(hn_sessions_eval(all, ids, N_SESSIONS, NULL) == HN_ERROR_CANCELLED, device, "cancelling the first is not noticed");
  for (uint32_t i = 0; i < N_SESSIONS; i++)
    check(hn_session_n_past(all[i]) == prompts[i], device, "a timeline has changed");
}

static bool together(const char *device, hn_model *model, const outcome want[N_STEPS], hn_error *err) {
  hn_session *all[N_SESSIONS] = {NULL};
  bool ok = true;
  for (uint32_t i = 0; i < N_SESSIONS && ok; i++)
    ok = begin(model, i, &all[i], err);
  if (ok)
    misuse(device, all);
  for (uint32_t step = 0; step < N_STEPS && ok; step++) {
    static outcome got;
    int32_t ids[N_SESSIONS];
    step_ids(step, ids);
    for (uint32_t i = 0, n = step % 2 ? 1 : N_SESSIONS; i < N_SESSIONS && ok; i += n) /* every second step one by one */
      ok = !hn_sessions_eval(&all[i], &ids[i], n, err);
    for (uint32_t i = 0; i < N_SESSIONS && ok; i++)
      note(all[i], i, &got);
    check(!ok || memcmp(&got, &want[step], sizeof got) == 0, device, "other bits than alone");
  }
  for (uint32_t i = 0; i < N_SESSIONS; i++)
    hn_session_destroy(&all[i]);
  return ok;
}

static void test(hn_context *ctx, const char *path, const char *device, hn_kv_type kv_type) {
  static outcome want[N_STEPS];
  hn_model *model = NULL;
  hn_error err = {0};
  hn_model_params params = {.device = device, .plan = {.n_ctx = N_CTX, .n_sessions = N_SESSIONS, .kv_type = kv_type}};
  bool ok = !hn_model_load(ctx, path, &params, &model, &err) && alone(model, want, &err) && together(device, model, want, &err);
  check(ok, device, err.message);
  hn_model_destroy(&model);
}

int main(void) {
  static const random_model models[] = {
      {.type = QUANT_Q4_0, .n_embd = 96, .n_ff = 128, .n_layers = 2, .n_heads = 6, .n_kv_heads = 2, .head_dim = 32, .n_vocab = N_VOCAB, .bias = true},
      /* q, k and v of two types; heads that attention does not round */
      {.type = QUANT_Q8_0, .v = QUANT_Q5_0, .n_embd = 64, .n_ff = 96, .n_layers = 2, .n_heads = 4, .n_kv_heads = 4, .head_dim = 24, .n_vocab = N_VOCAB,
       .tied = true}};
  hn_context *ctx = NULL;
  if (hn_context_create(NULL, &ctx, NULL) || hn_context_n_devices(ctx) == 0) {
    fputs("skipped: no Vulkan device\n", stderr);
    return EXIT_SKIPPED;
  }
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    char path[64];
    random_model_save(&models[i], 11 + i, path);
    test(ctx, path, "cpu", HN_KV_Q8_0);
    test(ctx, path, "0", HN_KV_Q8_0);
    test(ctx, path, "0", HN_KV_Q4_0);
    unlink(path);
  }
  hn_context_destroy(&ctx);
  return n_failed ? 1 : 0;
}
