/*
 * test_chat.c: what is recognised as a chat format, the pieces, and what is refused. The comparison with Jinja2 over
 * the models' own templates is tests/tokenizer/compare_chat.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../loader/chat.h"

static const char chatml[] = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
                             "message['content'] + '<|im_end|>' + '\n'}}"
                             "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
static const char chatml_default[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nIt\\'s me.<|im_end|>\\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}";
static const char llama2[] =
    "{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}{% endif %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{{ ' '  + content.strip() + ' ' + eos_token }}";
static const char llama3[] = "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
                             "+ message['content'] | trim + '<|eot_id|>' }}{% if add_generation_prompt %}";
static const char llama3_1[] = "{%- set date_string = \"26 Jul 2024\" %}{{- \"<|start_header_id|>system\" }}"
                               "{{- \"Cutting Knowledge Date: December 2023\\n\" }}{{ '<|eot_id|>' }}{{ x | trim }}";
static const char mistral[] =
    "{{ bos_token }}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('') }}{% endif %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{{ message['content'] + eos_token}}";

static void recognized(void **state) {
  (void)state;
  assert_int_equal(chat_recognize(chatml), CHAT_CHATML);
  assert_int_equal(chat_recognize(chatml_default), CHAT_CHATML);
  assert_int_equal(chat_recognize(llama2), CHAT_LLAMA2);
  assert_int_equal(chat_recognize(llama3), CHAT_LLAMA3);
  assert_int_equal(chat_recognize(llama3_1), CHAT_LLAMA3);
  assert_int_equal(chat_recognize(mistral), CHAT_MISTRAL);
  static const char *const unknown[] = {
      NULL,      "",       "{{ messages }}",       "<|im_start|>", "<|im_start|><|im_end|><think>",
      "<<SYS>>", "[INST]", "'<|im_start|>system\n"};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
    assert_int_equal(chat_recognize(unknown[i]), CHAT_UNKNOWN);
  assert_string_equal(chat_format_name(CHAT_MISTRAL), "mistral");
  assert_string_equal(chat_format_name(CHAT_UNKNOWN), "");
}

/* Marked pieces stand in braces. */
static void expect(const char *template, const hn_chat_message *messages, size_t n, bool generation,
                   const char *expected) {
  chat_pieces pieces = {0};
  hn_error err = {0};
  char text[2048] = "";
  if (chat_render(template, "<s>", "</s>", messages, n, generation, &pieces, &err) != HN_OK)
    fail_msg("%s", err.message);
  for (size_t i = 0; i < pieces.n; i++) {
    bool marker = pieces.data[i].marker;
    strcat(text, marker ? "{" : "");
    strncat(text, pieces.data[i].text, pieces.data[i].length);
    strcat(text, marker ? "}" : "");
  }
  chat_pieces_free(&pieces);
  assert_string_equal(text, expected);
}

static const hn_chat_message conversation[] = {{"system", " S "},
                                               {"user", " <|im_end|> "},
                                               {"assistant", "\xC2\xA0"
                                                             "A\n"},
                                               {"user", ""}};

static void rendered(void **state) {
  (void)state;
  expect(
      chatml, conversation, 2, true,
      "{<|im_start|>}system\n S {<|im_end|>}\n{<|im_start|>}user\n <|im_end|> {<|im_end|>}\n{<|im_start|>}assistant\n");
  expect(chatml, NULL, 0, false, "");
  expect(chatml_default, conversation + 3, 1, true,
         "{<|im_start|>}system\nIt's me.{<|im_end|>}\n{<|im_start|>}user\n{<|im_end|>}\n");
  expect(llama3, conversation, 1, true,
         "{<s>}{<|start_header_id|>}system{<|end_header_id|>}\n\nS{<|eot_id|>}"
         "{<|start_header_id|>}assistant{<|end_header_id|>}\n\n");
  expect(llama3_1, conversation, 1, false,
         "{<s>}{<|start_header_id|>}system{<|end_header_id|>}\n\n"
         "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nS{<|eot_id|>}");
  expect(llama2, conversation, 4, false,
         "{<s>}[INST] <<SYS>>\n S \n<</SYS>>\n\n <|im_end|> [/INST] A {</s>}{<s>}[INST]  [/INST]");
  expect(mistral, conversation + 1, 2, false,
         "{<s>}{[INST] } <|im_end|> { [/INST]}\xC2\xA0"
         "A\n{</s>}");
}

static void refuse(const char *template, const hn_chat_message *messages, size_t n, const char *word) {
  chat_pieces pieces = {0};
  hn_error err = {0};
  assert_int_equal(chat_render(template, "<s>", "</s>", messages, n, true, &pieces, &err), HN_ERROR_UNSUPPORTED);
  assert_non_null(strstr(err.message, word));
  chat_pieces_free(&pieces);
}

static void refused(void **state) {
  (void)state;
  refuse(NULL, conversation, 1, "--raw");
  refuse("{{ messages }}", conversation, 1, "--raw");
  refuse(mistral, conversation, 2, "alternate");
  refuse(llama2, conversation + 2, 1, "alternate");
  refuse(llama2, NULL, 0, "no message");
  const hn_chat_message nobody[] = {{NULL, "x"}}, tool[] = {{"tool", "x"}};
  refuse(chatml, nobody, 1, "no role");
  refuse(llama3_1, tool, 1, "tools");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(recognized), cmocka_unit_test(rendered),
                                     cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
