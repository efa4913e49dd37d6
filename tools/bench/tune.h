/* tune.h: gpu-bench --tune: which of the constants that change no bit are the fastest on this device, kept for those who load models on it. */
#ifndef HN_BENCH_TUNE_H
#define HN_BENCH_TUNE_H

#include "../../runtime/gpu.h"
#include "options.h"

/* On each chosen device: measures every choice for every kernel of the models that has one, at the models' shapes, prints a table, and writes
 * the best ones into the file of tuning_file.h in `dir`, where constants of other kernels stay. The exit code, with a message on failure. */
int tune_print(gpu_instance *instance, const bool chosen[], const bench_options *o, const char *dir);

#endif
