/* fits.h: gpu-bench --fits: whether models fit a device, and with how long a context, by their plans alone. */
#ifndef HN_BENCH_FITS_H
#define HN_BENCH_FITS_H

#include "../../runtime/gpu.h"
#include "options.h"

/* Prints it for each chosen device. The exit code: 0 if all that is asked for fits everywhere; what went wrong is printed. */
int fits_print(const gpu_instance *instance, const bool chosen[], size_t n_chosen, const bench_options *o);

#endif
