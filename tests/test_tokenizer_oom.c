/* test_tokenizer_oom.c: every allocation of the tokenizer and the chat templates fails in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../loader/chat_encode.h"
#include "failing_alloc.h"
#include "tokenizer_tiny.h"

enum { TEXT = 3000 };

static const char template[] =
    "{% for message in messages %}{% if loop.first %}{{ '<|im_start|>system\\nI<|im_end|>\\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}";

static tiny_gguf image;
static char text[TEXT];

/* All that allocates, once. */
static hn_status everything(void *arg) {
  (void)arg;
  gguf_file *file = NULL;
  tokenizer *tok = NULL;
  token_list ids = {0};
  chat_pieces pieces = {0};
  const hn_chat_message messages[] = {{"user", text}, {"assistant", "\xFF"}, {"user", "\xFF\xC3\xA9"},
                                      {"user", "x"},  {"user", "y"},         {"user", "z"},
                                      {"user", "z"},  {"user", "z"}};
  size_t n_messages = sizeof messages / sizeof *messages;
  hn_status status = gguf_open_memory(image.data, image.n, "test", &file, NULL);
  if (status == HN_OK)
    status = tokenizer_create(file, &tok, NULL);
  if (status == HN_OK)
    status = tokenizer_encode(tok, text, sizeof text, true, &ids, NULL);
  size_t before = ids.n;
  if (status == HN_OK)
    status = chat_render(template, "<s>", "</s>", messages, n_messages, true, &pieces, NULL);
  if (status == HN_OK) {
    status = chat_encode(tok, &pieces, &ids, NULL);
    assert_true(status == HN_OK || ids.n == before);
  }
  chat_pieces_free(&pieces);
  free(ids.data);
  tokenizer_destroy(&tok);
  gguf_close(&file);
  return status;
}

static void fill(void) {
  /* Words, marks that need normalization, a broken byte, and a word long enough for the heap. */
  static const char unit[] = "hello w<|im_end|>e\xCC\x81\xCC\xA3 \xFF hi ";
  for (size_t i = 0; i < sizeof text - 1; i++)
    text[i] = i < 1000 ? unit[i % (sizeof unit - 1)] : 'h';
}

static void byte_level(void **state) {
  (void)state;
  static const char *const pres[] = {"qwen2", "default"};
  fill();
  for (int i = 0; i < 2; i++) {
    tiny_bpe(&image, pres[i]);
    assert_true(each_allocation_fails(everything, NULL) > 10);
  }
}

static void sentencepiece(void **state) {
  (void)state;
  fill();
  tiny_spm(&image, -1.0f);
  assert_true(each_allocation_fails(everything, NULL) > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(byte_level), cmocka_unit_test(sentencepiece)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
