/*
 * test_long_context: 128K tokens of context on Vulkan device 0 with a small model: the plan's bytes, a prompt of 8,192 tokens that crosses
 * from the device's part of the KV cache into the host's, rewinding, a prompt that begins alike. All bits are those of a session whose cache
 * lies wholly on the device. drivers/on chooses the driver. Exit 77 where there is no device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/hornito.h"
#include "../shaders/shared.h"
#include "expect.h"
#include "random_model.h"

enum { N_CTX = 131072, N_PROMPT = 8192, N_OTHER = 100, N_VOCAB = 300, N_LAYERS = 2, HEAD_DIM = 32 };

static const random_model shape = {.type = QUANT_Q4_0, .n_embd = 64, .n_ff = 64, .n_layers = N_LAYERS, .n_heads = 1, .n_kv_heads = 1,
                                   .head_dim = HEAD_DIM, .n_vocab = N_VOCAB, .n_ctx = N_CTX, .tied = true};

typedef struct run {
  hn_model *model;
  hn_session *session;
  uint64_t device_bytes;
  uint32_t n_device; /* positions */
  float prompt[N_VOCAB], other[N_VOCAB]; /* logits */
} run;

static uint64_t cache_bytes(const hn_plan *p, bool on_host) {
  uint64_t sum = 0;
  for (size_t i = 0; i < p->n_items; i++)
    sum += p->items[i].on_host == on_host && p->items[i].kind == HN_PLAN_KV_CACHE ? p->items[i].bytes : 0;
  return sum;
}

static void keep(run *r, float out[N_VOCAB]) {
  const float *logits = hn_session_logits(r->session);
  CHECK(logits);
  if (logits)
    memcpy(out, logits, N_VOCAB * sizeof *out);
}

/* A prompt of n tokens, then another, which begins alike. */
static void evaluate(run *r, uint32_t n) {
  static int32_t ids[N_PROMPT];
  uint32_t common = n / 8 * 5, n_other = common + N_OTHER;
  size_t kept = 0;
  for (uint32_t i = 0; i < n; i++)
    ids[i] = (int32_t)((i * 7919 + i / 17) % N_VOCAB);
  CHECK(!hn_session_eval(r->session, ids, n, NULL));
  keep(r, r->prompt);
  for (uint32_t i = common; i < n_other; i++)
    ids[i] = (ids[i] + 1) % N_VOCAB;
  CHECK(!hn_session_reuse(r->session, ids, n_other, &kept, NULL) && kept == common);
  CHECK(!hn_session_eval(r->session, ids + kept, n_other - kept, NULL) && hn_session_n_past(r->session) == n_other);
  keep(r, r->other);
}

static void start(hn_context *ctx, const char *path, hn_kv_type kv, uint64_t budget, run *out) {
  hn_error err = {0};
  hn_model_params params = {.device = "0", .plan = {.vram_budget = budget, .n_ctx = HN_CTX_MAX, .kv_type = kv}};
  *out = (run){0};
  CHECK(!hn_model_load(ctx, path, &params, &out->model, &err));
  CHECK(out->model && !hn_session_create(out->model, NULL, &out->session, &err));
  if (!out->session) {
    printf("%s\n", err.message);
    return;
  }
  const hn_plan *p = hn_model_get_plan(out->model);
  uint64_t block = 4 * (uint64_t)(KV_HEAD_WORDS(kv == HN_KV_Q4_0, HEAD_DIM));
  CHECK(p->fits && p->n_ctx == N_CTX && hn_session_n_ctx(out->session) == N_CTX && p->device_bytes <= p->budget_bytes);
  uint32_t n_device = N_CTX - p->n_host_positions;
  CHECK(p->n_host_layers == 0);
  CHECK(cache_bytes(p, false) == N_LAYERS * (n_device / KV_BLOCK) * block);
  CHECK(cache_bytes(p, true) == N_LAYERS * ((N_CTX - n_device) / KV_BLOCK) * block);
  out->device_bytes = p->device_bytes;
  out->n_device = n_device;
}

static void stop(run *r) {
  hn_session_destroy(&r->session);
  hn_model_destroy(&r->model);
}

static void check_type(hn_context *ctx, const char *path, hn_kv_type kv, uint32_t n) {
  uint64_t block = 4 * N_LAYERS * (uint64_t)(KV_HEAD_WORDS(kv == HN_KV_Q4_0, HEAD_DIM));
  run whole, split;
  start(ctx, path, kv, 0, &whole);
  if (whole.session)
    evaluate(&whole, n);
  uint64_t budget = whole.device_bytes - (N_CTX - n / 2) / KV_BLOCK * block; /* about half of the prompt's positions */
  stop(&whole);
  start(ctx, path, kv, budget, &split);
  if (split.session)
    evaluate(&split, n);
  stop(&split);
  CHECK(whole.n_device == N_CTX && split.n_device > n / 4 && split.n_device < n / 4 * 3);
  CHECK(memcmp(whole.prompt, split.prompt, sizeof whole.prompt) == 0 && memcmp(whole.other, split.other, sizeof whole.other) == 0);
  CHECK(memcmp(whole.prompt, whole.other, sizeof whole.prompt) != 0);
}

int main(void) {
  hn_context *ctx;
  char path[64];
  if (hn_context_create(NULL, &ctx, NULL))
    return 1;
  if (hn_context_n_devices(ctx) == 0)
    return 77;
  random_model_save(&shape, 3, path);
  check_type(ctx, path, HN_KV_Q8_0, N_PROMPT);
  check_type(ctx, path, HN_KV_Q4_0, N_PROMPT / 4);
  hn_context_destroy(&ctx);
  unlink(path);
  printf("%d failed\n", n_failed);
  return n_failed != 0;
}
