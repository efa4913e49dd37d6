/*
 * test_tokenizer.c: tokenizers over small vocabularies, damaged files, hard texts; and, where the environment variable
 * HORNITO_TEST_MODEL names the SmolLM2 file, the vectors of tests/tokenizer. The comparison with other vocabularies is
 * tests/tokenizer/compare.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../loader/chat_encode.h"
#include "../loader/tokenizer.h"
#include "../loader/utf8.h"
#include "tokenizer_tiny.h"

#ifndef VECTORS
#define VECTORS "tests/tokenizer/vectors" /* the build passes the whole path */
#endif

enum { LONG_TEXT = 1 << 20 };
#define LONG_TEXT_SECONDS 10.0 /* of CPU time for 1 MiB, with sanitizers too; what is quadratic takes minutes */

static tiny_gguf image;

static hn_status create(tokenizer **tok, hn_error *err) {
  gguf_file *file = NULL;
  assert_int_equal(gguf_open_memory(image.data, image.n, "test", &file, err), HN_OK);
  hn_status status = tokenizer_create(file, tok, err);
  gguf_close(&file);
  assert_true((status == HN_OK) == (*tok != NULL));
  return status;
}

static tokenizer *bpe(const char *pre) {
  tokenizer *tok = NULL;
  tiny_bpe(&image, pre);
  assert_int_equal(create(&tok, NULL), HN_OK);
  return tok;
}

static tokenizer *spm(void) {
  tokenizer *tok = NULL;
  tiny_spm(&image, -1.0f);
  assert_int_equal(create(&tok, NULL), HN_OK);
  return tok;
}

static void expect(const tokenizer *tok, const char *text, size_t length, bool special, const int32_t *ids, size_t n) {
  token_list list = {0};
  assert_int_equal(tokenizer_encode(tok, text, length, special, &list, NULL), HN_OK);
  assert_int_equal(list.n, n);
  for (size_t i = 0; i < n; i++)
    assert_int_equal(list.data[i], ids[i]);
  free(list.data);
}

#define EXPECT(tok, text, special, ...)                                                                                \
  do {                                                                                                                 \
    const int32_t ids_[] = {__VA_ARGS__};                                                                              \
    expect(tok, text, sizeof(text) - 1, special, ids_, sizeof ids_ / sizeof *ids_);                                    \
  } while (0)

static void byte_level_merges(void **state) {
  (void)state;
  tokenizer *tok = bpe("gpt-2");
  EXPECT(tok, "hello", false, BPE_HELLO);
  EXPECT(tok, "hello w", false, BPE_HELLO, BPE_SPACE_W);
  EXPECT(tok, "hhell", false, 'h', BPE_HELL);
  EXPECT(tok, "lll", false, BPE_LL, 'l');
  EXPECT(tok, "\n\xC3\xA9", false, '\n', 0xC3, 0xA9);
  EXPECT(tok, "\xFF", false, 0xEF, 0xBF, 0xBD);
  expect(tok, "", 0, false, NULL, 0);
  tokenizer_destroy(&tok);
  assert_null(tok);
  tokenizer_destroy(&tok);
}

static void special_tokens(void **state) {
  (void)state;
  tokenizer *tok = bpe("gpt-2");
  EXPECT(tok, "w<|im_end|>hello", true, 'w', BPE_END, BPE_HELLO);
  EXPECT(tok, "<|im_end|>>", true, BPE_LONGER_END);
  EXPECT(tok, "<|im_end|><|im_end|>", true, BPE_END, BPE_END);
  EXPECT(tok, "<|im", true, '<', '|', 'i', 'm');
  EXPECT(tok, "<user>w", false, BPE_USER, 'w');
  token_list list = {0};
  assert_int_equal(tokenizer_encode(tok, "<|im_end|>", 10, false, &list, NULL), HN_OK);
  assert_int_equal(list.n, 10);
  free(list.data);

  assert_true(tokenizer_is_end(tok, BPE_END));
  assert_false(tokenizer_is_end(tok, BPE_USER));
  assert_false(tokenizer_is_end(tok, -1));
  assert_false(tokenizer_is_end(tok, BPE_N));
  assert_true(tokenizer_is_special(tok, BPE_END));
  assert_false(tokenizer_is_special(tok, BPE_USER));
  assert_int_equal(tokenizer_find(tok, "<|im_end|>", 10), BPE_END);
  assert_int_equal(tokenizer_find(tok, "no such token", 13), -1);
  assert_int_equal(tokenizer_bos(tok), 1);
  assert_int_equal(tokenizer_eos(tok), -1);
  assert_false(tokenizer_add_bos(tok));
  size_t length;
  assert_memory_equal(tokenizer_token_bytes(tok, BPE_SPACE_W, &length), " w", 2);
  assert_int_equal(length, 2);
  assert_null(tokenizer_token_bytes(tok, BPE_N, &length));
  assert_int_equal(length, 0);
  tokenizer_destroy(&tok);
  tok = bpe("llama-bpe");
  assert_true(tokenizer_add_bos(tok));
  tokenizer_destroy(&tok);
}

static void sentencepiece(void **state) {
  (void)state;
  tokenizer *tok = spm();
  EXPECT(tok, "hi", false, SPM_SPACE_HI);
  EXPECT(tok, "hi hi", false, SPM_SPACE_HI, SPM_SPACE_HI);
  EXPECT(tok, " hi", false, SPM_SPACE_ID, SPM_SPACE_HI);
  EXPECT(tok, "hhi  ", false, SPM_SPACE_ID, SPM_H, SPM_HI, SPM_TWO_SPACES);
  EXPECT(tok, "\n\xC3\xA9", false, SPM_SPACE_ID, SPM_BYTES + '\n', SPM_BYTES + 0xC3, SPM_BYTES + 0xA9);
  EXPECT(tok, "<s>hi</s>", true, 1, SPM_SPACE_HI, 2);
  assert_int_equal(tokenizer_bos(tok), 1);
  assert_int_equal(tokenizer_eos(tok), 2);
  assert_true(tokenizer_add_bos(tok));
  assert_true(tokenizer_is_end(tok, 2));
  tokenizer_destroy(&tok);
}

static void stream_ids(const tokenizer *tok, const int32_t *ids, size_t n, const char *expected) {
  char out[HN_TEXT_STREAM_MAX], all[HN_TEXT_STREAM_MAX];
  hn_text_stream stream = {0};
  size_t total = 0;
  for (size_t i = 0; i <= n; i++) {
    size_t got = tokenizer_stream(tok, &stream, i < n ? ids[i] : -1, out, sizeof out);
    assert_true(utf8_valid(out, got));
    memcpy(all + total, out, got);
    total += got;
  }
  assert_int_equal(total, strlen(expected));
  assert_memory_equal(all, expected, total);
}

static void streams(void **state) {
  (void)state;
  tokenizer *tok = bpe("gpt-2");
  const int32_t whole[] = {0xF0, 0x9F, 0x98, 0x80, BPE_END, BPE_SPACE_W};
  stream_ids(tok, whole, 6, "\xF0\x9F\x98\x80 w");
  const int32_t broken[] = {0xE2, 0x82, 'h', 0xFF, 0xE2};
  stream_ids(tok, broken, 5, "\xEF\xBF\xBDh\xEF\xBF\xBD\xEF\xBF\xBD");
  char out[HN_TEXT_STREAM_MAX];
  hn_text_stream stream = {0};
  assert_int_equal(tokenizer_stream(tok, &stream, 0xE2, out, sizeof out), 0);
  assert_int_equal(tokenizer_stream(tok, &stream, 0x82, out, sizeof out), 0);
  assert_int_equal(tokenizer_stream(tok, &stream, 0xAC, out, sizeof out), 3);
  assert_int_equal(tokenizer_stream(tok, &stream, 99999, out, sizeof out), 0);
  tokenizer_destroy(&tok);

  tok = spm();
  const int32_t spaced[] = {1, SPM_SPACE_HI, SPM_SPACE_HI, SPM_BYTES + '\n', 2};
  stream_ids(tok, spaced, 5, "hi hi\n");
  tokenizer_destroy(&tok);
}

static void repairs_as_python(void **state) {
  (void)state;
  /* bytes.decode("utf-8", "replace") of Python 3.11 */
  static const char *const cases[][2] = {
      {"\xE2\x82", "\xEF\xBF\xBD"},
      {"\xE2\x82x", "\xEF\xBF\xBDx"},
      {"\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"\xF0\x9F\x98x", "\xEF\xBF\xBDx"},
      {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"\xF1\x80\xC3\xA9", "\xEF\xBF\xBD\xC3\xA9"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *out;
    size_t n;
    assert_false(utf8_valid(cases[i][0], strlen(cases[i][0])));
    assert_int_equal(utf8_repair(cases[i][0], strlen(cases[i][0]), &out, &n, NULL), HN_OK);
    assert_int_equal(n, strlen(cases[i][1]));
    assert_memory_equal(out, cases[i][1], n);
    free(out);
  }
}

/* ---- damaged files ---- */

static void fails(hn_status expected, const char *word) {
  tokenizer *tok = NULL;
  hn_error err = {0};
  tiny_end(&image);
  assert_int_equal(create(&tok, &err), expected);
  assert_non_null(strstr(err.message, word));
}

static void start(const char *model) {
  tiny_start(&image);
  tiny_string(&image, "tokenizer.ggml.model", model);
}

static void damaged_files(void **state) {
  (void)state;
  static const char *const tokens[] = {"a", "b", "ab"};
  static const char *const good[] = {"a b"}, *const bad[] = {"ab"};
  static const int32_t types[] = {1, 1, 1};
  static const float scores[] = {0.0f, 0.0f, -1.0f};
  start("bert");
  fails(HN_ERROR_UNSUPPORTED, "llama");
  tiny_start(&image);
  fails(HN_ERROR_UNSUPPORTED, "known");
  start("gpt2");
  tiny_string(&image, "tokenizer.ggml.pre", "no-such");
  fails(HN_ERROR_UNSUPPORTED, "no-such");
  start("gpt2");
  fails(HN_ERROR_FORMAT, "tokens");
  start("gpt2");
  tiny_strings(&image, "tokenizer.ggml.tokens", tokens, 3);
  fails(HN_ERROR_FORMAT, "merges");
  start("gpt2");
  tiny_strings(&image, "tokenizer.ggml.tokens", tokens, 3);
  tiny_strings(&image, "tokenizer.ggml.merges", bad, 1);
  fails(HN_ERROR_FORMAT, "entry 0");
  start("gpt2");
  tiny_strings(&image, "tokenizer.ggml.tokens", tokens, 3);
  tiny_i32s(&image, "tokenizer.ggml.token_type", types, 2);
  fails(HN_ERROR_FORMAT, "token_type");
  start("gpt2");
  tiny_strings(&image, "tokenizer.ggml.tokens", tokens, 3);
  tiny_strings(&image, "tokenizer.ggml.merges", good, 1);
  tiny_u32(&image, "tokenizer.ggml.eos_token_id", 3);
  fails(HN_ERROR_FORMAT, "eos_token_id");
  start("llama");
  tiny_strings(&image, "tokenizer.ggml.tokens", tokens, 3);
  fails(HN_ERROR_FORMAT, "scores");
  start("llama");
  tiny_strings(&image, "tokenizer.ggml.tokens", tokens, 3);
  tiny_floats(&image, "tokenizer.ggml.scores", scores, 2);
  fails(HN_ERROR_FORMAT, "scores");
  tokenizer *tok = NULL;
  hn_error err;
  tiny_spm(&image, NAN);
  assert_int_equal(create(&tok, &err), HN_ERROR_FORMAT);
  tiny_spm(&image, -3e38f);
  assert_int_equal(create(&tok, &err), HN_OK);
  tokenizer_destroy(&tok);
}

/* A vocabulary without most bytes still encodes: what it lacks vanishes. */
static void poor_vocabulary(void **state) {
  (void)state;
  static const char *const tokens[] = {"a", "b", "ab"};
  static const char *const merges[] = {"a b", "a unknown"};
  start("gpt2");
  tiny_strings(&image, "tokenizer.ggml.tokens", tokens, 3);
  tiny_strings(&image, "tokenizer.ggml.merges", merges, 2);
  tiny_u32(&image, "tokenizer.ggml.eos_token_id", UINT32_MAX);
  tiny_end(&image);
  tokenizer *tok = NULL;
  assert_int_equal(create(&tok, NULL), HN_OK);
  EXPECT(tok, "abxba", false, 2, 1, 0);
  assert_int_equal(tokenizer_eos(tok), -1);
  tokenizer_destroy(&tok);
}

/* ---- long texts ---- */

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* other programs may run beside */
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void one_long_text(const tokenizer *tok, const char *unit, const char *tail) {
  size_t n = strlen(unit), length = 0;
  char *text = malloc(LONG_TEXT + 64);
  assert_non_null(text);
  while (length + n <= LONG_TEXT) {
    memcpy(text + length, unit, n);
    length += n;
  }
  memcpy(text + length, tail, strlen(tail));
  length += strlen(tail);
  token_list list = {0};
  double before = seconds();
  assert_int_equal(tokenizer_encode(tok, text, length, true, &list, NULL), HN_OK);
  double taken = seconds() - before;
  if (taken >= LONG_TEXT_SECONDS)
    fail_msg("1 MiB of \"%s\" took %.2f s", unit, taken);
  free(list.data);
  free(text);
}

static void long_texts(void **state) {
  (void)state;
  static const char *const units[] = {" ",
                                      "a",
                                      "hell",
                                      "h",
                                      "\n",
                                      "\r\n",
                                      "  \n",
                                      "1",
                                      "<",
                                      "<|im_",
                                      "!",
                                      "'",
                                      "\xCC\x81",
                                      "\xCC\xA3\xCC\x81",
                                      "\xE4\xB8\xAD",
                                      "\xFF",
                                      " a",
                                      "\xE2\x96\x81",
                                      "hi",
                                      "\xF0\x9F\x98\x80",
                                      "\t "};
  static const char *const pres[] = {"llama-bpe", "smollm", "qwen2", "default", "gpt-2"};
  for (size_t p = 0; p <= sizeof pres / sizeof *pres; p++) {
    tokenizer *tok = p < sizeof pres / sizeof *pres ? bpe(pres[p]) : spm();
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
      one_long_text(tok, units[i], "");
      one_long_text(tok, units[i], "x");
    }
    tokenizer_destroy(&tok);
  }
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 50 };

typedef struct thread_job {
  const tokenizer *tok;
  token_list ids; /* of the last round */
  bool right;     /* all rounds gave the same */
} thread_job;

static void *encode_often(void *user) {
  static const char text[] = "hello w<|im_end|> 123  e\xCC\x81\xCC\xA3 hello hell\xFF <user>\n\n it's";
  thread_job *job = user;
  job->right = true;
  for (int i = 0; i < ROUNDS; i++) {
    token_list list = {0};
    for (int k = 0; k < ROUNDS; k++)
      job->right = job->right && tokenizer_encode(job->tok, text, sizeof text - 1, true, &list, NULL) == HN_OK;
    if (i > 0)
      job->right =
          job->right && list.n == job->ids.n && memcmp(list.data, job->ids.data, list.n * sizeof *list.data) == 0;
    free(job->ids.data);
    job->ids = list;
  }
  return NULL;
}

static void several_threads(void **state) {
  (void)state;
  static const char *const pres[] = {"qwen2", "default"};
  for (int p = 0; p < 3; p++) {
    tokenizer *tok = p < 2 ? bpe(pres[p]) : spm();
    pthread_t threads[THREADS];
    thread_job jobs[THREADS] = {{0}};
    for (int i = 0; i < THREADS; i++) {
      jobs[i].tok = tok;
      assert_int_equal(pthread_create(&threads[i], NULL, encode_often, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
      assert_int_equal(pthread_join(threads[i], NULL), 0);
      assert_true(jobs[i].right);
      assert_int_equal(jobs[i].ids.n, jobs[0].ids.n);
      assert_memory_equal(jobs[i].ids.data, jobs[0].ids.data, jobs[0].ids.n * sizeof *jobs[0].ids.data);
    }
    for (int i = 0; i < THREADS; i++)
      free(jobs[i].ids.data);
    tokenizer_destroy(&tok);
  }
}

/* ---- chats ---- */

static void chat_tokens(void **state) {
  (void)state;
  tokenizer *tok = bpe("gpt-2");
  /* The merge of "hel" and "lo" goes over the border of two pieces; "<|im_end|>" counts in the marker alone. */
  chat_piece pieces[] = {{"hel", 3, true}, {"lo<|im_end|>", 12, false}, {"<|im_end|>w", 11, true}, {"\xFF", 1, false}};
  chat_pieces list = {.data = pieces, .n = 4, .capacity = 4};
  token_list ids = {0};
  assert_int_equal(chat_encode(tok, &list, &ids, NULL), HN_OK);
  static const int32_t expected[] = {BPE_HELLO, '<', '|', 'i',     'm', '_',  'e',  'n',
                                     'd',       '|', '>', BPE_END, 'w', 0xEF, 0xBF, 0xBD};
  assert_int_equal(ids.n, sizeof expected / sizeof *expected);
  assert_memory_equal(ids.data, expected, sizeof expected);
  free(ids.data);
  tokenizer_destroy(&tok);
}

/* ---- vectors ---- */

static size_t unhex(const char *hex, char *out) {
  size_t n = 0;
  if (*hex == '-')
    return 0;
  for (; hex[0] && hex[1]; hex += 2) {
    char digits[3] = {hex[0], hex[1], 0};
    out[n++] = (char)(uint8_t)strtoul(digits, NULL, 16);
  }
  return n;
}

static void vectors(void **state) {
  (void)state;
  const char *model = TEST_MODEL;
  if (*model == 0)
    skip();
  gguf_file *file = NULL;
  tokenizer *tok = NULL;
  hn_error err = {0};
  if (gguf_open(model, &file, &err) != HN_OK || tokenizer_create(file, &tok, &err) != HN_OK)
    fail_msg("%s", err.message);
  gguf_close(&file);
  FILE *lines = fopen(VECTORS, "r");
  assert_non_null(lines);
  static char line[1 << 16], text[1 << 15];
  static int32_t ids[1 << 14];
  size_t n_lines = 0;
  while (fgets(line, sizeof line, lines) != NULL) {
    if (line[0] == '#')
      continue;
    char *rest = NULL;
    strtok_r(line, " \n", &rest);
    size_t length = unhex(strtok_r(NULL, " \n", &rest), text), n = 0;
    for (char *id; (id = strtok_r(NULL, " \n", &rest)) != NULL;)
      ids[n++] = (int32_t)strtol(id, NULL, 10);
    expect(tok, text, length, line[0] == 's', ids, n);
    n_lines++;
  }
  fclose(lines);
  assert_true(n_lines >= 400);
  tokenizer_destroy(&tok);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(byte_level_merges), cmocka_unit_test(special_tokens),    cmocka_unit_test(sentencepiece),
      cmocka_unit_test(streams),           cmocka_unit_test(repairs_as_python), cmocka_unit_test(damaged_files),
      cmocka_unit_test(poor_vocabulary),   cmocka_unit_test(long_texts),        cmocka_unit_test(chat_tokens),
      cmocka_unit_test(vectors),           cmocka_unit_test(several_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
