/*
 * stop.h: finds stop strings in a text that arrives byte by byte, and holds back what could be the beginning of one.
 * The first one that is complete counts, of several at the same byte the longest; so the cut does not depend on how the
 * text was split into tokens.
 */
#ifndef HN_TOOLS_STOP_H
#define HN_TOOLS_STOP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct stop_matcher {
  const char *const *strings; /* the caller's */
  size_t n_strings;
  char *held; /* the text's end that is not decided yet */
  size_t n_held;
  char *ready;       /* what the last push decided */
  const char *found; /* the stop string that ended the text; NULL before */
} stop_matcher;

/* strings: not empty ones. They must outlive the matcher. False when there is no memory. */
bool stop_matcher_init(stop_matcher *m, const char *const *strings, size_t n_strings);
void stop_matcher_finish(stop_matcher *m);

/* Takes the next byte. Returns how many bytes in m->ready are now known to belong to the text. */
size_t stop_matcher_push(stop_matcher *m, char byte);

#endif
