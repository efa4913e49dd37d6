/* test_session.c: what an application relies on: errors that change nothing, cancelling, rewinding. On the CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/hornito.h"
#include "random_model.h"

enum { N_CTX = 16, N_VOCAB = 280 };

static const random_model tiny = {.type = QUANT_Q8_0, .n_embd = 64, .n_ff = 96, .n_layers = 2, .n_heads = 2, .n_kv_heads = 1,
                                  .head_dim = 32, .n_vocab = N_VOCAB, .tied = true};
static const int32_t ids[N_CTX + 1] = {5, 4, 3, 2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2};

static char path[64];
static hn_context *ctx;
static hn_model *model;
static hn_session *session;

static int set_up(void **state) {
  (void)state;
  random_model_save(&tiny, 5, path);
  return hn_context_create(NULL, &ctx, NULL) || hn_model_load(ctx, path, &(hn_model_params){.device = "cpu"}, &model, NULL) ||
         hn_session_create(model, &(hn_session_params){.n_ctx = N_CTX, .n_batch = 4, .n_threads = 2}, &session, NULL);
}

static int tear_down(void **state) {
  (void)state;
  hn_session_destroy(&session);
  hn_model_destroy(&model);
  hn_context_destroy(&ctx);
  hn_session_destroy(&session); /* all accept what is gone */
  hn_model_destroy(&model);
  hn_context_destroy(&ctx);
  return unlink(path);
}

static void keep_logits(float out[N_VOCAB]) {
  memcpy(out, hn_session_logits(session), N_VOCAB * sizeof *out);
}

static void has_logits(const float want[N_VOCAB]) {
  assert_memory_equal(hn_session_logits(session), want, N_VOCAB * sizeof *want);
}

static void begins_empty(void **state) {
  (void)state;
  assert_null(hn_session_logits(session));
  assert_int_equal(hn_session_argmax(session), -1);
  assert_int_equal(hn_session_n_past(session), 0);
  assert_int_equal(hn_session_n_ctx(session), N_CTX);
}

static void refuses_without_a_change(void **state) {
  (void)state;
  hn_error err = {0};
  float want[N_VOCAB];
  assert_int_equal(hn_session_eval(session, ids, 6, &err), HN_OK);
  assert_int_equal(hn_session_eval(session, ids + 6, 1, &err), HN_OK);
  keep_logits(want);
  assert_int_equal(hn_session_rewind(session, 6, &err), HN_OK);
  assert_int_equal(hn_session_eval(session, ids, 0, &err), HN_ERROR_ARGUMENT);
  assert_int_equal(hn_session_eval(session, (int32_t[]){-1}, 1, &err), HN_ERROR_ARGUMENT);
  assert_int_equal(hn_session_eval(session, (int32_t[]){N_VOCAB}, 1, &err), HN_ERROR_ARGUMENT);
  assert_int_equal(hn_session_eval(session, ids, N_CTX - 6 + 1, &err), HN_ERROR_CONTEXT_FULL);
  assert_int_equal(err.code, HN_ERROR_CONTEXT_FULL);
  assert_non_null(strstr(err.message, "16"));
  assert_int_equal(hn_session_rewind(session, 7, &err), HN_ERROR_ARGUMENT);
  assert_int_equal(hn_session_n_past(session), 6);
  assert_int_equal(hn_session_eval(session, ids + 6, 1, NULL), HN_OK);
  has_logits(want);
  assert_int_equal(hn_session_n_past(session), 7);
}

static bool stop_at_three(void *user, size_t index, const float *logits) {
  (void)logits;
  ++*(size_t *)user;
  return index < 2;
}

static void can_be_cancelled(void **state) {
  (void)state;
  size_t n_calls = 0;
  float want[N_VOCAB];
  assert_int_equal(hn_session_rewind(session, 0, NULL), HN_OK);
  assert_int_equal(hn_session_eval(session, ids, N_CTX, NULL), HN_OK);
  keep_logits(want);
  assert_int_equal(hn_session_rewind(session, 0, NULL), HN_OK);
  hn_session_cancel(session);
  assert_int_equal(hn_session_eval(session, ids, N_CTX, NULL), HN_ERROR_CANCELLED);
  assert_int_equal(hn_session_eval_all(session, ids, N_CTX, stop_at_three, &n_calls, NULL), HN_ERROR_CANCELLED);
  assert_int_equal(n_calls, 3);
  assert_int_equal(hn_session_n_past(session), 0);
  assert_int_equal(hn_session_eval(session, ids, N_CTX, NULL), HN_OK);
  has_logits(want);
}

static void checks_parameters(void **state) {
  (void)state;
  static const hn_session_params wrong[] = {{.n_ctx = 513}, {.n_batch = 513}, {.n_threads = 65}};
  hn_session *none = NULL;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_int_equal(hn_session_create(model, &wrong[i], &none, NULL), HN_ERROR_ARGUMENT);
    assert_null(none);
  }
  hn_model *header = NULL;
  assert_int_equal(hn_model_load(ctx, path, &(hn_model_params){.header_only = true}, &header, NULL), HN_OK);
  assert_int_equal(hn_session_create(header, NULL, &none, NULL), HN_ERROR_ARGUMENT);
  hn_model_destroy(&header);
}

static bool cancel_loading(void *user, uint64_t done, uint64_t total) {
  (void)user;
  return done == total; /* so not at the first call */
}

static void loading_can_be_cancelled(void **state) {
  (void)state;
  hn_model *none = NULL;
  assert_int_equal(hn_model_load(ctx, path, &(hn_model_params){.device = "cpu", .progress = cancel_loading}, &none, NULL),
                   HN_ERROR_CANCELLED);
  assert_null(none);
  assert_int_equal(hn_model_load(ctx, path, &(hn_model_params){.device = "no such device"}, &none, NULL), HN_ERROR_NO_DEVICE);
  assert_null(none);
}

int main(void) {
  setenv("VK_DRIVER_FILES", "/none", 1); /* drivers leak, and are not needed */
  setenv("VK_ICD_FILENAMES", "/none", 1);
  const struct CMUnitTest tests[] = {cmocka_unit_test(begins_empty), cmocka_unit_test(refuses_without_a_change),
                                     cmocka_unit_test(can_be_cancelled), cmocka_unit_test(checks_parameters),
                                     cmocka_unit_test(loading_can_be_cancelled)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
