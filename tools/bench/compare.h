/* compare.h: what became slower since a saved result. */
#ifndef HN_BENCH_COMPARE_H
#define HN_BENCH_COMPARE_H

#include <stdio.h>

#include "read.h"
#include "result.h"

/* Percent. Runs of one machine differ by some from day to day: clocks, temperature, other programs. */
#define BENCH_NOISE_PERCENT 5

#define BENCH_TEXT_OF(number) #number
#define BENCH_WORDS_OF(number) BENCH_TEXT_OF(number)

/* The rule as a sentence, for --help. */
#define BENCH_COMPARE_RULE                                                                                             \
  "slower: every run is worse than every run before, and the median is worse by more than " BENCH_WORDS_OF(            \
      BENCH_NOISE_PERCENT) " %"

typedef struct bench_changes {
  size_t n_compared;         /* metrics in both results that can be better or worse */
  size_t n_slower, n_faster; /* of them */
  size_t n_unmatched;        /* metrics in one of the results alone */
} bench_changes;

/*
 * Writes a table of what was measured then and now, and marks what became slower beyond the noise: where all runs now
 * are worse than all runs then, and the median is worse by more than BENCH_NOISE_PERCENT. Speeds and times alone can
 * become slower. Counts and bytes are shown where they changed; GB/s of a test or a kernel are not, because fewer bytes
 * for the same work are no loss. Each device is compared with the old result of the same name, or else the first one,
 * with a note.
 *
 * False, with a message, when the file cannot be read or memory is short.
 */
bool bench_compare(FILE *out, const bench_result *results, size_t n, const char *path, bench_changes *changes,
                   char message[BENCH_MESSAGE]);

/* The same to stdout, by way of output.h, or to stderr, where stdout is for programs. EXIT_OK; EXIT_FAILED when anything became slower;
 * EXIT_USAGE, with a message,
 * when the file is not to be used, or has nothing to compare. */
int bench_compare_print(const bench_result *results, size_t n, const char *path, bool to_stdout);

#endif
