/*
 * pretokenize.h: cuts text into the pieces that byte-level BPE never merges across.
 *
 * Each kind is one or more regular expressions, run by PCRE2. Characters are classified as in Unicode 16, whatever
 * version PCRE2 has (Unicode 14 or later).
 */
#ifndef HN_PRETOKENIZE_H
#define HN_PRETOKENIZE_H

#include "../runtime/error.h"

typedef struct pretokenizer pretokenizer;

typedef struct pretokenizer_traits {
  bool ignore_merges; /* a piece that is a token is taken whole */
  bool add_bos;       /* when the file does not say */
  bool nfc;           /* the text is brought to Unicode normalization form C first */
} pretokenizer_traits;

/* By the value of tokenizer.ggml.pre. Errors: UNSUPPORTED (the message names the known ones), OUT_OF_MEMORY. */
hn_status pretokenizer_create(const char *name, size_t length, pretokenizer **out, hn_error *err);
void pretokenizer_destroy(pretokenizer **pre);

const pretokenizer_traits *pretokenizer_traits_of(const pretokenizer *pre);

typedef hn_status (*pretokenizer_fn)(void *user, const char *text, size_t length, hn_error *err);

/*
 * Calls fn with each piece of text, which is well-formed UTF-8, in order; none is empty. Stops at the first call that
 * fails. Errors: fn's, OUT_OF_MEMORY, UNSUPPORTED (a text that PCRE2 gives up on).
 */
hn_status pretokenize(const pretokenizer *pre, const char *text, size_t length, pretokenizer_fn fn, void *user,
                      hn_error *err);

#endif
