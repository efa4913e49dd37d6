/*
 * test_variants: the self-test at load on Vulkan device 0: every module gives the right bits, within TEST_MS; a wrong one is replaced by the
 * next variant; where none is right, the error names the kernel, the first of several; a fault in any single module is found. drivers/on
 * chooses the driver. Exit 77 where there is no device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../runtime/variants.h"
#include "spirv_fault.h"
#include "test_device.h"

enum { MAX_MODULES = 256, TEST_MS = 50 };

static gpu_device *device;
static threads *pool;
static spirv_module modules[MAX_MODULES]; /* a copy of spirv_modules, with faults */
static size_t n_modules;
static int n_failed;

static void check(bool ok, const char *what, const char *name) {
  if (!ok)
    printf("FAILED: %s: %s\n", name, what);
  n_failed += !ok;
}

static void restore(void) {
  for (size_t i = 0; i < n_modules; i++)
    if (modules[i].name && modules[i].bytes != spirv_modules[i].bytes)
      free((void *)(uintptr_t)modules[i].bytes);
  for (n_modules = 0; spirv_modules[n_modules].name && n_modules < MAX_MODULES - 1; n_modules++)
    modules[n_modules] = spirv_modules[n_modules];
}

static void put_fault(size_t i) {
  check(spirv_fault_put(&modules[i]), "nothing to alter", modules[i].name);
}

typedef struct outcome {
  hn_status status;
  hn_error err;
  uint32_t n_wrong;
  char wrong[512];
  const char *taken; /* the module's name; NULL: none */
} outcome;

static outcome add(kernel_id id, uint32_t type) {
  kernels k;
  variants v;
  outcome o = {0};
  kernels_init(device, &k);
  o.status = variants_init(&k, modules, true, &v, &o.err);
  variants_want(&v, id, type);
  if (!o.status)
    o.status = variants_choose(&v, pool, &o.err);
  o.n_wrong = v.n_wrong;
  memcpy(o.wrong, v.wrong, sizeof o.wrong);
  o.taken = k.pipelines[id][type].name;
  variants_finish(&v);
  kernels_finish(&k);
  return o;
}

static void test_next_variant(void) {
  restore();
  outcome good = add(KERNEL_MATVEC, QUANT_Q4_0);
  check(!good.status && good.n_wrong == 0 && good.taken, "the first variant is not right", "matvec_q4_0");
  for (size_t i = 0; good.taken && i < n_modules; i++)
    if (strcmp(modules[i].name, good.taken) == 0)
      put_fault(i);
  outcome next = add(KERNEL_MATVEC, QUANT_Q4_0);
  check(!next.status && next.taken && good.taken && strcmp(next.taken, good.taken) != 0, "no other variant was taken", "matvec_q4_0");
  check(next.n_wrong == 1 && good.taken && strcmp(next.wrong, good.taken) == 0, "the wrong module is not noted", "matvec_q4_0");
  for (size_t i = 0; next.taken && i < n_modules; i++)
    if (strcmp(modules[i].name, next.taken) == 0)
      put_fault(i);
  outcome none = add(KERNEL_MATVEC, QUANT_Q4_0);
  check(none.status == HN_ERROR_NO_DEVICE && !none.taken && none.n_wrong == 2, "a wrong variant was taken", "matvec_q4_0");
  check(strstr(none.err.message, "matvec") != NULL, "the error does not name the kernel", "matvec_q4_0");
  printf("%s\n", none.err.message);
}

/* The self-test of modules[first] .. modules[last], but for those that the device cannot run, finds n_wrong of them. */
static void try_modules(size_t first, size_t last, uint32_t n_wrong) {
  kernels k;
  variants v;
  hn_error err = {0};
  uint32_t n_suited = 0;
  modules[last + 1] = (spirv_module){0};
  for (size_t i = first; i <= last; i++)
    n_suited += kernels_suit(&device->info, &modules[i]);
  kernels_init(device, &k);
  k.kv_type = QUANT_Q4_0; /* what is altered is part of that */
  hn_status status = variants_init(&k, modules + first, true, &v, &err);
  if (!status)
    status = variants_try_all(&v, &err);
  check(!status, err.message, modules[first].name);
  check(v.n_tried == n_suited, "not all modules were run", modules[first].name);
  check(v.n_wrong == n_wrong, n_wrong ? "the fault was not found" : v.wrong, modules[first].name);
  variants_finish(&v);
  kernels_finish(&k);
}

/* In every `step`th module, from a drawn one on. */
static void test_faults(size_t step) {
  size_t first = (size_t)time(NULL) % step;
  printf("faults in modules %zu, %zu, ...\n", first, first + step);
  restore();
  try_modules(0, n_modules - 1, 0);
  for (size_t i = first; i < n_modules; i += step) {
    restore();
    if (!kernels_suit(&device->info, &modules[i]))
      continue;
    put_fault(i);
    try_modules(i, i, 1);
  }
}

/* Two kernels without a right variant: whatever thread is first, the error is that of the first kernel, and all is freed. */
static void test_first_error(void) {
  restore();
  for (size_t i = 0; i < n_modules; i++)
    if (strcmp(modules[i].type, "q4_0") == 0 && strcmp(modules[i].kernel, "matmat") != 0)
      put_fault(i);
  for (int run = 0; run < 3; run++) {
    kernels k;
    variants v;
    hn_error err = {0};
    kernels_init(device, &k);
    hn_status status = variants_init(&k, modules, true, &v, &err);
    variants_want(&v, KERNEL_MATMAT, QUANT_Q4_0);
    variants_want(&v, KERNEL_MATVEC, QUANT_Q4_0);
    variants_want(&v, KERNEL_EMBED, QUANT_Q4_0);
    if (!status)
      status = variants_choose(&v, pool, &err);
    check(status == HN_ERROR_NO_DEVICE && strstr(err.message, "embed"), err.message, "embed_q4_0");
    variants_finish(&v);
    kernels_finish(&k);
  }
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* What a model with two types of weights needs, without the pipelines: the best of some runs. */
static double measure(void) {
  static const struct {
    kernel_id id;
    uint32_t type;
  } needed[] = {{KERNEL_NORM_QUANT, 0},         {KERNEL_QUANTIZE, 0},        {KERNEL_SWIGLU_QUANT, 0},    {KERNEL_ROPE_STORE, QUANT_Q8_0},
                {KERNEL_ATTENTION, QUANT_Q8_0}, {KERNEL_ARGMAX, 0},          {KERNEL_EMBED, QUANT_Q4_K},  {KERNEL_MATVEC, QUANT_Q6_K},
                {KERNEL_MATVEC_ROPE, QUANT_Q4_K},  {KERNEL_MATVEC_ROPE, QUANT_Q6_K},  {KERNEL_MATVEC_NORM, QUANT_Q4_K},
                {KERNEL_MATVEC_NORM, QUANT_Q6_K},  {KERNEL_MATVEC_SWIGLU, QUANT_Q4_K}, {KERNEL_MATVEC_BATCH, QUANT_Q4_K},
                {KERNEL_MATVEC_BATCH, QUANT_Q6_K}, {KERNEL_MATMAT, QUANT_Q4_K},       {KERNEL_MATMAT, QUANT_Q6_K},
                {KERNEL_REARRANGE, QUANT_Q4_K},    {KERNEL_REARRANGE, QUANT_Q6_K}};
  const size_t n = sizeof needed / sizeof *needed;
  kernels k;
  variants v;
  hn_error err = {0};
  double best = 1e9;
  kernels_init(device, &k);
  hn_status status = variants_init(&k, modules, false, &v, &err);
  for (size_t i = 0; i < n; i++)
    variants_want(&v, needed[i].id, needed[i].type);
  if (!status)
    status = variants_choose(&v, pool, &err);
  for (int run = 0; run < 5 && !status; run++) {
    selftest *test;
    double start = now_ms();
    status = selftest_create(device, &test, &err);
    for (size_t i = 0; i < n && !status; i++) {
      uint64_t digest;
      status = selftest_run(test, &k, needed[i].id, needed[i].type, &digest, &err);
    }
    selftest_destroy(&test);
    best = now_ms() - start < best ? now_ms() - start : best;
  }
  check(!status, err.message, "the time");
  variants_finish(&v);
  kernels_finish(&k);
  return best;
}

static void test_time(void) {
  restore();
  double ms = measure();
  printf("the self-test of a model takes %.1f ms\n", ms);
  /* SwiftShader is several times slower than what a user has. */
  check(ms < (double)TEST_MS || strstr(device->info.name, "SwiftShader"), "too slow", "the self-test");
}

/* test_variants [STEP]: faults are tried in every STEPth module (3). */
int main(int argc, char **argv) {
  size_t step = argc > 1 ? strtoul(argv[1], NULL, 10) : 3;
  device = test_device_open(false, NULL);
  printf("%s\n", device->info.name);
  if (threads_create(4, &pool, NULL))
    return 1;
  test_next_variant();
  test_first_error();
  test_faults(step ? step : 1);
  test_time();
  restore();
  threads_destroy(&pool);
  test_device_close(&device);
  return n_failed ? 1 : 0;
}
