/* terminal.h: progress on stderr, and sizes for people. */
#ifndef HN_TOOLS_TERMINAL_H
#define HN_TOOLS_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

enum { HUMAN_SIZE = 32 }; /* room for human_bytes and human_count */

/*
 * Shows how far something is: a bar on a terminal; elsewhere a line every few seconds. Call it as often as you like.
 * note: more to show, or "".
 */
void progress_show(const char *what, uint64_t done, uint64_t total, const char *note);

/* Takes the bar away, if there is one, before something else is printed. */
void progress_clear(void);

/* "1.5 GiB". Returns text. */
const char *human_bytes(uint64_t bytes, char text[HUMAN_SIZE]);

/* "135 M". Returns text. */
const char *human_count(uint64_t count, char text[HUMAN_SIZE]);

/* Seconds of a clock that never goes back. */
double now_seconds(void);

#endif
