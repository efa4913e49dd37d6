/*
 * output.h: all that the program writes to stdout and stderr.
 *
 * What goes to a terminal is stripped of control characters other than line feed and tab, because texts of models and
 * strings of files are not ours and could steer the terminal.
 */
#ifndef HN_TOOLS_OUTPUT_H
#define HN_TOOLS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__GNUC__)
#define PRINTF_LIKE(index, first) __attribute__((format(printf, index, first)))
#else
#define PRINTF_LIKE(index, first)
#endif

/* To stdout. A failure is kept until out_flush. */
void out_write(const char *text, size_t length);
void out_printf(const char *format, ...) PRINTF_LIKE(1, 2);

/* Flushes stdout. False when anything could not be written so far. */
bool out_flush(void);

/* The same at the end of the program: prints the failure, and returns the exit code that `code` becomes. */
int out_finish(int code);

/* The program's name in its errors; a static string. Before the call it is hornito. */
void out_name(const char *name);

/* Prints the program's name, a colon and one line to stderr. */
void print_error(const char *format, ...) PRINTF_LIKE(1, 2);

/* Prints one line to stderr. */
void print_note(const char *format, ...) PRINTF_LIKE(1, 2);

/*
 * Takes control characters out of text, in place; returns the new length. *ends_with_c2: the last byte was C2, which
 * may begin a control character, and was taken out as well.
 */
size_t strip_controls(char *text, size_t length, bool *ends_with_c2);

/* Bytes of the UTF-8 character at text (length >= 1 bytes); 0 when there is no whole, valid one. */
size_t utf8_length(const char *text, size_t length);

#endif
