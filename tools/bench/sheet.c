/* sheet.c: see sheet.h. */
#include "sheet.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_PLAIN 1e9   /* above, an exponent is easier to read */
#define SMALLEST_PLAIN 1e-4 /* below as well */

const char *number_text(double number, char text[NUMBER_TEXT]) {
  double size = fabs(number);
  if (!isfinite(number))
    snprintf(text, NUMBER_TEXT, "-");
  else if (size != 0.0 && (size >= LARGEST_PLAIN || size < SMALLEST_PLAIN))
    snprintf(text, NUMBER_TEXT, "%.2e", number);
  else {
    /* The digits before the point are counted after rounding to three digits: 9.999 is 10.0, not 10.00. */
    char rounded[NUMBER_TEXT];
    snprintf(rounded, sizeof rounded, "%.2e", number);
    int exponent = atoi(strchr(rounded, 'e') + 1);
    snprintf(text, NUMBER_TEXT, "%.*f", size == 0.0 || exponent >= 2 ? 0 : 2 - exponent, number);
  }
  return text;
}

const char *range_text(bench_stat value, char text[3 * NUMBER_TEXT]) {
  char low[NUMBER_TEXT], high[NUMBER_TEXT];
  if (!bench_measured(value) || value.runs < 2)
    text[0] = 0;
  else
    snprintf(text, 3 * NUMBER_TEXT, "(%s .. %s)", number_text(value.min, low), number_text(value.max, high));
  return text;
}

void sheet_cell(sheet *s, const char *format, ...) {
  size_t columns = strlen(s->columns);
  if (s->n % columns == 0) { /* room for a row */
    char(*grown)[SHEET_CELL] = realloc(s->cells, (s->n + columns) * sizeof *grown);
    if (grown == NULL) {
      s->failed = true;
      return;
    }
    s->cells = grown;
    memset(grown + s->n, 0, columns * sizeof *grown);
  }
  char *cell = s->cells[s->n++];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(cell, SHEET_CELL, format, arguments);
  va_end(arguments);
  for (char *c = cell; *c != 0; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7F)
      *c = ' ';
}

void sheet_stat(sheet *s, bench_stat value) {
  char text[3 * NUMBER_TEXT];
  sheet_cell(s, "%s", number_text(bench_measured(value) ? value.median : (double)NAN, text));
  sheet_cell(s, "%s", range_text(value, text));
}

void sheet_number(sheet *s, double number, const char *after) {
  char text[NUMBER_TEXT];
  sheet_cell(s, "%s%s", number_text(number, text), isfinite(number) ? after : "");
}

void sheet_text(FILE *out, const char *text, bool markdown) {
  for (const char *c = text; *c != 0; c++) {
    if (markdown && strchr("\\|<>*`", *c) != NULL)
      fputc('\\', out);
    fputc((unsigned char)*c < 0x20 || *c == 0x7F ? ' ' : *c, out);
  }
}

/* Characters, not bytes: a byte that continues a character takes no place. */
static size_t width_of(const char *text) {
  size_t n = 0;
  for (; *text != 0; text++)
    n += ((unsigned char)*text & 0xC0) != 0x80;
  return n;
}

static void print_blanks(FILE *out, size_t n) {
  fprintf(out, "%*s", (int)n, "");
}

static void print_row(const sheet *s, size_t row, const size_t *widths, FILE *out) {
  size_t columns = strlen(s->columns), blanks = 0; /* written before the next cell, so that no line ends in blanks */
  for (size_t c = 0; c < columns; c++) {
    const char *cell = s->cells[row * columns + c];
    size_t missing = widths[c] - width_of(cell);
    if (cell[0] != 0) {
      print_blanks(out, blanks + (s->columns[c] == 'r' ? missing : 0));
      fputs(cell, out);
      blanks = s->columns[c] == 'r' ? 0 : missing;
    } else
      blanks += missing;
    blanks += 2;
  }
  fputc('\n', out);
}

static void print_markdown(const sheet *s, FILE *out) {
  size_t columns = strlen(s->columns);
  for (size_t row = 0; row < s->n / columns; row++) {
    for (size_t c = 0; c < columns; c++) {
      fputs("| ", out);
      sheet_text(out, s->cells[row * columns + c], true);
      fputc(' ', out);
    }
    fputs("|\n", out);
    if (row > 0)
      continue;
    for (size_t c = 0; c < columns; c++)
      fputs(s->columns[c] == 'r' ? "|--:" : "|---", out);
    fputs("|\n", out);
  }
}

bool sheet_print(sheet *s, FILE *out, bool markdown) {
  size_t columns = strlen(s->columns), n_rows = s->n / columns;
  size_t *widths = calloc(columns, sizeof *widths);
  bool ok = !s->failed && widths != NULL;
  if (ok && markdown)
    print_markdown(s, out);
  else if (ok) {
    for (size_t i = 0; i < n_rows * columns; i++) {
      size_t width = width_of(s->cells[i]);
      widths[i % columns] = width > widths[i % columns] ? width : widths[i % columns];
    }
    for (size_t row = 0; row < n_rows; row++)
      print_row(s, row, widths, out);
  }
  free(widths);
  free(s->cells);
  *s = (sheet){.columns = s->columns};
  return ok;
}
