/*
 * chat_pieces.h: how chat.c builds a list of pieces.
 *
 * Nothing here has to be checked at each call: after a failed allocation all that follows is dropped, and
 * chat_pieces_failed tells at the end.
 */
#ifndef HN_CHAT_PIECES_H
#define HN_CHAT_PIECES_H

#include "chat.h"

typedef struct chat_slice {
  const char *text;
  size_t length;
} chat_slice;

bool chat_pieces_failed(const chat_pieces *pieces);

/* Empty pieces are left out. The text is not copied, except by ..._copy. */
void chat_marker(chat_pieces *pieces, const char *text);
void chat_marker_copy(chat_pieces *pieces, const char *text);
void chat_text(chat_pieces *pieces, const char *text); /* of the template, without special tokens */
void chat_content(chat_pieces *pieces, chat_slice content);
void chat_content_copy(chat_pieces *pieces, chat_slice content);

/* A string literal's text with \n, \t, \', \" and \\ resolved, owned by the list. False: no memory. */
bool chat_unescape(chat_pieces *pieces, const char *literal, size_t length, chat_slice *out);

/* Without white space at both ends, or at the end: that of Python's str.strip, which templates call. */
chat_slice chat_trim(chat_slice text);
chat_slice chat_trim_end(chat_slice text);

#endif
