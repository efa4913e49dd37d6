/*
 * report.h: results as tables, JSON, CSV and Markdown. Give the results of several devices one by one, as they are
 * ready.
 */
#ifndef HN_BENCH_REPORT_H
#define HN_BENCH_REPORT_H

#include <stdio.h>

#include "file.h"
#include "result.h"

typedef enum report_format { /* the zero value is the default */
                             REPORT_TABLE,
                             REPORT_JSON,
                             REPORT_CSV,
                             REPORT_MARKDOWN,
} report_format;

/* "table", "json", "csv" or "md". False for anything else. */
bool report_parse_format(const char *name, report_format *format);

/*
 * Writes the result of device `index` (from 0) of `n`. With n > 1, JSON is one line for each device; CSV has its
 * headings before the first. False when memory is short; failures of `out` are the caller's to ask for.
 */
bool report_write(FILE *out, const bench_result *r, size_t index, size_t n, report_format format);

/* The same to stdout, by way of output.h. The exit code, with a message on failure. */
int report_print(const bench_result *r, size_t index, size_t n, report_format format);

/* Writes all results to a file as JSON, all or nothing. False, with a message, when that fails. */
bool report_save(const char *path, const bench_result *results, size_t n, char message[BENCH_MESSAGE]);

/* The results as JSON text, which is the caller's to free; NULL when memory is short. */
char *report_json_text(const bench_result *results, size_t n, size_t *length);

/* What report_write calls. */
bool report_write_table(FILE *out, const bench_result *r, bool markdown);
bool report_write_json(FILE *out, const bench_result *r, bool one_line);
bool report_write_csv(FILE *out, const bench_result *r, bool headings);

#endif
