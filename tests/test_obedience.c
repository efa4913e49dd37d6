/*
 * test_obedience.c: loading and sessions allocate what was planned, never more than the budget, and nothing afterwards; where the plan puts
 * things changes no bit. On Vulkan device 0, which drivers/on chooses. Exit 77 where there is none.
 * test_obedience MODEL MIB: the same of a model's file, with all of its context, under a budget; evaluates three tokens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/model_object.h"
#include "failing_alloc.h"
#include "random_model.h"
#include "vulkan_calls.h"

#define MIB 1048576.0

enum { EXIT_SKIPPED = 77, N_VOCAB = 300, N_PROMPT = 2048, N_AFTER = 8, N_CTX = 2100, N_DECODED = 2000, N_HOST_LAYERS = 2 };

/* A layer takes more than half of a KV cache of N_CTX positions. */
static const random_model small = {.type = QUANT_Q8_0, .n_embd = 64, .n_ff = 1280, .n_layers = 3, .n_heads = 1, .n_kv_heads = 1,
                                   .head_dim = 32, .n_vocab = N_VOCAB, .n_ctx = N_CTX};
static const random_model tiny = {.type = QUANT_Q4_0, .n_embd = 32, .n_ff = 32, .n_layers = 1, .n_heads = 1, .n_kv_heads = 1,
                                  .head_dim = 32, .n_vocab = N_VOCAB, .n_ctx = N_CTX, .tied = true};

static hn_context *ctx;
static hn_memory memory;
static char small_path[64], tiny_path[64];
static int32_t ids[N_CTX];

static hn_model *load(const char *path, hn_plan_params wish) {
  hn_model *model = NULL;
  hn_error err = {0};
  if (hn_model_load(ctx, path, &(hn_model_params){.device = "0", .plan = wish}, &model, &err))
    fail_msg("%s", err.message);
  return model;
}

static hn_session *open_session(hn_model *model) {
  hn_session *session = NULL;
  hn_error err = {0};
  if (hn_session_create(model, NULL, &session, &err))
    fail_msg("%s", err.message);
  return session;
}

static void eval(hn_session *session, const int32_t *tokens, size_t n) {
  hn_error err = {0};
  if (hn_session_eval(session, tokens, n, &err))
    fail_msg("%s", err.message);
}

/* ---- budgets ---- */

typedef struct sizes { /* of all items on the device, where everything is there */
  uint64_t all, last_layers, kv_cache;
} sizes;

static sizes measure(const hn_plan *p, uint32_t n_layers) {
  sizes s = {0};
  for (size_t i = 0; i < p->n_items; i++) {
    const hn_plan_item *item = &p->items[i];
    bool is_cache = item->kind == HN_PLAN_KV_CACHE;
    if (item->on_host)
      continue;
    s.all += item->bytes;
    s.kv_cache += is_cache ? item->bytes : 0;
    s.last_layers += !is_cache && item->layer >= (int32_t)(n_layers - N_HOST_LAYERS) ? item->bytes : 0;
  }
  return s;
}

typedef enum budget { AMPLE, TIGHT, TOO_SMALL, N_BUDGETS } budget;

/* A budget for the small model: all fits, to the byte; about half of the KV cache and two layers do not; not even the activations do. */
static uint64_t budget_of(budget kind, hn_plan_params wish) {
  hn_model *header = NULL;
  hn_plan *p = NULL;
  assert_int_equal(hn_model_load(ctx, small_path, &(hn_model_params){.header_only = true}, &header, NULL), HN_OK);
  assert_int_equal(hn_model_plan(header, &memory, &wish, &p, NULL), HN_OK);
  sizes s = measure(p, small.n_layers);
  uint64_t bytes = kind == AMPLE ? p->device_bytes : kind == TIGHT ? s.all - s.last_layers - s.kv_cache * 9 / 16 + PLAN_PAGE : 1 << 20;
  assert_int_equal(p->n_host_positions + p->n_host_layers, 0);
  hn_plan_destroy(&p);
  hn_model_destroy(&header);
  return bytes;
}

static void is_spilled(const hn_plan *p) {
  assert_int_equal(p->n_host_layers, N_HOST_LAYERS);
  assert_in_range(p->n_host_positions, N_PROMPT / 2, N_PROMPT * 4 / 5);
}

/* ---- what was planned ---- */

/* Bytes of Vulkan memory. */
static uint64_t planned(const plan *p, plan_owner owner) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < p->n_allocations; i++)
    sum += p->allocations[i].owner == owner && p->allocations[i].place != PLAN_PROCESS ? p->allocations[i].bytes : 0;
  return sum;
}

static void is_within_one_percent(uint64_t bytes, uint64_t want) {
  assert_in_range(bytes, want - want / 100, want);
}

/* Loads, evaluates n tokens and one more, releases. Returns the plan's numbers. */
static hn_plan obeys(const char *path, hn_plan_params wish, size_t n) {
  vulkan_calls before = vulkan_calls_count();
  vulkan_calls_reset_peak();
  hn_model *model = load(path, wish);
  const plan *p = gpu_weights_plan(model->gpu);
  hn_plan numbers = p->base;
  uint64_t of_model = planned(p, PLAN_MODEL), of_session = planned(p, PLAN_SESSION);
  is_within_one_percent(vulkan_calls_count().bytes, of_model);
  is_within_one_percent(vulkan_calls_count().peak_bytes, of_model + planned(p, PLAN_LOADING));
  vulkan_calls_reset_peak();
  hn_session *session = open_session(model);
  eval(session, ids, n);
  eval(session, ids + n, 1);
  is_within_one_percent(vulkan_calls_count().peak_bytes, of_model + of_session);
  is_within_one_percent(vulkan_calls_count().bytes, of_model + of_session);
  is_within_one_percent(model->device->buffer_bytes, p->base.device_bytes);
  assert_in_range(model->device->peak_buffer_bytes, model->device->buffer_bytes, wish.vram_budget);
  printf("planned %.1f MiB of the device's memory, allocated %.1f, budget %.1f; planned %.1f MiB in all, allocated %.1f\n",
         (double)p->base.device_bytes / MIB, (double)model->device->buffer_bytes / MIB, (double)wish.vram_budget / MIB,
         (double)(of_model + of_session) / MIB, (double)vulkan_calls_count().bytes / MIB);
  hn_session_destroy(&session);
  hn_model_destroy(&model);
  assert_int_equal(vulkan_calls_count().bytes, 0);
  assert_int_equal(vulkan_calls_count().n_live, before.n_live);
  return numbers;
}

static void allocates_what_was_planned(void **state) {
  (void)state;
  for (int kv_type = HN_KV_Q8_0; kv_type <= HN_KV_Q4_0; kv_type++) {
    hn_plan_params wish = {.n_ctx = N_CTX, .kv_type = (hn_kv_type)kv_type};
    wish.vram_budget = budget_of(AMPLE, wish);
    hn_plan ample = obeys(small_path, wish, 100);
    assert_int_equal(ample.n_host_layers + ample.n_host_positions, 0);
    wish.vram_budget = budget_of(TIGHT, (hn_plan_params){.n_ctx = N_CTX, .kv_type = (hn_kv_type)kv_type});
    hn_plan tight = obeys(small_path, wish, 100);
    is_spilled(&tight);
  }
}

static void refuses_a_small_budget(void **state) {
  (void)state;
  hn_plan_params wish = {.n_ctx = N_CTX};
  hn_model *model = NULL;
  hn_error err = {0};
  vulkan_calls before = vulkan_calls_count();
  wish.vram_budget = budget_of(TOO_SMALL, wish);
  assert_int_equal(hn_model_load(ctx, small_path, &(hn_model_params){.device = "0", .plan = wish}, &model, &err),
                   HN_ERROR_OUT_OF_DEVICE_MEMORY);
  assert_null(model);
  assert_non_null(strstr(err.message, "the budget is 1 MiB"));
  assert_non_null(strstr(err.message, "MiB of its memory"));
  assert_int_equal(vulkan_calls_count().n_allocations, before.n_allocations);
  assert_int_equal(vulkan_calls_count().n_live, before.n_live);
}

/* ---- afterwards ---- */

static bool keep_on(void *user, size_t index, const float *logits) {
  (void)user;
  (void)index;
  (void)logits;
  return true;
}

static bool take(void *user, int32_t id) {
  (void)user;
  (void)id;
  return true;
}

static void evaluation_allocates_nothing(void **state) {
  (void)state;
  hn_model *model = load(tiny_path, (hn_plan_params){.n_ctx = N_CTX});
  hn_session *session = open_session(model);
  hn_sampler *sampler = NULL;
  assert_int_equal(hn_sampler_create(&(hn_sampler_params){.temperature = 1, .top_p = 0.9f, .repeat_penalty = 1.1f}, N_VOCAB, &sampler, NULL),
                   HN_OK);
  long made = allocations_made();
  vulkan_calls before = vulkan_calls_count();
  assert_true(made > 0 && before.n_allocations > 0);
  eval(session, ids, 60);
  assert_int_equal(hn_session_eval_all(session, ids, 40, keep_on, NULL, NULL), HN_OK);
  for (int i = 0; i < N_DECODED; i++) {
    int32_t id = hn_sampler_sample(sampler, hn_session_logits(session));
    hn_sampler_accept(sampler, id);
    eval(session, &id, 1);
  }
  assert_int_equal(hn_session_n_past(session), N_CTX);
  assert_int_equal(hn_session_eval(session, ids, 1, NULL), HN_ERROR_CONTEXT_FULL);
  assert_int_equal(hn_session_rewind(session, 10, NULL), HN_OK);
  eval(session, ids, 600);
  assert_int_equal(hn_session_decode(session, ids[0], 200, take, NULL, NULL), HN_OK);
  assert_int_equal(allocations_made(), made);
  assert_int_equal(vulkan_calls_count().n_made, before.n_made);
  hn_sampler_destroy(&sampler);
  hn_session_destroy(&session);
  hn_model_destroy(&model);
}

/* ---- the same bits, wherever things lie ---- */

/* (2, n_vocab): after the prompt, and after some tokens more. */
static void logits_of(hn_plan_params wish, bool spilled, float *out) {
  hn_model *model = load(small_path, wish);
  hn_session *session = open_session(model);
  if (spilled)
    is_spilled(hn_model_get_plan(model));
  else
    assert_int_equal(hn_model_get_plan(model)->n_host_layers + hn_model_get_plan(model)->n_host_positions, 0);
  eval(session, ids, N_PROMPT);
  memcpy(out, hn_session_logits(session), N_VOCAB * sizeof *out);
  for (int i = 0; i < N_AFTER; i++)
    eval(session, ids + N_PROMPT + i, 1);
  memcpy(out + N_VOCAB, hn_session_logits(session), N_VOCAB * sizeof *out);
  hn_session_destroy(&session);
  hn_model_destroy(&model);
}

static void gives_the_same_bits(hn_kv_type kv_type) {
  static float want[2 * N_VOCAB], got[2 * N_VOCAB];
  hn_plan_params wish = {.n_ctx = N_CTX, .kv_type = kv_type};
  logits_of(wish, false, want);
  wish.vram_budget = budget_of(TIGHT, wish);
  logits_of(wish, true, got);
  assert_memory_equal(got, want, sizeof want);
}

static void places_change_no_bit_q8_0(void **state) {
  (void)state;
  gives_the_same_bits(HN_KV_Q8_0);
}

static void places_change_no_bit_q4_0(void **state) {
  (void)state;
  gives_the_same_bits(HN_KV_Q4_0);
}

/* ---- sessions share a budget ---- */

static void takes_no_third(hn_model *model, uint64_t budget_bytes) {
  hn_session *third = NULL;
  hn_error err = {0};
  vulkan_calls before = vulkan_calls_count();
  assert_int_equal(hn_session_create(model, NULL, &third, &err), HN_ERROR_OUT_OF_DEVICE_MEMORY);
  assert_null(third);
  char budget_text[64];
  snprintf(budget_text, sizeof budget_text, "the budget is %u MiB", (unsigned)(budget_bytes >> 20));
  assert_non_null(strstr(err.message, budget_text));
  assert_non_null(strstr(err.message, "other sessions"));
  assert_int_equal(vulkan_calls_count().n_allocations, before.n_allocations);
  assert_int_equal(vulkan_calls_count().n_live, before.n_live);
}

static void two_sessions_share_a_budget(void **state) {
  (void)state;
  hn_plan_params wish = {.n_ctx = N_CTX, .n_sessions = 2};
  wish.vram_budget = budget_of(AMPLE, wish);
  hn_model *model = load(small_path, wish);
  const plan *p = gpu_weights_plan(model->gpu);
  hn_session *a = open_session(model), *b = open_session(model);
  is_within_one_percent(vulkan_calls_count().bytes, planned(p, PLAN_MODEL) + planned(p, PLAN_SESSION));
  eval(a, ids, 100);
  takes_no_third(model, wish.vram_budget);
  eval(b, ids, 100);
  eval(a, ids + 100, 1);
  eval(b, ids + 100, 1);
  assert_memory_equal(hn_session_logits(a), hn_session_logits(b), N_VOCAB * sizeof(float));
  hn_session_destroy(&a);
  a = open_session(model); /* its place is free again */
  eval(a, ids, 101);
  assert_memory_equal(hn_session_logits(a), hn_session_logits(b), N_VOCAB * sizeof(float));
  assert_in_range(model->device->peak_buffer_bytes, model->device->buffer_bytes, wish.vram_budget);
  hn_session_destroy(&a);
  hn_session_destroy(&b);
  hn_model_destroy(&model);
}

static const char *given_path; /* on the command line */
static uint64_t given_budget;

static void obeys_what_is_given(void **state) {
  (void)state;
  obeys(given_path, (hn_plan_params){.vram_budget = given_budget, .n_ctx = HN_CTX_MAX}, 2);
}

int main(int argc, char **argv) {
  uint64_t seed = 3;
  if (hn_context_create(NULL, &ctx, NULL) || hn_context_memory(ctx, 0, &memory, NULL)) {
    puts("skipped: no Vulkan device");
    hn_context_destroy(&ctx);
    return EXIT_SKIPPED;
  }
  vulkan_calls_watch();
  for (int i = 0; i < N_CTX; i++)
    ids[i] = (int32_t)(random_bits(&seed) % N_VOCAB);
  if (argc == 3) {
    const struct CMUnitTest given[] = {cmocka_unit_test(obeys_what_is_given)};
    given_path = argv[1];
    given_budget = strtoull(argv[2], NULL, 10) << 20;
    int code = cmocka_run_group_tests(given, NULL, NULL);
    vulkan_calls_finish();
    hn_context_destroy(&ctx);
    return code;
  }
  random_model_save(&small, 1, small_path);
  random_model_save(&tiny, 2, tiny_path);
  const struct CMUnitTest tests[] = {cmocka_unit_test(allocates_what_was_planned), cmocka_unit_test(refuses_a_small_budget),
                                     cmocka_unit_test(evaluation_allocates_nothing), cmocka_unit_test(places_change_no_bit_q8_0),
                                     cmocka_unit_test(places_change_no_bit_q4_0), cmocka_unit_test(two_sessions_share_a_budget)};
  int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
  vulkan_calls_finish();
  hn_context_destroy(&ctx);
  unlink(small_path);
  unlink(tiny_path);
  return n_failed;
}
