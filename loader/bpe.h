/*
 * bpe.h: byte pair encoding. The merging itself, which both kinds of tokenizer share, and the byte-level kind.
 *
 * A word is a list of ids. While any two neighbours merge, the pair of the lowest rank does, the leftmost among equals.
 */
#ifndef HN_BPE_H
#define HN_BPE_H

#include "pretokenize.h"
#include "token_map.h"
#include "tokenizer.h"

typedef struct bpe_candidate { /* a merge that waits in the heap */
  uint32_t rank, at;
  int32_t left, right, id;
} bpe_candidate;

typedef struct bpe_link { /* neighbours of a symbol of a long word */
  uint32_t previous, next;
} bpe_link;

typedef struct bpe_word { /* where a word's ids already stand in the call's output */
  const char *text;
  uint32_t length, n;
  size_t at;
} bpe_word;

/* What one call of encode works with: zero before, bpe_work_finish after. Ids of a word that was seen before are
 * copied. */
typedef struct bpe_work {
  int32_t *symbols; /* the word, before and after merging */
  size_t n, capacity;
  bpe_link *links;     /* (long_capacity) */
  bpe_candidate *heap; /* (3 * long_capacity) */
  size_t long_capacity;
  bpe_word *words; /* (word_mask + 1); NULL: no cache */
  size_t word_mask;
} bpe_work;

/* Makes the cache fit for a text of this length. Not having one is no error. The text must outlive the work. */
void bpe_work_start(bpe_work *work, size_t text_length);
void bpe_work_finish(bpe_work *work);

/* Room for n symbols. Errors: OUT_OF_MEMORY. */
hn_status bpe_work_reserve(bpe_work *work, size_t n, hn_error *err);

/* Merges work->symbols[0 .. n) in place. O(n log n). Errors: OUT_OF_MEMORY, UNSUPPORTED (more than 2^31 symbols). */
hn_status bpe_merge(const pair_map *merges, bpe_work *work, hn_error *err);

/* The cache's place for a word: taken when its text is the word's. NULL where there is no cache. */
bpe_word *bpe_word_place(bpe_work *work, const char *text, size_t length);
bool bpe_word_is(const bpe_word *word, const char *text, size_t length);

/* Appends a known word's ids again. Errors: OUT_OF_MEMORY. */
hn_status bpe_word_repeat(const bpe_word *word, token_list *out, hn_error *err);

/* Appends the work's symbols, and remembers them as the word's if place is not NULL. Errors: OUT_OF_MEMORY. */
hn_status bpe_word_append(const bpe_work *work, bpe_word *place, const char *text, size_t length, token_list *out,
                          hn_error *err);

/* A byte-level vocabulary; all but merges and byte_id is borrowed. */
typedef struct byte_bpe {
  pair_map merges;
  int32_t byte_id[256];     /* -1: the vocabulary lacks the byte, and it vanishes from the text */
  const token_texts *bytes; /* what tokens stand for */
  const token_map *whole;   /* from bytes to ordinary tokens */
  const pretokenizer *pre;
} byte_bpe;

/*
 * The merges of tokenizer.ggml.merges, each "left right" in written forms. One whose two parts or whole are not in the
 * vocabulary is left out: no text can ever use it. Errors: FORMAT (no space in a merge), OUT_OF_MEMORY.
 */
hn_status byte_bpe_read_merges(byte_bpe *bpe, const gguf_value *merges, const token_texts *written,
                               const token_map *by_name, hn_error *err);

/* Appends the tokens of text, which is well-formed UTF-8 and normalized. Errors: as pretokenize. */
hn_status byte_bpe_encode(const byte_bpe *bpe, bpe_work *work, const char *text, size_t length, token_list *out,
                          hn_error *err);

#endif
