/*
 * test_gpu_oom.c: loading a model on Vulkan device 0 and opening a session run out of memory at every call of Vulkan and at every allocation
 * of our own that can: an error that says where, nothing stays behind, and the next attempt succeeds. drivers/on chooses the driver.
 * Exit 77 where there is no device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/hornito.h"
#include "failing_alloc.h"
#include "random_model.h"
#include "vulkan_calls.h"

enum { EXIT_SKIPPED = 77, N_VOCAB = 300, N_IDS = 3, MIN_CALLS = 100, MAX_CALLS = 10000 };

/* All kinds of memory: an embedding of its own lies on the host. */
static const random_model tiny = {.type = QUANT_Q4_0, .n_embd = 32, .n_ff = 32, .n_layers = 1, .n_heads = 1, .n_kv_heads = 1,
                                  .head_dim = 32, .n_vocab = N_VOCAB};
static const int32_t ids[N_IDS] = {1, 2, 3};

static hn_context *ctx;
static const char *device_name;
static char path[64], saved[80], cache[] = "/tmp/hornito-test-XXXXXX";
static float want[N_VOCAB];

static hn_status open_session(hn_model *model, hn_session **session, hn_error *err) {
  hn_status status = hn_session_create(model, NULL, session, err);
  assert_true((status == HN_OK) == (*session != NULL));
  if (!status)
    status = hn_session_eval(*session, ids, N_IDS, err);
  if (!status)
    assert_memory_equal(hn_session_logits(*session), want, sizeof want);
  if (!status)
    status = hn_session_save(*session, saved, err);
  if (!status)
    status = hn_session_load(*session, saved, err);
  if (!status)
    assert_memory_equal(hn_session_logits(*session), want, sizeof want);
  return status;
}

static bool is_one_of(const char *name, const char *const *list) {
  for (; *list; list++)
    if (strcmp(*list, name) == 0)
      return true;
  return false;
}

/* Loads, opens a session, evaluates, saves it and loads it again; what succeeds gives the right logits. may_go_on: calls
 * succeed again once the session failed. */
static hn_status everything(bool may_go_on, hn_error *err) {
  static const char *const dispensable[] = {"vkCreatePipelineCache", NULL}; /* with the file's data; it is made again without */
  hn_model *model = NULL;
  hn_session *session = NULL, *next = NULL;
  hn_status status = hn_model_load(ctx, path, &(hn_model_params){.device = "0", .cache_dir = cache}, &model, err);
  assert_true((status == HN_OK) == (model != NULL));
  if (!status)
    status = open_session(model, &session, err);
  if (!status && vulkan_calls_failed())
    assert_true(is_one_of(vulkan_calls_failed(), dispensable));
  hn_session_destroy(&session);
  if (status && model && may_go_on)
    assert_int_equal(open_session(model, &next, NULL), HN_OK);
  hn_session_destroy(&next);
  hn_model_destroy(&model);
  return status;
}

/* ---- Vulkan ---- */

/* Whether the message says what a call was for. */
static bool tells(const char *message, const char *call) {
  static const char *const memory[] = {"vkAllocateMemory", "vkBindBufferMemory", "vkCreateBuffer", "vkMapMemory", NULL};
  static const char *const shaders[] = {"vkCreateComputePipelines", "vkCreatePipelineLayout", "vkCreateShaderModule", NULL};
  if (is_one_of(call, memory))
    return strstr(message, " has no memory for ") && strstr(message, " MiB of ") &&
           (strstr(message, "its own memory") || strstr(message, "memory of the host"));
  if (is_one_of(call, shaders))
    return strstr(message, " does not compile the shader ") != NULL;
  return strncmp(message, device_name, strlen(device_name)) == 0;
}

/* Makes call n fail. Whether there are so many; the last ones are those of destroying, which tells nobody. */
static bool fails_at(uint64_t n, VkResult result) {
  hn_error err = {0};
  long allocations = allocations_live();
  int64_t objects = vulkan_calls_count().n_live;
  vulkan_calls_fail(n, result);
  hn_status status = everything(true, &err);
  vulkan_calls_succeed();
  const char *failed = vulkan_calls_failed();
  assert_int_equal(vulkan_calls_count().n_live, objects);
  assert_int_equal(vulkan_calls_count().bytes, 0);
  assert_int_equal(allocations_live(), allocations);
  assert_true(status == HN_OK || status == HN_ERROR_OUT_OF_DEVICE_MEMORY ||
              (status == HN_ERROR_OUT_OF_MEMORY && result == VK_ERROR_OUT_OF_HOST_MEMORY));
  assert_int_equal(err.code, status);
  assert_true(!status || (failed && err.vk_result < 0));
  if (status && !tells(err.message, failed))
    fail_msg("%s fails: %s", failed, err.message);
  return failed != NULL;
}

static void each_call_fails(VkResult result) {
  uint64_t n = 0;
  while (n < MAX_CALLS && fails_at(n, result))
    n++;
  print_message("%u calls\n", (unsigned)n);
  assert_in_range(n, MIN_CALLS, MAX_CALLS - 1);
  assert_int_equal(everything(false, NULL), HN_OK);
}

static void device_memory(void **state) {
  (void)state;
  each_call_fails(VK_ERROR_OUT_OF_DEVICE_MEMORY);
}

static void host_memory_of_the_driver(void **state) {
  (void)state;
  each_call_fails(VK_ERROR_OUT_OF_HOST_MEMORY);
}

/* ---- our own ---- */

static hn_status everything_alone(void *arg) {
  (void)arg;
  hn_error err = {0};
  int64_t objects = vulkan_calls_count().n_live;
  hn_status status = everything(false, &err);
  assert_int_equal(vulkan_calls_count().n_live, objects);
  assert_int_equal(err.code, status);
  if (status)
    assert_non_null(strstr(err.message, "memory"));
  return status;
}

static void our_memory(void **state) {
  (void)state;
  vulkan_calls_fail(UINT64_MAX, VK_SUCCESS);
  long n = each_allocation_fails(everything_alone, NULL);
  print_message("%ld allocations\n", n);
  assert_in_range(n, 50, MAX_CALLS);
}

/* ---- the right logits ---- */

static void ask_the_cpu(void) {
  hn_model *model = NULL;
  hn_session *session = NULL;
  if (hn_model_load(ctx, path, &(hn_model_params){.device = "cpu"}, &model, NULL) || hn_session_create(model, NULL, &session, NULL) ||
      hn_session_eval(session, ids, N_IDS, NULL))
    exit(99);
  memcpy(want, hn_session_logits(session), sizeof want);
  hn_session_destroy(&session);
  hn_model_destroy(&model);
}

static void remove_cache(void) {
  DIR *dir = opendir(cache);
  char name[300];
  for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
    snprintf(name, sizeof name, "%s/%s", cache, entry->d_name);
    unlink(name);
  }
  if (dir)
    closedir(dir);
  rmdir(cache);
}

int main(void) {
  hn_device_info info;
  if (hn_context_create(NULL, &ctx, NULL) || hn_context_device(ctx, 0, &info, NULL)) {
    puts("skipped: no Vulkan device");
    hn_context_destroy(&ctx);
    return EXIT_SKIPPED;
  }
  device_name = info.name;
  if (!mkdtemp(cache))
    return 99;
  random_model_save(&tiny, 1, path);
  snprintf(saved, sizeof saved, "%s.session", path);
  ask_the_cpu();
  vulkan_calls_watch();
  const struct CMUnitTest tests[] = {cmocka_unit_test(device_memory), cmocka_unit_test(host_memory_of_the_driver), cmocka_unit_test(our_memory)};
  int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
  vulkan_calls_finish();
  hn_context_destroy(&ctx);
  unlink(path);
  unlink(saved);
  remove_cache();
  return n_failed;
}
