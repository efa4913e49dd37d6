/*
 * utf8.h: well-formed UTF-8 and what is done where it is not.
 *
 * The policy for invalid bytes is the Unicode standard's "maximal subparts": each longest prefix of a character that
 * could have gone on well, and each byte that can start none, becomes one U+FFFD. It is what Python's
 * bytes.decode("utf-8", "replace") does.
 */
#ifndef HN_UTF8_H
#define HN_UTF8_H

#include "../runtime/error.h"

typedef enum utf8_kind {
  UTF8_WHOLE, /* a character */
  UTF8_CUT,   /* the beginning of a character that the text's end cuts off */
  UTF8_BAD,   /* bytes that become one U+FFFD */
} utf8_kind;

enum { UTF8_REPLACEMENT_BYTES = 3 };
extern const char utf8_replacement[UTF8_REPLACEMENT_BYTES + 1]; /* U+FFFD */

/* What stands at the beginning of text, which has left >= 1 bytes; *length: its bytes. */
utf8_kind utf8_next(const char *text, size_t left, size_t *length);

/* The code point of a whole character of 1 .. 4 bytes. */
uint32_t utf8_decode(const char *text, size_t length);

/* Writes a code point up to U+10FFFF; returns its bytes, 1 .. 4. */
size_t utf8_encode(uint32_t code_point, char *out);

/* Bytes of the character that a lead byte of well-formed text announces. */
size_t utf8_lead_length(char lead);

bool utf8_valid(const char *text, size_t length);

/* A copy with the invalid bytes replaced, not terminated; the caller frees it. Errors: OUT_OF_MEMORY. */
hn_status utf8_repair(const char *text, size_t length, char **out, size_t *out_length, hn_error *err);

#endif
