/* read.h: saved results back from JSON. Nothing in the text is trusted. */
#ifndef HN_BENCH_READ_H
#define HN_BENCH_READ_H

#include "file.h"
#include "result.h"

typedef struct bench_results { /* of several devices; the zero value is empty */
  bench_result *list;
  size_t n;
} bench_results;

/*
 * Reads the results of report_json_text; `name` is what a message calls the text. At least one on success, and nothing
 * to free on failure. A stat that is missing or null was not measured; whatever else fields.c knows must be there with
 * its type, and what it does not know is skipped.
 */
bool bench_read_text(const char *text, size_t length, const char *name, bench_results *results,
                     char message[BENCH_MESSAGE]);

bool bench_read_file(const char *path, bench_results *results, char message[BENCH_MESSAGE]);

void bench_results_finish(bench_results *results);

#endif
