/* variants.h: which of a kernel's variants a device runs: the first that suits it and gives the right bits. */
#ifndef HN_VARIANTS_H
#define HN_VARIANTS_H

#include "selftest.h"
#include "threads.h"

typedef struct variants {
  kernels *kernels;
  const spirv_module *modules; /* ends with an empty one; in a program spirv_modules */
  selftest *test;              /* NULL: nothing is run, the first variant is taken */
  bool wanted[N_KERNELS][N_KERNEL_TYPES];
  uint32_t n_tried, n_wrong; /* modules; those that do not compile or whose bits are wrong */
  uint32_t n_matrix;         /* of n_tried, with cooperative matrices */
  char wrong[512];           /* their names, separated by ", "; "..." where they are too many */
} variants;

/* test_bits: run the self-test. Errors: those of selftest_create. */
hn_status variants_init(kernels *k, const spirv_module *modules, bool test_bits, variants *out, hn_error *err);
void variants_finish(variants *v); /* a zeroed one is accepted; the kernels stay */

/* ---- what a model needs: first all of it is said, then chosen ---- */

void variants_want(variants *v, kernel_id id, uint32_t type);
void variants_want_plain(variants *v, uint32_t kv_type); /* those that need no type of weights, for one type of KV cache */

/* Chooses and compiles what is wanted and not there yet. Drivers compile for seconds: the first variants are compiled on the pool's threads,
 * then run one after the other; a wrong one's next variant is compiled there and then. Of several errors the first in the order of kernels
 * is returned; pipelines may be there then, kernels_finish destroys them. Errors: OUT_OF_MEMORY, UNSUPPORTED (no such kernel), NO_DEVICE
 * (no variant gives the right bits on this device), those of gpu_pipeline_init and selftest_run. */
hn_status variants_choose(variants *v, threads *pool, hn_error *err);

/* Compiles and runs every module of the table, one after the other. Errors: as above, but for wrong bits, which are counted. */
hn_status variants_try_all(variants *v, hn_error *err);

#endif
