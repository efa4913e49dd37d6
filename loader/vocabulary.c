/* vocabulary.c: see vocabulary.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "spm.h"
#include "utf8.h"
#include "vocabulary.h"

enum {
  MAX_TOKENS = 1 << 24,     /* a hundred times the largest vocabulary known */
  MAX_SPECIAL_LENGTH = 256, /* longer ones are not searched for in texts; bounds the search's work for each byte */
  BYTE_CHARACTERS = 0x144,  /* code points that byte-level vocabularies write bytes with are below */
};

/*
 * The table of byte-level BPE: printable bytes of Latin-1 are written as themselves, the other 68, in order, as the
 * characters from U+0100 on. -1: a code point that writes none.
 */
static void byte_characters(int16_t table[BYTE_CHARACTERS]) {
  for (int i = 0; i < BYTE_CHARACTERS; i++)
    table[i] = -1;
  int16_t next = 0x100;
  for (int16_t byte = 0; byte < 256; byte++) {
    bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    table[printable ? byte : next++] = byte;
  }
}

static hn_status read_written(vocabulary *v, const gguf_value *tokens, hn_error *err) {
  if (tokens == NULL || tokens->type != GGUF_ARRAY || tokens->elem_type != GGUF_STRING)
    return hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.tokens is missing or no list of strings");
  if (tokens->count == 0 || tokens->count > MAX_TOKENS)
    return hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.tokens has %llu entries, not 1 .. %d",
                   (unsigned long long)tokens->count, (int)MAX_TOKENS);
  uint32_t n = (uint32_t)tokens->count;
  /* The texts lie in the file with a length before each: together they are shorter than the value. */
  v->written.bytes = malloc((size_t)(tokens->end - tokens->data) + 1);
  v->written.start = malloc(((size_t)n + 1) * sizeof *v->written.start);
  if (v->written.bytes == NULL || v->written.start == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for %u tokens", (unsigned)n);
  const uint8_t *cursor = tokens->data;
  size_t at = 0;
  for (uint32_t i = 0; i < n; i++) {
    gguf_str token;
    if (!gguf_next_string(tokens, &cursor, &token))
      return hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.tokens ends at entry %u", (unsigned)i);
    v->written.start[i] = at;
    if (token.len > 0)
      memcpy(v->written.bytes + at, token.data, token.len);
    at += token.len;
  }
  v->written.start[n] = at;
  v->written.n = n;
  return HN_OK;
}

static hn_status read_types(vocabulary *v, const gguf_value *types, hn_error *err) {
  uint32_t n = v->written.n;
  v->types = malloc(n);
  if (v->types == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for %u tokens", (unsigned)n);
  memset(v->types, TOKEN_NORMAL, n);
  if (types == NULL)
    return HN_OK;
  if (types->type != GGUF_ARRAY || types->count != n)
    return hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.token_type is no list of %u numbers", (unsigned)n);
  for (uint32_t i = 0; i < n; i++) {
    int32_t type;
    if (!gguf_array_i32(types, i, &type))
      return hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.token_type: entry %u is no number", (unsigned)i);
    /* A type that is not known is treated as ordinary text. */
    if (type >= TOKEN_NORMAL && type <= TOKEN_BYTE)
      v->types[i] = (uint8_t)type;
  }
  return HN_OK;
}

static hn_status read_scores(vocabulary *v, const gguf_value *scores, hn_error *err) {
  uint32_t n = v->written.n;
  if (scores == NULL || scores->type != GGUF_ARRAY || scores->count != n)
    return hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.scores is missing or no list of %u numbers", (unsigned)n);
  v->scores = malloc(n * sizeof *v->scores);
  if (v->scores == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for %u tokens", (unsigned)n);
  for (uint32_t i = 0; i < n; i++)
    if (!gguf_array_f32(scores, i, &v->scores[i]) || isnan(v->scores[i]))
      return hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.scores: entry %u is no number", (unsigned)i);
  return HN_OK;
}

/* Writes the bytes that a byte-level text stands for; returns their number, or SIZE_MAX for another text. */
static size_t decode_byte_level(const int16_t table[BYTE_CHARACTERS], const char *text, size_t length, char *out) {
  size_t n = 0;
  for (size_t at = 0, used; at < length; at += used) {
    if (utf8_next(text + at, length - at, &used) != UTF8_WHOLE)
      return SIZE_MAX;
    uint32_t c = utf8_decode(text + at, used);
    if (c >= BYTE_CHARACTERS || table[c] < 0)
      return SIZE_MAX;
    out[n++] = (char)(uint8_t)table[c];
  }
  return n;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The same for SentencePiece's; a byte token is written "<0x0A>". */
static size_t decode_sentencepiece(const char *text, size_t length, uint8_t type, char *out) {
  if (type == TOKEN_BYTE && length == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>') {
    int high = hex_digit(text[3]), low = hex_digit(text[4]);
    if (high >= 0 && low >= 0) {
      out[0] = (char)(uint8_t)(high * 16 + low);
      return 1;
    }
  }
  size_t n = 0;
  for (size_t at = 0; at < length;) {
    bool space = length - at >= SPM_SPACE_BYTES && memcmp(text + at, SPM_SPACE, SPM_SPACE_BYTES) == 0;
    out[n++] = space ? ' ' : text[at];
    at += space ? SPM_SPACE_BYTES : 1;
  }
  return n;
}

static hn_status decode_all(vocabulary *v, bool byte_level, hn_error *err) {
  uint32_t n = v->written.n;
  v->bytes.bytes = malloc(v->written.start[n] + 1); /* no text is longer than its written form */
  v->bytes.start = malloc(((size_t)n + 1) * sizeof *v->bytes.start);
  if (v->bytes.bytes == NULL || v->bytes.start == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for %u tokens", (unsigned)n);
  int16_t table[BYTE_CHARACTERS];
  byte_characters(table);
  size_t at = 0;
  for (uint32_t i = 0; i < n; i++) {
    size_t length, used = SIZE_MAX;
    const char *text = token_text(&v->written, (int32_t)i, &length);
    char *out = v->bytes.bytes + at;
    if (!vocabulary_is_marked(v->types[i]))
      used = byte_level ? decode_byte_level(table, text, length, out)
                        : decode_sentencepiece(text, length, v->types[i], out);
    if (used == SIZE_MAX) {
      if (length > 0)
        memcpy(out, text, length);
      used = length;
    }
    v->bytes.start[i] = at;
    at += used;
  }
  v->bytes.start[n] = at;
  v->bytes.n = n;
  return HN_OK;
}

hn_status vocabulary_init(vocabulary *v, const gguf_file *file, bool byte_level, hn_error *err) {
  *v = (vocabulary){0};
  hn_status status = read_written(v, gguf_find(file, "tokenizer.ggml.tokens"), err);
  if (status == HN_OK)
    status = read_types(v, gguf_find(file, "tokenizer.ggml.token_type"), err);
  if (status == HN_OK && !byte_level)
    status = read_scores(v, gguf_find(file, "tokenizer.ggml.scores"), err);
  if (status == HN_OK)
    status = decode_all(v, byte_level, err);
  if (status == HN_OK)
    status = token_map_init(&v->by_name, v->written.n, err);
  if (status == HN_OK)
    status = token_map_init(&v->whole, v->written.n, err);
  if (status != HN_OK)
    return status;
  for (uint32_t i = 0; i < v->written.n; i++) {
    token_map_add(&v->by_name, &v->written, (int32_t)i);
    if (v->types[i] == TOKEN_NORMAL)
      token_map_add(&v->whole, &v->bytes, (int32_t)i);
  }
  return HN_OK;
}

void vocabulary_finish(vocabulary *v) {
  token_texts_finish(&v->written);
  token_texts_finish(&v->bytes);
  token_map_finish(&v->by_name);
  token_map_finish(&v->whole);
  free(v->types);
  free(v->scores);
  *v = (vocabulary){0};
}

hn_status vocabulary_specials(const vocabulary *v, special_list *out, hn_error *err) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < v->written.n; i++)
    n += vocabulary_is_marked(v->types[i]);
  special_token *tokens = malloc(((size_t)n + 1) * sizeof *tokens);
  if (tokens == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for %u special tokens", (unsigned)n);
  n = 0;
  for (uint32_t i = 0; i < v->written.n; i++) {
    size_t length;
    const char *text = token_text(&v->written, (int32_t)i, &length);
    /* half a character would cut the text where the rest of the tokenizer must not see it cut */
    if (vocabulary_is_marked(v->types[i]) && length > 0 && length <= MAX_SPECIAL_LENGTH && utf8_valid(text, length))
      tokens[n++] = (special_token){text, length, (int32_t)i, v->types[i] == TOKEN_USER_DEFINED};
  }
  special_list_init(out, tokens, n);
  return HN_OK;
}
