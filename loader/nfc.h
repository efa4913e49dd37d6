/*
 * nfc.h: Unicode normalization form C, over utf8proc's tables.
 *
 * Linear in the text: a run of combining marks, which utf8proc itself sorts in quadratic time, is sorted here.
 */
#ifndef HN_NFC_H
#define HN_NFC_H

#include "../runtime/error.h"

/*
 * Normalizes well-formed UTF-8. *out is NULL where the text is in form C already (most is), else a copy that the caller
 * frees. Characters newer than utf8proc's tables stay as they are. Errors: OUT_OF_MEMORY.
 */
hn_status nfc_normalize(const char *text, size_t length, char **out, size_t *out_length, hn_error *err);

#endif
