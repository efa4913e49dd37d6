/*
 * vocabulary.h: a file's list of tokens, checked: written forms, types, and the bytes that each stands for.
 */
#ifndef HN_VOCABULARY_H
#define HN_VOCABULARY_H

#include "gguf.h"
#include "special.h"
#include "token_map.h"
#include "token_type.h"

typedef struct vocabulary {
  token_texts written; /* as in the file: a space is U+0120 or U+2581, a line feed U+010A or "<0x0A>" */
  token_texts bytes;   /* what the token stands for: " the", "\n"; special tokens: their names */
  uint8_t *types;      /* (n) TOKEN_... */
  float *scores;       /* (n), or NULL where the kind needs none */
  token_map by_name;   /* from written forms */
  token_map whole;     /* from bytes, of ordinary tokens */
} vocabulary;

/*
 * Reads tokenizer.ggml.tokens, token_type and, unless byte_level, scores. byte_level: how bytes are written.
 * On failure there is still something to finish. Errors: FORMAT, OUT_OF_MEMORY.
 */
hn_status vocabulary_init(vocabulary *v, const gguf_file *file, bool byte_level, hn_error *err);
void vocabulary_finish(vocabulary *v);

/* True for tokens that are matched in a text by their written form, not built from it. */
static inline bool vocabulary_is_marked(uint8_t type) {
  return type == TOKEN_CONTROL || type == TOKEN_UNKNOWN || type == TOKEN_USER_DEFINED;
}

/* The tokens that are searched for in texts. Errors: OUT_OF_MEMORY. */
hn_status vocabulary_specials(const vocabulary *v, special_list *out, hn_error *err);

#endif
