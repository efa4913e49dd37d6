/*
 * tokenizer.h: text to token ids and back, as the model's file says.
 *
 * Two kinds: byte-level BPE with merges (tokenizer.ggml.model "gpt2") behind a pre-tokenizer's regular expression
 * (tokenizer.ggml.pre: gpt-2, default, llama-bpe, smollm, qwen2 and their aliases), and SentencePiece-style BPE with
 * scores and byte fallback ("llama"). Immutable after creation: may be used from several threads at once.
 */
#ifndef HN_TOKENIZER_H
#define HN_TOKENIZER_H

#include "gguf.h"

typedef struct tokenizer tokenizer;

/*
 * From a file's metadata; copies what it needs, so that the file may be closed. On failure *out is NULL.
 * Errors: FORMAT (lists that disagree, ids out of range), UNSUPPORTED (an unknown kind, with the known ones named),
 * OUT_OF_MEMORY.
 */
hn_status tokenizer_create(const gguf_file *file, tokenizer **out, hn_error *err);
void tokenizer_destroy(tokenizer **tok);

uint32_t tokenizer_n_vocab(const tokenizer *tok);
int32_t tokenizer_bos(const tokenizer *tok); /* -1: none */
int32_t tokenizer_eos(const tokenizer *tok);
bool tokenizer_add_bos(const tokenizer *tok); /* tokenizer.ggml.add_bos_token, or its default for the kind */
bool tokenizer_is_end(const tokenizer *tok, int32_t id);
bool tokenizer_is_special(const tokenizer *tok, int32_t id);
const char *tokenizer_token_bytes(const tokenizer *tok, int32_t id, size_t *length);
int32_t tokenizer_find(const tokenizer *tok, const char *name, size_t length); /* id of a token by its written form; -1: none */

/* A growing list of ids that the caller owns: zero it before use, free(ids.data) after. */
typedef struct token_list {
  int32_t *data;
  size_t n, capacity;
} token_list;

hn_status token_list_push(token_list *list, int32_t id, hn_error *err);

/* Appends the tokens of text. No BOS. parse_special: special tokens written in the text become their ids. */
hn_status tokenizer_encode(const tokenizer *tok, const char *text, size_t length, bool parse_special, token_list *out,
                           hn_error *err);

/* See hn_text_stream_push. */
size_t tokenizer_stream(const tokenizer *tok, hn_text_stream *stream, int32_t id, char *out, size_t capacity);

#endif
