/*
 * special.h: finds special tokens that are written out in a text: leftmost first, and of those the longest.
 */
#ifndef HN_SPECIAL_H
#define HN_SPECIAL_H

#include "token_map.h"

typedef struct special_token {
  const char *text; /* borrowed */
  size_t length;    /* >= 1 */
  int32_t id;
  bool always; /* user-defined: found even where special tokens are not parsed */
} special_token;

typedef struct special_list { /* sorted by text, so that a prefix stands before what it begins */
  special_token *tokens;
  uint32_t n;
  uint32_t first[257]; /* tokens whose first byte is b: first[b] .. first[b + 1] */
} special_list;

/* Takes the tokens over (from malloc), also on failure. */
void special_list_init(special_list *list, special_token *tokens, uint32_t n);
void special_list_finish(special_list *list);

typedef struct special_match {
  size_t start, length;
  int32_t id;
} special_match;

/*
 * The next special token at or behind from; false: none. Where marker is NULL, parse says whether tokens other than
 * user-defined ones are found. Else it has a byte for each of text's, and a token is found where all of its bytes are
 * marked; elsewhere only a user-defined one is, and not one that is marked anywhere in the text.
 */
bool special_find(const special_list *list, const char *text, size_t length, size_t from, bool parse,
                  const uint8_t *marker, special_match *match);

#endif
