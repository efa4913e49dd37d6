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

typedef struct search { /* see special_find */
  const special_list *list;
  const char *text;
  size_t length;
  bool parse;
  const uint8_t *marker;
} search;

static bool is_marked(const search *s, const special_token *token, size_t at) {
  return memchr(s->marker + at, 0, token->length) == NULL;
}

/* Whether the text has the token among its markers, anywhere. */
static bool is_marker(const search *s, const special_token *token) {
  for (size_t at = 0; at + token->length <= s->length; at++)
    if (s->marker[at] && memcmp(s->text + at, token->text, token->length) == 0 && is_marked(s, token, at))
      return true;
  return false;
}

static bool allowed(const search *s, const special_token *token, size_t at) {
  if (s->marker == NULL)
    return s->parse || token->always;
  return is_marked(s, token, at) || (token->always && !is_marker(s, token));
}

/* The longest token that begins at `at`; NULL: none. */
static const special_token *longest(const search *s, size_t at) {
  const special_list *list = s->list;
  const char *text = s->text + at;
  const special_token *best = NULL;
  unsigned byte = (uint8_t)text[0];
  uint32_t low = list->first[byte], high = list->first[byte + 1];
  for (size_t depth = 1; low < high; depth++) {
    const special_token *token = &list->tokens[low];
    if (token->length == depth && allowed(s, token, at))
      best = token;
    while (low < high && list->tokens[low].length == depth) /* the same text twice: the first counts */
      low++;
    if (low == high || depth == s->length - at)
      break;
    byte = (uint8_t)text[depth];
    low = lower_bound(list, low, high, depth, byte);
    high = lower_bound(list, low, high, depth, byte + 1);
  }
  return best;
}

bool special_find(const special_list *list, const char *text, size_t length, size_t from, bool parse,
                  const uint8_t *marker, special_match *match) {
  const search s = {list, text, length, parse, marker};
  if (list->n == 0)
    return false;
  for (size_t at = from; at < length; at++) {
    unsigned byte = (uint8_t)text[at];
    if (list->first[byte] == list->first[byte + 1])
      continue;
    const special_token *token = longest(&s, at);
    if (token != NULL) {
      *match = (special_match){at, token->length, token->id};
      return true;
    }
  }
  return false;
}
