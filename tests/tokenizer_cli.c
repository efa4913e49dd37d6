/*
 * tokenizer_cli.c: the tokenizer and the chat templates behind a pipe, for the comparison with other implementations.
 *
 *     tokenizer_cli encode|encode-special|time|decode MODEL.gguf
 *     tokenizer_cli chat
 *
 * All numbers are 32-bit (time: 64-bit) little endian, a text is its length and its bytes. Each request is answered at
 * once; the end of the input ends the program.
 *   encode  text -> number of ids, ids          (encode-special: special tokens are parsed)
 *   time    text -> number of ids, nanoseconds
 *   decode  number of ids, ids -> text
 *   chat    template, bos, eos, generation prompt ("0", "1"), number of messages, then role and content of each
 *           -> status, rendered text or message, one byte for each of the text's: '1' where special tokens are parsed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../loader/chat.h"
#include "../loader/tokenizer.h"

enum { MAX_TEXT = 1 << 28, MAX_MESSAGES = 1000 };

static bool read_u32(uint32_t *value) {
  uint8_t bytes[4];
  if (fread(bytes, 1, 4, stdin) != 4)
    return false;
  *value = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
  return true;
}

static void write_number(uint64_t value, int n_bytes) {
  for (int i = 0; i < n_bytes; i++)
    putchar((int)(value >> 8 * i & 0xFF));
}

static void write_text(const char *text, size_t length) {
  write_number(length, 4);
  fwrite(text, 1, length, stdout);
}

/* A terminated copy; NULL at the end of the input. */
static char *read_text(size_t *length) {
  uint32_t n;
  if (!read_u32(&n) || n > MAX_TEXT)
    return NULL;
  char *text = malloc((size_t)n + 1);
  if (text == NULL || fread(text, 1, n, stdin) != n) {
    free(text);
    return NULL;
  }
  text[n] = 0;
  *length = n;
  return text;
}

static int fail(const hn_error *err) {
  fprintf(stderr, "tokenizer_cli: %s\n", err->message);
  return 1;
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int encode(const tokenizer *tok, bool special, bool timed) {
  hn_error err;
  size_t length;
  for (char *text; (text = read_text(&length)) != NULL; free(text)) {
    token_list ids = {0};
    uint64_t start = now();
    if (tokenizer_encode(tok, text, length, special, &ids, &err) != HN_OK)
      return fail(&err);
    uint64_t end = now();
    write_number(ids.n, 4);
    if (timed)
      write_number(end - start, 8);
    for (size_t i = 0; !timed && i < ids.n; i++)
      write_number((uint32_t)ids.data[i], 4);
    fflush(stdout);
    free(ids.data);
  }
  return 0;
}

static int decode(const tokenizer *tok) {
  for (uint32_t n; read_u32(&n) && n <= MAX_TEXT / HN_TEXT_STREAM_MAX;) {
    char *text = malloc(((size_t)n + 1) * HN_TEXT_STREAM_MAX);
    if (text == NULL)
      return 1;
    size_t length = 0;
    hn_text_stream stream = {0};
    for (uint32_t i = 0, id; i < n && read_u32(&id); i++)
      length += tokenizer_stream(tok, &stream, (int32_t)id, text + length, HN_TEXT_STREAM_MAX);
    length += tokenizer_stream(tok, &stream, -1, text + length, HN_TEXT_STREAM_MAX);
    write_text(text, length);
    fflush(stdout);
    free(text);
  }
  return 0;
}

static void write_pieces(const chat_pieces *pieces) {
  size_t total = 0;
  for (size_t i = 0; i < pieces->n; i++)
    total += pieces->data[i].length;
  write_number(total, 4);
  for (size_t i = 0; i < pieces->n; i++)
    fwrite(pieces->data[i].text, 1, pieces->data[i].length, stdout);
  write_number(total, 4);
  for (size_t i = 0; i < pieces->n; i++)
    for (size_t k = 0; k < pieces->data[i].length; k++)
      putchar(pieces->data[i].marker ? '1' : '0');
}

static int chat(void) {
  size_t length;
  for (char *template; (template = read_text(&length)) != NULL; free(template)) {
    char *bos = read_text(&length), *eos = read_text(&length), *generate = read_text(&length);
    uint32_t n;
    if (bos == NULL || eos == NULL || generate == NULL || !read_u32(&n) || n > MAX_MESSAGES)
      return 1;
    hn_chat_message messages[MAX_MESSAGES + 1];
    for (uint32_t i = 0; i < n; i++) {
      messages[i].role = read_text(&length);
      messages[i].content = read_text(&length);
      if (messages[i].role == NULL || messages[i].content == NULL)
        return 1;
    }
    hn_error err = {0};
    chat_pieces pieces = {0};
    hn_status status = chat_render(template, bos, eos, messages, n, generate[0] == '1', &pieces, &err);
    write_number((uint32_t)status, 4);
    if (status == HN_OK) {
      write_pieces(&pieces);
    } else {
      write_text(err.message, strlen(err.message));
      write_text("", 0);
    }
    fflush(stdout);
    chat_pieces_free(&pieces);
    for (uint32_t i = 0; i < n; i++) {
      free((char *)(uintptr_t)messages[i].role);
      free((char *)(uintptr_t)messages[i].content);
    }
    free(bos);
    free(eos);
    free(generate);
  }
  return 0;
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "chat") == 0)
    return chat();
  if (argc != 3) {
    fprintf(stderr, "usage: tokenizer_cli encode|encode-special|time|decode MODEL.gguf, or tokenizer_cli chat\n");
    return 2;
  }
  hn_error err;
  gguf_file *file = NULL;
  tokenizer *tok = NULL;
  if (gguf_open(argv[2], &file, &err) != HN_OK)
    return fail(&err);
  hn_status status = tokenizer_create(file, &tok, &err);
  gguf_close(&file);
  if (status != HN_OK)
    return fail(&err);
  int result = strcmp(mode, "decode") == 0
                   ? decode(tok)
                   : encode(tok, strcmp(mode, "encode-special") == 0, strcmp(mode, "time") == 0);
  tokenizer_destroy(&tok);
  return result;
}
