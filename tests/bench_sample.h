/* bench_sample.h: a made-up result of gpu-bench, with a value in every field and no two alike. */
#ifndef HN_TESTS_BENCH_SAMPLE_H
#define HN_TESTS_BENCH_SAMPLE_H

#include "../tools/bench/result.h"

/* False when memory is short. The caller's to bench_finish, also then. */
bool bench_sample(bench_result *r);

#endif
