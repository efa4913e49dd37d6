/* special.c: see special.h. */
#include <stdlib.h>
#include <string.h>

#include "special.h"

static int by_text(const void *a, const void *b) {
  const special_token *x = a, *y = b;
  int order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);
  if (order != 0)
    return order;
  if (x->length != y->length)
    return x->length < y->length ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

void special_list_init(special_list *list, special_token *tokens, uint32_t n) {
  *list = (special_list){.tokens = tokens, .n = n};
  if (n > 0)
    qsort(tokens, n, sizeof *tokens, by_text);
  uint32_t at = 0;
  for (unsigned byte = 0; byte < 256; byte++) {
    list->first[byte] = at;
    while (at < n && (uint8_t)tokens[at].text[0] == byte)
      at++;
  }
  list->first[256] = at;
}

void special_list_finish(special_list *list) {
  free(list->tokens);
  *list = (special_list){0};
}

/* The first of tokens low .. high whose byte at depth is at least `byte`; all of them are longer than depth. */
static uint32_t lower_bound(const special_list *list, uint32_t low, uint32_t high, size_t depth, unsigned byte) {
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if ((uint8_t)list->tokens[middle].text[depth] < byte)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool allowed(const special_token *token, bool parse, const uint8_t *marker) {
  if (token->always)
    return true;
  return marker == NULL ? parse : memchr(marker, 0, token->length) == NULL;
}

/* The longest token that begins at text; NULL: none. */
static const special_token *longest(const special_list *list, const char *text, size_t left, bool parse,
                                    const uint8_t *marker) {
  const special_token *best = NULL;
  unsigned byte = (uint8_t)text[0];
  uint32_t low = list->first[byte], high = list->first[byte + 1];
  for (size_t depth = 1; low < high; depth++) {
    const special_token *token = &list->tokens[low];
    if (token->length == depth && allowed(token, parse, marker))
      best = token;
    while (low < high && list->tokens[low].length == depth) /* the same text twice: the first counts */
      low++;
    if (low == high || depth == left)
      break;
    byte = (uint8_t)text[depth];
    low = lower_bound(list, low, high, depth, byte);
    high = lower_bound(list, low, high, depth, byte + 1);
  }
  return best;
}

bool special_find(const special_list *list, const char *text, size_t length, size_t from, bool parse,
                  const uint8_t *marker, special_match *match) {
  if (list->n == 0)
    return false;
  for (size_t at = from; at < length; at++) {
    unsigned byte = (uint8_t)text[at];
    if (list->first[byte] == list->first[byte + 1])
      continue;
    const special_token *token = longest(list, text + at, length - at, parse, marker == NULL ? NULL : marker + at);
    if (token != NULL) {
      *match = (special_match){at, token->length, token->id};
      return true;
    }
  }
  return false;
}
