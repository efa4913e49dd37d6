/* output.c: see output.h. */
#include "output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "terminal.h"

enum {
  LINE_LENGTH = 2048, /* of a message; longer than any hn_error's */
  PIECE = 4096,       /* bytes stripped at a time */
};

static const char *program = "hornito";
static int failure; /* errno of the first write to stdout that failed; 0: none did */
static bool out_c2; /* the last piece ended with the first half of a character */

size_t strip_controls(char *text, size_t length, bool *ends_with_c2) {
  size_t n = 0;
  bool c2 = false;
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    /* U+0080 .. U+009F are control characters too: C2 80 .. C2 9F in UTF-8. A C2 is written with what follows it. */
    if (c2) {
      c2 = false;
      if (c >= 0x80 && c <= 0x9F)
        continue;
      if (c >= 0xA0 && c <= 0xBF)
        text[n++] = (char)0xC2;
    }
    if (c == 0xC2)
      c2 = true;
    else if ((c >= 0x20 && c != 0x7F) || c == '\n' || c == '\t')
      text[n++] = (char)c;
  }
  *ends_with_c2 = c2;
  return n;
}

static void note_failure(void) {
  if (failure == 0)
    failure = errno != 0 ? errno : EIO;
}

static void write_all(const char *text, size_t length) {
  errno = 0;
  if (length > 0 && fwrite(text, 1, length, stdout) != length)
    note_failure();
}

void out_write(const char *text, size_t length) {
  if (!isatty(STDOUT_FILENO)) {
    write_all(text, length);
    return;
  }
  while (length > 0) {
    char piece[PIECE + 1];
    size_t n = length < PIECE ? length : PIECE;
    /* The spare byte takes a C2 that the piece before ended with. */
    size_t carried = out_c2 ? 1 : 0;
    piece[0] = (char)0xC2;
    memcpy(piece + carried, text, n);
    write_all(piece, strip_controls(piece, n + carried, &out_c2));
    text += n;
    length -= n;
  }
}

void out_printf(const char *format, ...) {
  char line[LINE_LENGTH];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (n > 0)
    out_write(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

bool out_flush(void) {
  errno = 0;
  if (fflush(stdout) != 0 || ferror(stdout))
    note_failure();
  return failure == 0;
}

int out_finish(int code) {
  if (out_flush())
    return code;
  print_error("standard output cannot be written: %s", strerror(failure));
  return code == 0 ? 1 : code;
}

/* One line to stderr, whatever is in it. */
static void print_line(const char *prefix, const char *format, va_list arguments) {
  char line[LINE_LENGTH];
  int n = vsnprintf(line, sizeof line, format, arguments);
  if (n < 0)
    return;
  bool c2 = false;
  size_t length = strip_controls(line, strlen(line), &c2);
  for (size_t i = 0; i < length; i++)
    if (line[i] == '\n' || line[i] == '\t')
      line[i] = ' ';
  progress_clear();
  fprintf(stderr, "%s%.*s\n", prefix, (int)length, line);
}

void out_name(const char *name) {
  program = name;
}

void print_error(const char *format, ...) {
  char prefix[64];
  va_list arguments;
  va_start(arguments, format);
  snprintf(prefix, sizeof prefix, "%s: ", program);
  print_line(prefix, format, arguments);
  va_end(arguments);
}

void print_note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print_line("", format, arguments);
  va_end(arguments);
}

size_t utf8_length(const char *text, size_t length) {
  const unsigned char *u = (const unsigned char *)text;
  if (u[0] < 0x80)
    return 1;
  size_t n = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
  if (u[0] < 0xC2 || u[0] > 0xF4 || n > length)
    return 0;
  for (size_t i = 1; i < n; i++)
    if ((u[i] & 0xC0) != 0x80)
      return 0;
  /* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
  if ((u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F) || (u[0] == 0xF0 && u[1] < 0x90) ||
      (u[0] == 0xF4 && u[1] > 0x8F))
    return 0;
  return n;
}
