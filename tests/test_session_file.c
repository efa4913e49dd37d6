/*
 * test_session_file [DEVICE]: a session of 1,000 tokens on a Vulkan device goes on in another process, there and on the device "cpu", with
 * the same tokens; files that are damaged, cut or another model's are refused and change nothing; what was forgotten is not in a file.
 * drivers/on chooses the driver. Exit 77 where there is no device.
 * test_session_file continue MODEL FILE DEVICE: the other process; prints tokens.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../runtime/hornito.h"
#include "expect.h"
#include "random_model.h"

enum { N_PROMPT = 1000, N_MORE = 24, N_CTX = 1100, N_VOCAB = 300, N_FLIPS = 150 };

static const random_model shape = {.type = QUANT_Q4_0, .n_embd = 64, .n_ff = 64, .n_layers = 2, .n_heads = 5, .n_kv_heads = 5, .head_dim = 64,
                                   .n_vocab = N_VOCAB, .n_ctx = 2048, .tied = true};

static hn_context *ctx;
static hn_model *load(const char *path, const char *device, hn_plan_params plan) {
  hn_model *model = NULL;
  hn_error err = {0};
  if (hn_model_load(ctx, path, &(hn_model_params){.device = device, .plan = plan}, &model, &err))
    printf("FAILED: %s\n", err.message);
  return model;
}

static hn_model *open_model(const char *path, const char *device, hn_kv_type kv) {
  return load(path, device, (hn_plan_params){.n_ctx = N_CTX, .kv_type = kv});
}

/* On device 0, with about half of the KV cache in the host's memory. */
static hn_model *open_split(const char *path) {
  hn_plan_params wish = {.n_ctx = N_CTX};
  hn_model *whole = load(path, "0", wish);
  const hn_plan *p = whole ? hn_model_get_plan(whole) : NULL;
  uint64_t cache = 0;
  for (size_t i = 0; p && i < p->n_items; i++)
    cache += p->items[i].kind == HN_PLAN_KV_CACHE ? p->items[i].bytes : 0;
  wish.vram_budget = p ? p->device_bytes - cache / 2 : 0;
  hn_model_destroy(&whole);
  hn_model *split = load(path, "0", wish);
  CHECK(split && hn_model_get_plan(split)->n_host_positions > N_PROMPT / 4 && hn_model_get_plan(split)->n_host_positions < N_PROMPT / 4 * 3);
  return split;
}

static hn_session *open_session(hn_model *model, uint32_t n_ctx) {
  hn_session *session = NULL;
  hn_error err = {0};
  if (!model || hn_session_create(model, &(hn_session_params){.n_ctx = n_ctx, .n_threads = 2}, &session, &err))
    printf("FAILED: %s\n", err.message);
  return session;
}

/* Greedy: each token is followed by the likeliest next but a step, so that texts do not fall into a loop of one token. */
static void go_on(hn_session *session, int32_t out[N_MORE]) {
  for (int i = 0; i < N_MORE; i++) {
    out[i] = (hn_session_argmax(session) + i) % N_VOCAB;
    CHECK(hn_session_eval(session, &out[i], 1, NULL) == HN_OK);
  }
}

static int other_process(char **argv) {
  hn_error err = {0};
  hn_model *model = open_model(argv[2], argv[4], HN_KV_Q8_0);
  hn_session *session = open_session(model, 0);
  int32_t more[N_MORE];
  if (!session || hn_session_load(session, argv[3], &err)) {
    printf("FAILED: %s\n", err.message);
    return 1;
  }
  CHECK(hn_session_n_past(session) == N_PROMPT && hn_session_logits(session));
  go_on(session, more);
  for (int i = 0; i < N_MORE; i++)
    printf("%d ", (int)more[i]);
  hn_session_destroy(&session);
  hn_model_destroy(&model);
  return n_failed;
}

static void check_other_process(const char *self, const char *model, const char *file, const char *device, const int32_t want[N_MORE]) {
  char command[1024];
  snprintf(command, sizeof command, "'%s' continue '%s' '%s' '%s'", self, model, file, device);
  FILE *pipe = popen(command, "r");
  for (int i = 0; i < N_MORE; i++) {
    int id = -1;
    CHECK(pipe && fscanf(pipe, "%d", &id) == 1 && id == want[i]);
  }
  CHECK(pipe && pclose(pipe) == 0);
}

static uint8_t *read_all(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  uint8_t *data = NULL;
  struct stat info;
  if (f && !stat(path, &info) && (data = malloc((size_t)info.st_size)))
    *n = fread(data, 1, (size_t)info.st_size, f);
  if (f)
    fclose(f);
  return data;
}

static void write_all(const char *path, const uint8_t *data, size_t n) {
  FILE *f = fopen(path, "wb");
  CHECK(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

/* The file is refused, and the session as before. */
static void check_refused(hn_session *session, const char *path, hn_status want) {
  hn_error err = {0};
  const float *logits = hn_session_logits(session);
  float before = logits[7];
  hn_status status = hn_session_load(session, path, &err);
  CHECK(status == want);
  CHECK(err.message[0] && strstr(err.message, path));
  CHECK(hn_session_logits(session) == logits && logits[7] == before && hn_session_n_past(session) == 5);
}

static void check_damaged(hn_session *session, const char *path, const char *other) {
  size_t n = 0;
  uint8_t *data = read_all(path, &n);
  uint64_t random = 1;
  CHECK(data && n > 64);
  for (int i = 0; data && i < N_FLIPS; i++) { /* each byte of the header, the last ones, and some between */
    random = random * 6364136223846793005u + 1442695040888963407u;
    size_t at = i < 64 ? (size_t)i : i < 72 ? n - 1 - (size_t)(i - 64) : (size_t)(random >> 20) % n;
    data[at] ^= (uint8_t)(1u << (random >> 61));
    write_all(other, data, n);
    bool version = at >= 12 && at < 16;
    check_refused(session, other, version ? HN_ERROR_UNSUPPORTED : HN_ERROR_FORMAT);
    data[at] ^= (uint8_t)(1u << (random >> 61));
  }
  for (size_t cut = 0; data && cut < n; cut += n / 7) {
    write_all(other, data, cut);
    check_refused(session, other, HN_ERROR_FORMAT);
  }
  free(data);
}

static bool same_files(const char *path, const char *other) {
  size_t n[2] = {0, 0};
  uint8_t *a = read_all(path, &n[0]), *b = read_all(other, &n[1]);
  bool same = a && b && n[0] == n[1] && memcmp(a, b, n[0]) == 0;
  free(a);
  free(b);
  return same;
}

/* A rewound session's file is that of one which never went further. */
static void check_forgotten(hn_session *session, const int32_t *ids, const char *path, const char *other) {
  hn_session_rewind(session, 0, NULL);
  CHECK(!hn_session_eval(session, ids, 70, NULL) && !hn_session_save(session, path, NULL));
  CHECK(!hn_session_eval(session, ids + 70, 200, NULL) && !hn_session_rewind(session, 69, NULL) && !hn_session_eval(session, ids + 69, 1, NULL));
  CHECK(!hn_session_save(session, other, NULL));
  CHECK(same_files(path, other));
}

/* What plain C saves is the same file, and goes on where half of the cache lies in the host's memory. */
static void check_cpu(const char *model_path, const int32_t *ids, const char *file, const char *other, const int32_t want[N_MORE]) {
  hn_model *cpu = open_model(model_path, "cpu", HN_KV_Q8_0), *split = open_split(model_path);
  hn_session *plain = open_session(cpu, 0), *session = open_session(split, 0);
  int32_t more[N_MORE];
  CHECK(plain && !hn_session_eval(plain, ids, N_PROMPT, NULL) && !hn_session_save(plain, other, NULL) && same_files(file, other));
  CHECK(session && !hn_session_load(session, other, NULL));
  if (session) {
    go_on(session, more);
    CHECK(memcmp(more, want, sizeof more) == 0);
    CHECK(!hn_session_rewind(session, N_PROMPT - 1, NULL) && !hn_session_eval(session, ids + N_PROMPT - 1, 1, NULL));
    CHECK(!hn_session_save(session, other, NULL) && same_files(file, other));
  }
  hn_session_destroy(&plain);
  hn_session_destroy(&session);
  hn_model_destroy(&cpu);
  hn_model_destroy(&split);
}

static void check_reuse(hn_session *session, const int32_t *ids) {
  size_t kept = 9;
  int32_t changed[12];
  memcpy(changed, ids, sizeof changed);
  hn_session_rewind(session, 0, NULL);
  CHECK(!hn_session_eval(session, ids, 12, NULL));
  CHECK(!hn_session_reuse(session, ids, 12, &kept, NULL) && kept == 11 && hn_session_n_past(session) == 11 && !hn_session_logits(session));
  CHECK(!hn_session_eval(session, ids + 11, 1, NULL) && memcmp(hn_session_tokens(session), ids, sizeof changed) == 0);
  changed[6]++;
  CHECK(!hn_session_reuse(session, changed, 12, &kept, NULL) && kept == 6 && hn_session_n_past(session) == 6);
  CHECK(hn_session_reuse(session, changed, 0, &kept, NULL) == HN_ERROR_ARGUMENT && kept == 0);
}

int main(int argc, char **argv) {
  char model_path[64], other_path[64], file[80], other[80];
  int32_t ids[N_PROMPT], want[N_MORE];
  if (hn_context_create(NULL, &ctx, NULL))
    return 1;
  if (argc == 5)
    return other_process(argv);
  if (hn_context_n_devices(ctx) == 0)
    return 77;
  random_model_save(&shape, 3, model_path);
  random_model_save(&shape, 4, other_path);
  snprintf(file, sizeof file, "%s.session", model_path);
  snprintf(other, sizeof other, "%s.session", other_path);
  for (int i = 0; i < N_PROMPT; i++)
    ids[i] = (i * 7919 + i / 17) % N_VOCAB;
  hn_model *model = open_model(model_path, "0", HN_KV_Q8_0);
  hn_session *session = open_session(model, 0);
  if (session) {
    struct stat info;
    CHECK(!hn_session_eval(session, ids, N_PROMPT, NULL) && !hn_session_save(session, file, NULL));
    CHECK(!stat(file, &info) && (info.st_mode & 0777) == 0600);
    go_on(session, want);
    check_other_process(argv[0], model_path, file, "0", want);
    check_other_process(argv[0], model_path, file, "cpu", want);
    check_cpu(model_path, ids, file, other, want);
    hn_session_rewind(session, 0, NULL);
    CHECK(!hn_session_eval(session, ids, 5, NULL));
    check_damaged(session, file, other);
    hn_session *small = open_session(model, N_PROMPT - 1);
    CHECK(small && !hn_session_eval(small, ids, 5, NULL));
    check_refused(small, file, HN_ERROR_CONTEXT_FULL);
    hn_session_destroy(&small);
    hn_model *another = open_model(other_path, "0", HN_KV_Q8_0), *q4 = open_model(model_path, "cpu", HN_KV_Q4_0);
    hn_session *foreign = open_session(another, 0), *small_kv = open_session(q4, 0);
    CHECK(foreign && small_kv && !hn_session_eval(foreign, ids, 5, NULL) && !hn_session_eval(small_kv, ids, 5, NULL));
    check_refused(foreign, file, HN_ERROR_ARGUMENT);
    check_refused(small_kv, file, HN_ERROR_ARGUMENT);
    check_forgotten(small_kv, ids, file, other);
    hn_session_destroy(&foreign);
    hn_session_destroy(&small_kv);
    hn_model_destroy(&another);
    hn_model_destroy(&q4);
    check_forgotten(session, ids, file, other);
    check_reuse(session, ids);
    CHECK(hn_session_save(session, "/nowhere/file", NULL) == HN_ERROR_IO && hn_session_load(session, "/nowhere/file", NULL) == HN_ERROR_IO);
    CHECK(hn_session_load(session, "/dev/null", NULL) == HN_ERROR_IO);
  }
  n_failed += !session;
  hn_session_destroy(&session);
  hn_model_destroy(&model);
  hn_context_destroy(&ctx);
  unlink(model_path);
  unlink(other_path);
  unlink(file);
  unlink(other);
  printf("%d failed\n", n_failed);
  return n_failed != 0;
}
