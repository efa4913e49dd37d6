/*
 * spm.h: SentencePiece-style BPE: tokens with scores, whose pairs merge where the joined text is a token too.
 *
 * The merges are derived once from the tokens: all ways to cut a token into two tokens, the higher score first, then
 * the lower id, then the lower id of the left part. So encoding is the same merging as in bpe.h. A character that is no
 * token becomes its bytes' tokens. Spaces are written U+2581.
 */
#ifndef HN_SPM_H
#define HN_SPM_H

#include "bpe.h"

typedef struct spm { /* all but merges is borrowed */
  pair_map merges;
  const token_texts *written;
  const token_map *by_name;
  int32_t byte_id[256]; /* -1: no such token */
  int32_t ascii[128];   /* ids of one-byte characters; -1: none */
  int32_t space;        /* the id of U+2581; -1: none */
  int32_t unknown;      /* -1: what has no token vanishes */
  bool all_bytes;       /* all of byte_id are there */
  bool add_space;       /* a space is put before each stretch of text */
  bool words_apart;     /* no token has U+2581 behind another character: words can be merged one by one */
} spm;

#define SPM_SPACE "\xE2\x96\x81"
enum { SPM_SPACE_BYTES = 3 };

/* From the tokens' written forms, types (gguf token types) and scores (no NaN). Errors: OUT_OF_MEMORY, UNSUPPORTED. */
hn_status spm_init(spm *s, const token_texts *written, const token_map *by_name, const uint8_t *types,
                   const float *scores, hn_error *err);
void spm_finish(spm *s);

/* Appends the tokens of text, which is well-formed UTF-8. Errors: OUT_OF_MEMORY, UNSUPPORTED (too long). */
hn_status spm_encode(const spm *s, bpe_work *work, const char *text, size_t length, token_list *out, hn_error *err);

#endif
