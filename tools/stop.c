/* stop.c: see stop.h. */
#include "stop.h"

#include <stdlib.h>
#include <string.h>

bool stop_matcher_init(stop_matcher *m, const char *const *strings, size_t n_strings) {
  *m = (stop_matcher){.strings = strings, .n_strings = n_strings};
  size_t longest = 0;
  for (size_t i = 0; i < n_strings; i++)
    longest = strlen(strings[i]) > longest ? strlen(strings[i]) : longest;
  m->held = malloc(longest + 1);
  m->ready = malloc(longest + 1);
  if (m->held != NULL && m->ready != NULL)
    return true;
  stop_matcher_finish(m);
  return false;
}

void stop_matcher_finish(stop_matcher *m) {
  free(m->held);
  free(m->ready);
  *m = (stop_matcher){0};
}

/* Hands out the first n held bytes. */
static size_t release(stop_matcher *m, size_t n) {
  memcpy(m->ready, m->held, n);
  m->n_held -= n;
  memmove(m->held, m->held + n, m->n_held);
  return n;
}

/* True when the text from held[from] on is the beginning of a stop string. */
static bool begins_one(const stop_matcher *m, size_t from) {
  for (size_t i = 0; i < m->n_strings; i++)
    if (strncmp(m->strings[i], m->held + from, m->n_held - from) == 0)
      return true;
  return false;
}

size_t stop_matcher_push(stop_matcher *m, char byte) {
  m->held[m->n_held++] = byte;
  size_t longest = 0;
  for (size_t i = 0; i < m->n_strings; i++) {
    size_t length = strlen(m->strings[i]);
    if (length > longest && length <= m->n_held && memcmp(m->held + m->n_held - length, m->strings[i], length) == 0) {
      longest = length;
      m->found = m->strings[i];
    }
  }
  if (m->found != NULL)
    return release(m, m->n_held - longest);
  size_t from = 0;
  while (from < m->n_held && !begins_one(m, from))
    from++;
  return release(m, from);
}
