/* kernel_test.h: every kernel of a decode step and of a prompt, each at its shapes, alone and with cold caches. */
#ifndef HN_BENCH_KERNEL_TEST_H
#define HN_BENCH_KERNEL_TEST_H

#include "measure.h"
#include "subject.h"

/* Adds the kernels whose name contains pattern. They are launched again and again with the buffers of the subject, whose contents are of
 * no use afterwards. Errors: those of measure_recorded. */
hn_status kernel_test(measure *m, subject *s, uint32_t depth, uint32_t n_prompt, const char *pattern, bench_result *out, hn_error *err);

/* Microseconds that the dispatches of one module take, each measured as above: those of a prompt of n_prompt tokens and n_decode times those of
 * a token at a depth. */
hn_status kernel_time(measure *m, subject *s, uint32_t depth, uint32_t n_prompt, uint32_t n_decode, const char *module, double *us, hn_error *err);

#endif
