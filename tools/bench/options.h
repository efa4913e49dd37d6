/* options.h: the command line of gpu-bench. */
#ifndef HN_BENCH_OPTIONS_H
#define HN_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"

enum { BENCH_MAX_LIST = 8 };

#define BENCH_CACHE "pipelines" /* below cache_path: where hornito has its own */

typedef struct bench_options {
  const char *models[BENCH_MAX_LIST]; /* none: the default model, if it is there */
  uint32_t prompts[BENCH_MAX_LIST], depths[BENCH_MAX_LIST];
  uint32_t n_models, n_prompts, n_depths;
  uint32_t n_decode, runs;
  const char *device;  /* NULL: the best; "all" */
  const char *fits;    /* NULL: not asked for; a model's file, or the name of one that is built in, "" for all of these */
  const char *kernels; /* NULL: not asked for; a part of names, "" for all */
  bool timeline, growth, tune, models_only;
  report_format format;
  const char *save, *compare, *svg;
} bench_options;

typedef enum options_result { OPTIONS_OK, OPTIONS_DONE, OPTIONS_WRONG } options_result;

/* OPTIONS_DONE: help was printed. OPTIONS_WRONG: the mistake was. */
options_result bench_options_parse(int argc, char **argv, bench_options *out);

#endif
