/* tokenizer_marked.h: encoding where parts of a text alone may hold special tokens. For chat templates. */
#ifndef HN_TOKENIZER_MARKED_H
#define HN_TOKENIZER_MARKED_H

#include "tokenizer.h"

/*
 * As tokenizer_encode, but special tokens are parsed only where all their bytes have a nonzero byte in marker, which
 * has one for each of text's. The text must be well-formed UTF-8 (utf8_repair). Text on both sides of a border between
 * marked and unmarked parts merges as if there were none.
 */
hn_status tokenizer_encode_marked(const tokenizer *tok, const char *text, size_t length, const uint8_t *marker,
                                  token_list *out, hn_error *err);

#endif
