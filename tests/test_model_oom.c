/* test_model_oom.c: every allocation of loading a model on the CPU, of a session and of an evaluation fails in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "../runtime/model_object.h"
#include "failing_alloc.h"
#include "random_model.h"

static hn_status everything(void *path) {
  static const int32_t ids[] = {1, 2, 3};
  static const hn_chat_message message = {"user", "he"};
  /* A context as on a machine without Vulkan: the allocations of drivers are not what is tested. */
  gpu_instance nothing = {0};
  hn_context ctx = {.gpu = &nothing};
  hn_model *model = NULL;
  hn_session *session = NULL;
  hn_sampler *sampler = NULL;
  int32_t out[32];
  size_t n;
  hn_status status = hn_model_load(&ctx, path, &(hn_model_params){.device = "cpu"}, &model, NULL);
  assert_true((status == HN_OK) == (model != NULL));
  if (!status)
    status = hn_session_create(model, &(hn_session_params){.n_ctx = 8, .n_threads = 1}, &session, NULL);
  assert_true((status == HN_OK) == (session != NULL));
  if (!status)
    status = hn_session_eval(session, ids, 3, NULL);
  if (!status)
    status = hn_chat_tokenize(model, &message, 1, true, out, 32, &n, NULL);
  if (!status)
    status = hn_sampler_create(&(hn_sampler_params){.repeat_penalty = 1.1f}, 300, &sampler, NULL);
  hn_sampler_destroy(&sampler);
  hn_session_destroy(&session);
  hn_model_destroy(&model);
  return status;
}

static void model_on_the_cpu(void **state) {
  (void)state;
  static const random_model types[] = {
      {.type = QUANT_F16, .n_embd = 64, .n_ff = 64, .n_layers = 2, .n_heads = 2, .n_kv_heads = 1, .head_dim = 32, .n_vocab = 300},
      {.type = QUANT_Q4_0, .n_embd = 32, .n_ff = 32, .n_layers = 1, .n_heads = 1, .n_kv_heads = 1, .head_dim = 32, .n_vocab = 300,
       .tied = true, .bias = true, .rope_scaling = "llama3"},
  };
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    char path[64];
    random_model_save(&types[i], 1, path);
    assert_true(each_allocation_fails(everything, path) > 30);
    unlink(path);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(model_on_the_cpu)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
