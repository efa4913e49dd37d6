/* cmd_tokenize.c: the tokens of a text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "output.h"
#include "runner.h"

/* A piece in quotes, with what is not printable ASCII or part of a whole UTF-8 character as \xNN. */
static void print_piece(const char *piece, size_t length) {
  out_write("\"", 1);
  for (size_t i = 0; i < length;) {
    unsigned char c = (unsigned char)piece[i];
    size_t whole = utf8_length(piece + i, length - i);
    if (c == '\n' || c == '\t')
      out_printf("\\%c", c == '\n' ? 'n' : 't');
    else if (c == '"' || c == '\\')
      out_printf("\\%c", c);
    else if (whole == 0 || c < 0x20 || c == 0x7F)
      out_printf("\\x%02X", c);
    else
      out_write(piece + i, whole);
    i += whole == 0 ? 1 : whole;
  }
  out_write("\"\n", 2);
}

static int print_tokens(const runner *r, const char *text, size_t length) {
  const options *opt = r->opt;
  unsigned flags =
      (opt->no_bos ? (unsigned)HN_TOKENIZE_NO_BOS : 0u) | (opt->special ? (unsigned)HN_TOKENIZE_SPECIAL : 0u);
  id_list ids = {0};
  int code = runner_tokenize(r, text, length, flags, &ids);
  if (code == EXIT_OK) {
    for (size_t i = 0; i < ids.n; i++) {
      if (opt->ids) {
        out_printf("%s%d", i == 0 ? "" : ",", (int)ids.data[i]);
        continue;
      }
      size_t n = 0;
      const char *piece = hn_token_bytes(r->model, ids.data[i], &n);
      out_printf("%6d ", (int)ids.data[i]);
      print_piece(piece, n);
    }
    if (opt->ids)
      out_write("\n", 1);
  }
  free(ids.data);
  return code;
}

int cmd_tokenize(const options *opt) {
  if (!required(opt->model, "tokenize", "-m FILE") || !required(opt->positional, "tokenize", "TEXT"))
    return EXIT_USAGE;
  char *text = NULL;
  size_t length = strlen(opt->positional);
  runner r = {0};
  int code = EXIT_OK;
  if (strcmp(opt->positional, "-") == 0)
    code = read_text("-", &text, &length);
  if (code == EXIT_OK)
    code = runner_load_header(&r, opt, opt->model);
  if (code == EXIT_OK)
    code = print_tokens(&r, text != NULL ? text : opt->positional, length);
  free(text);
  return runner_finish(&r, code);
}
