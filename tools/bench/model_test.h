/* model_test.h: how fast a device is with a model: prompts, decode steps at several depths, the counts and the timeline of a step. */
#ifndef HN_BENCH_MODEL_TEST_H
#define HN_BENCH_MODEL_TEST_H

#include "measure.h"
#include "options.h"

/* Adds a model to the result (and the timeline of a step, and kernels, where the options ask for them). Errors: those of hn_model_load. */
hn_status model_test(measure *m, const bench_options *options, const char *path, bench_result *out, hn_error *err);

#endif
