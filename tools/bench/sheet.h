/* sheet.h: tables for people, aligned by blanks or in Markdown. */
#ifndef HN_BENCH_SHEET_H
#define HN_BENCH_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "../output.h"
#include "result.h"

enum {
  SHEET_CELL = 160, /* bytes of a cell at most; what is longer is cut */
  NUMBER_TEXT = 32, /* room for number_text */
};

/* The zero value with `columns` is an empty table. */
typedef struct sheet {
  const char *columns; /* a letter for each: l or r, its alignment */
  char (*cells)[SHEET_CELL];
  size_t n;
  bool failed; /* memory was short */
} sheet;

/* Adds the next cell, row by row; the first row is the headings. Control characters become blanks. */
void sheet_cell(sheet *s, const char *format, ...) PRINTF_LIKE(2, 3);

/* Two cells: the median, and "(min .. max)" when there were several runs. "-" when it was not measured. */
void sheet_stat(sheet *s, bench_stat value);

/* A cell with a number, "-" for NAN, and `after` behind it. */
void sheet_number(sheet *s, double number, const char *after);

/* Prints the rows and frees them. False when memory was short. */
bool sheet_print(sheet *s, FILE *out, bool markdown);

/* Three digits that matter, all of those before the point, no exponent where it can be helped: "0.0123", "1.23", "123",
 * "12345". "-" for what is not finite. Returns text. */
const char *number_text(double number, char text[NUMBER_TEXT]);

/* "(118 .. 130)", or "" for less than two runs. Returns text. */
const char *range_text(bench_stat value, char text[3 * NUMBER_TEXT]);

/* Writes a text with control characters as blanks and, for Markdown, with its marks escaped. */
void sheet_text(FILE *out, const char *text, bool markdown);

#endif
