/* utf8.c: see utf8.h. The ranges of second bytes are table 3-7 of the Unicode standard. */
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

const char utf8_replacement[UTF8_REPLACEMENT_BYTES + 1] = "\xEF\xBF\xBD";

size_t utf8_lead_length(char lead) {
  uint8_t byte = (uint8_t)lead;
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/* Bytes of a character by its first byte, with the range of the second; 0 for a byte that starts none. */
static size_t lead_info(uint8_t lead, uint8_t *lowest, uint8_t *highest) {
  *lowest = 0x80;
  *highest = 0xBF;
  if (lead < 0x80)
    return 1;
  if (lead < 0xC2 || lead > 0xF4)
    return 0;
  if (lead == 0xE0)
    *lowest = 0xA0;
  else if (lead == 0xED)
    *highest = 0x9F;
  else if (lead == 0xF0)
    *lowest = 0x90;
  else if (lead == 0xF4)
    *highest = 0x8F;
  return utf8_lead_length((char)lead);
}

utf8_kind utf8_next(const char *text, size_t left, size_t *length) {
  const uint8_t *bytes = (const uint8_t *)text;
  uint8_t lowest, highest;
  size_t need = lead_info(bytes[0], &lowest, &highest);
  *length = 1;
  if (need == 0)
    return UTF8_BAD;
  for (size_t i = 1; i < need; i++) {
    if (i == left)
      return UTF8_CUT;
    if (bytes[i] < lowest || bytes[i] > highest)
      return UTF8_BAD;
    lowest = 0x80;
    highest = 0xBF;
    *length = i + 1;
  }
  return UTF8_WHOLE;
}

uint32_t utf8_decode(const char *text, size_t length) {
  const uint8_t *b = (const uint8_t *)text;
  switch (length) {
  case 1:
    return b[0];
  case 2:
    return (b[0] & 0x1Fu) << 6 | (b[1] & 0x3Fu);
  case 3:
    return (b[0] & 0x0Fu) << 12 | (b[1] & 0x3Fu) << 6 | (b[2] & 0x3Fu);
  default:
    return (b[0] & 0x07u) << 18 | (b[1] & 0x3Fu) << 12 | (b[2] & 0x3Fu) << 6 | (b[3] & 0x3Fu);
  }
}

size_t utf8_encode(uint32_t c, char *out) {
  uint8_t *b = (uint8_t *)out;
  if (c < 0x80) {
    b[0] = (uint8_t)c;
    return 1;
  }
  if (c < 0x800) {
    b[0] = (uint8_t)(0xC0 | c >> 6);
    b[1] = (uint8_t)(0x80 | (c & 0x3F));
    return 2;
  }
  if (c < 0x10000) {
    b[0] = (uint8_t)(0xE0 | c >> 12);
    b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    b[2] = (uint8_t)(0x80 | (c & 0x3F));
    return 3;
  }
  b[0] = (uint8_t)(0xF0 | c >> 18);
  b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
  b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
  b[3] = (uint8_t)(0x80 | (c & 0x3F));
  return 4;
}

bool utf8_valid(const char *text, size_t length) {
  size_t at = 0;
  while (at < length) {
    uint64_t eight;
    if (length - at >= sizeof eight) {
      memcpy(&eight, text + at, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        at += sizeof eight;
        continue;
      }
    }
    size_t n;
    if (utf8_next(text + at, length - at, &n) != UTF8_WHOLE)
      return false;
    at += n;
  }
  return true;
}

hn_status utf8_repair(const char *text, size_t length, char **out, size_t *out_length, hn_error *err) {
  *out = NULL;
  *out_length = 0;
  /* At worst each byte becomes one U+FFFD. */
  char *copy = length > SIZE_MAX / UTF8_REPLACEMENT_BYTES ? NULL : malloc(length * UTF8_REPLACEMENT_BYTES + 1);
  if (copy == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory to repair %zu bytes of text", length);
  size_t n = 0, used;
  for (size_t at = 0; at < length; at += used) {
    bool whole = utf8_next(text + at, length - at, &used) == UTF8_WHOLE;
    size_t bytes = whole ? used : UTF8_REPLACEMENT_BYTES;
    memcpy(copy + n, whole ? text + at : utf8_replacement, bytes);
    n += bytes;
  }
  *out = copy;
  *out_length = n;
  return HN_OK;
}
