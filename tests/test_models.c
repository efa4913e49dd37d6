/*
 * test_models [SEED [STEP]]: random models of every type of weights and odd sizes give the same bits on the CPU and on Vulkan device 0,
 * whatever the batches. drivers/on chooses the driver. STEP 4: every fourth of them, from
 * SEED % 4 on. Exit 77 where there is no device.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/hornito.h"
#include "random_model.h"

/* Positions cross two borders of the cache's blocks of 64. */
enum { N_TOKENS = 150, EXIT_SKIPPED = 77 };

/* 5 heads that share one; rows and vocabularies that fill no tile of 16; widths that are no multiple of 128 or 256. */
static const random_model models[] = {
    {.type = QUANT_Q4_0, .n_embd = 320, .n_ff = 416, .n_layers = 2, .n_heads = 5, .n_kv_heads = 1, .head_dim = 64, .n_vocab = 333},
    {.type = QUANT_Q4_1, .n_embd = 96, .n_ff = 224, .n_layers = 2, .n_heads = 4, .n_kv_heads = 2, .head_dim = 72, .n_vocab = 257,
     .tied = true, .bias = true},
    {.type = QUANT_Q5_0, .n_embd = 352, .n_ff = 32, .n_layers = 1, .n_heads = 2, .n_kv_heads = 2, .head_dim = 256, .n_vocab = 300,
     .rope_scaling = "linear"},
    {.type = QUANT_Q5_1, .n_embd = 32, .n_ff = 96, .n_layers = 3, .n_heads = 3, .n_kv_heads = 3, .head_dim = 160, .n_vocab = 271,
     .rope_scaling = "yarn", .bias = true},
    {.type = QUANT_Q8_0, .n_embd = 160, .n_ff = 544, .n_layers = 2, .n_heads = 6, .n_kv_heads = 2, .head_dim = 80, .n_vocab = 999,
     .tied = true},
    {.type = QUANT_Q4_K, .v = QUANT_Q6_K, .down = QUANT_Q6_K, .output = QUANT_Q6_K, .n_embd = 512, .n_ff = 768, .n_layers = 2,
     .n_heads = 8, .n_kv_heads = 2, .head_dim = 64, .n_vocab = 301, .rope_scaling = "llama3"},
    {.type = QUANT_Q5_K, .n_embd = 256, .n_ff = 512, .n_layers = 1, .n_heads = 2, .n_kv_heads = 1, .head_dim = 128, .n_vocab = 259,
     .tied = true, .bias = true},
    {.type = QUANT_Q6_K, .n_embd = 768, .n_ff = 256, .n_layers = 1, .n_heads = 8, .n_kv_heads = 8, .head_dim = 96, .n_vocab = 277},
    {.type = QUANT_Q2_K, .v = QUANT_Q3_K, .down = QUANT_Q3_K, .n_embd = 256, .n_ff = 512, .n_layers = 1, .n_heads = 4, .n_kv_heads = 1,
     .head_dim = 64, .n_vocab = 270, .bias = true},
    {.type = QUANT_IQ4_XS, .down = QUANT_IQ4_NL, .output = QUANT_IQ4_NL, .n_embd = 256, .n_ff = 288, .n_layers = 1, .n_heads = 4,
     .n_kv_heads = 2, .head_dim = 64, .n_vocab = 283},
    {.type = QUANT_F16, .n_embd = 64, .n_ff = 160, .n_layers = 2, .n_heads = 4, .n_kv_heads = 4, .head_dim = 40, .n_vocab = 256},
    {.type = QUANT_BF16, .n_embd = 192, .n_ff = 64, .n_layers = 1, .n_heads = 8, .n_kv_heads = 1, .head_dim = 8, .n_vocab = 290,
     .tied = true},
    {.type = QUANT_F32, .n_embd = 128, .n_ff = 128, .n_layers = 1, .n_heads = 4, .n_kv_heads = 2, .head_dim = 112, .n_vocab = 400},
    /* matrices of several types in a layer, as files mix them */
    {.type = QUANT_Q4_1, .v = QUANT_Q8_0, .down = QUANT_Q5_0, .output = QUANT_Q4_0, .n_embd = 288, .n_ff = 320, .n_layers = 2,
     .n_heads = 9, .n_kv_heads = 3, .head_dim = 32, .n_vocab = 321},
};

typedef struct rows {
  float *out;
  uint32_t n_vocab;
} rows;

static bool keep_row(void *user, size_t index, const float *logits) {
  rows *r = user;
  memcpy(r->out + index * r->n_vocab, logits, r->n_vocab * sizeof *logits);
  return true;
}

static hn_status evaluate(hn_session *s, const int32_t *ids, rows *r, hn_error *err) {
  hn_status status = hn_session_eval_all(s, ids, N_TOKENS, keep_row, r, err);
  if (status)
    return status;
  /* The last half once more as a caller does who wants the last logits alone: the cache must be as it was. */
  status = hn_session_rewind(s, N_TOKENS / 2, err);
  if (!status)
    status = hn_session_eval(s, ids + N_TOKENS / 2, N_TOKENS - N_TOKENS / 2, err);
  if (!status)
    memcpy(r->out + N_TOKENS * r->n_vocab, hn_session_logits(s), r->n_vocab * sizeof(float));
  if (!status)
    r->out[(N_TOKENS + 1) * r->n_vocab] = (float)hn_session_argmax(s);
  return status;
}

/* Rows of all tokens, the last row again, its argmax: malloc'ed. NULL where something fails, which is printed. */
static float *logits_of(hn_model *model, uint32_t n_batch, const int32_t *ids, uint32_t n_vocab) {
  hn_error err = {0};
  hn_session *session = NULL;
  rows r = {calloc((N_TOKENS + 1) * n_vocab + 1, sizeof(float)), n_vocab};
  hn_status status =
      hn_session_create(model, &(hn_session_params){.n_ctx = N_TOKENS, .n_batch = n_batch, .n_threads = 2}, &session, &err);
  if (!status)
    status = evaluate(session, ids, &r, &err);
  hn_session_destroy(&session);
  if (!status && r.out)
    return r.out;
  puts(err.message);
  free(r.out);
  return NULL;
}

static bool is_finite_and_varied(const float *x, size_t n) {
  bool varied = false;
  for (size_t i = 0; i < n; i++) {
    if (!(x[i] > -1e6f && x[i] < 1e6f))
      return false;
    varied = varied || x[i] != x[0];
  }
  return varied;
}

typedef struct comparison {
  hn_kv_type kv;
  uint32_t n_vocab;
  int32_t ids[N_TOKENS];
  float *want; /* NULL until the first logits are there */
} comparison;

static bool equals(comparison *c, const float *got, const char *device, uint32_t n_batch) {
  size_t n = (size_t)(N_TOKENS + 1) * c->n_vocab + 1;
  for (size_t i = 0; i < n; i++)
    if (memcmp(got + i, c->want + i, sizeof *got) != 0) {
      printf("device %s, batches of %u: token %zu, logit %zu is %a, not %a\n", device, (unsigned)n_batch, i / c->n_vocab,
             i % c->n_vocab, (double)got[i], (double)c->want[i]);
      return false;
    }
  return true;
}

/* Evaluates on a device in batches of several sizes; the first result is what the others are compared with. */
static bool compare_on(hn_context *ctx, const char *path, const char *device, comparison *c) {
  static const uint32_t batches[] = {0, 1, 7};
  hn_error err = {0};
  hn_model *model = NULL;
  if (hn_model_load(ctx, path, &(hn_model_params){.device = device, .plan = {.n_ctx = N_TOKENS, .kv_type = c->kv}}, &model, &err)) {
    printf("%s: %s\n", device, err.message);
    return false;
  }
  bool same = true;
  for (size_t b = 0; b < sizeof batches / sizeof *batches && same; b++) {
    float *got = logits_of(model, batches[b], c->ids, c->n_vocab);
    if (got && !c->want) {
      same = is_finite_and_varied(got, (size_t)(N_TOKENS + 1) * c->n_vocab);
      c->want = got;
      if (!same)
        puts("the logits are not finite, or all the same");
      continue;
    }
    same = got && equals(c, got, device, batches[b]);
    free(got);
  }
  hn_model_destroy(&model);
  return same;
}

static bool stop_midway(void *user, uint64_t done, uint64_t total) {
  (void)user;
  return done < total / 4;
}

/* Loading ends where the callback says so. */
static bool can_be_cancelled(hn_context *ctx, const char *path) {
  hn_model *model = NULL;
  hn_status status = hn_model_load(ctx, path, &(hn_model_params){.device = "0", .progress = stop_midway}, &model, NULL);
  if (status == HN_ERROR_CANCELLED && !model)
    return true;
  printf("a cancelled load: status %d\n", (int)status);
  hn_model_destroy(&model);
  return false;
}

static bool same_bits(hn_context *ctx, const random_model *m, uint64_t seed) {
  char path[64];
  comparison c = {.n_vocab = m->n_vocab, .kv = seed % 2 ? HN_KV_Q8_0 : HN_KV_Q4_0};
  uint64_t state = seed * 2 + 1;
  for (int i = 0; i < N_TOKENS; i++)
    c.ids[i] = (int32_t)(random_bits(&state) % m->n_vocab);
  random_model_save(m, seed, path);
  bool same = compare_on(ctx, path, "cpu", &c) && (m != models || can_be_cancelled(ctx, path)) && compare_on(ctx, path, "0", &c);
  free(c.want);
  unlink(path);
  return same;
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  size_t step = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  int n_failed = 0;
  hn_error err = {0};
  hn_context *ctx = NULL;
  hn_device_info info;
  if (hn_context_create(NULL, &ctx, &err)) {
    puts(err.message);
    return 1;
  }
  if (hn_context_device(ctx, 0, &info, NULL)) {
    puts("skipped: no Vulkan device");
    hn_context_destroy(&ctx);
    return EXIT_SKIPPED;
  }
  printf("%s, seed %" PRIu64 "\n", info.name, seed);
  for (size_t i = step > 1 ? seed % step : 0; i < sizeof models / sizeof *models; i += step) {
    bool same = same_bits(ctx, &models[i], seed + i);
    printf("%s: model %zu, %s\n", same ? "ok" : "FAILED", i, quant_info(models[i].type).name);
    n_failed += !same;
  }
  hn_context_destroy(&ctx);
  return n_failed ? 1 : 0;
}
