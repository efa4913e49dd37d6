/* chat_pieces.c: see chat_pieces.h. */
#include <stdlib.h>
#include <string.h>

#include "chat_pieces.h"
#include "utf8.h"

#define FAILED SIZE_MAX /* capacity of a list that an allocation failed for */

bool chat_pieces_failed(const chat_pieces *pieces) {
  return pieces->capacity == FAILED;
}

static void set_failed(chat_pieces *pieces) {
  free(pieces->data);
  pieces->data = NULL;
  pieces->n = 0;
  pieces->capacity = FAILED;
}

static void add(chat_pieces *pieces, const char *text, size_t length, bool marker) {
  if (length == 0 || chat_pieces_failed(pieces))
    return;
  if (pieces->n == pieces->capacity) {
    size_t capacity = pieces->capacity == 0 ? 32 : pieces->capacity * 2;
    chat_piece *data = capacity > SIZE_MAX / 2 / sizeof *data ? NULL : realloc(pieces->data, capacity * sizeof *data);
    if (data == NULL) {
      set_failed(pieces);
      return;
    }
    pieces->data = data;
    pieces->capacity = capacity;
  }
  pieces->data[pieces->n++] = (chat_piece){text, length, marker};
}

/* Room that the list owns; NULL: no memory. */
static char *own(chat_pieces *pieces, size_t length) {
  if (chat_pieces_failed(pieces))
    return NULL;
  char **owned = realloc(pieces->owned, (pieces->n_owned + 1) * sizeof *owned);
  if (owned != NULL)
    pieces->owned = owned;
  char *room = owned == NULL ? NULL : malloc(length + 1);
  if (room == NULL) {
    set_failed(pieces);
    return NULL;
  }
  pieces->owned[pieces->n_owned++] = room;
  return room;
}

void chat_marker(chat_pieces *pieces, const char *text) {
  add(pieces, text, strlen(text), true);
}

void chat_text(chat_pieces *pieces, const char *text) {
  add(pieces, text, strlen(text), false);
}

void chat_content(chat_pieces *pieces, chat_slice content) {
  add(pieces, content.text, content.length, false);
}

static void add_copy(chat_pieces *pieces, const char *text, size_t length, bool marker) {
  char *copy = length == 0 ? NULL : own(pieces, length);
  if (copy == NULL)
    return;
  memcpy(copy, text, length);
  add(pieces, copy, length, marker);
}

void chat_marker_copy(chat_pieces *pieces, const char *text) {
  add_copy(pieces, text, strlen(text), true);
}

void chat_content_copy(chat_pieces *pieces, chat_slice content) {
  add_copy(pieces, content.text, content.length, false);
}

bool chat_unescape(chat_pieces *pieces, const char *literal, size_t length, chat_slice *out) {
  char *copy = own(pieces, length);
  if (copy == NULL)
    return false;
  size_t n = 0;
  for (size_t i = 0; i < length; i++) {
    char c = literal[i];
    if (c == '\\' && i + 1 < length) {
      char next = literal[i + 1];
      char resolved = next == 'n' ? '\n' : next == 't' ? '\t' : strchr("'\"\\", next) != NULL ? next : 0;
      c = resolved != 0 ? resolved : c;
      i += resolved != 0;
    }
    copy[n++] = c;
  }
  *out = (chat_slice){copy, n};
  return true;
}

static bool is_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

chat_slice chat_trim_end(chat_slice text) {
  while (text.length > 0) {
    size_t at = text.length - 1, used;
    while (at > 0 && text.length - at < 4 && ((uint8_t)text.text[at] & 0xC0) == 0x80)
      at--;
    utf8_kind kind = utf8_next(text.text + at, text.length - at, &used);
    if (kind != UTF8_WHOLE || at + used != text.length || !is_space(utf8_decode(text.text + at, used)))
      break;
    text.length = at;
  }
  return text;
}

chat_slice chat_trim(chat_slice text) {
  while (text.length > 0) {
    size_t used;
    if (utf8_next(text.text, text.length, &used) != UTF8_WHOLE || !is_space(utf8_decode(text.text, used)))
      break;
    text.text += used;
    text.length -= used;
  }
  return chat_trim_end(text);
}

void chat_pieces_free(chat_pieces *pieces) {
  for (size_t i = 0; i < pieces->n_owned; i++)
    free(pieces->owned[i]);
  free(pieces->owned);
  free(pieces->data);
  *pieces = (chat_pieces){0};
}
