/*
 * test_tuning: the file of measured constants (runtime/tuning_file.h) on Vulkan device 0: what is written is read again and used; a damaged,
 * cut, foreign or outdated one is ignored, and so are lines that are none of this build's; constants that do not work are given up; no file
 * is no error. drivers/on chooses the driver. Exit 77 where there is no device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/gpu_cache.h"
#include "../runtime/tuning.h"
#include "../runtime/variants.h"
#include "../runtime/weights_gpu.h"
#include "../tools/bench/subject.h"
#include "random_model.h"
#include "test_device.h"

enum { MAX_TEXT = 1 << 16 };

static gpu_device *device;
static char dir[] = "/tmp/hornito-test-XXXXXX", *path, key[GPU_CACHE_KEY];
static int n_failed;

static void check(bool ok, const char *what) {
  if (!ok)
    printf("FAILED: %s\n", what);
  n_failed += !ok;
}

/* A module of a kernel that has constants, and choices of them that no device gets. */
static const char *const name = "matmat_q4_0";
static const uint32_t others[][N_MATMAT_CONSTANTS] = {{256, 16, 2, 8, 2}, {32, 8, 4, 4, 2}};

static uint32_t choices(uint32_t choice, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]) {
  if (choice >= sizeof others / sizeof *others || strncmp(module->name, "matmat", 6) != 0)
    return 0;
  memcpy(constants, others[choice], sizeof others[choice]);
  return N_MATMAT_CONSTANTS;
}

static const spirv_module *module_of(const char *wanted) {
  const spirv_module *m = spirv_modules;
  while (m->name && strcmp(m->name, wanted) != 0)
    m++;
  return m;
}

static bool has(const tuning_file *tuned, const char *module, const uint32_t *want) {
  uint32_t constants[GPU_MAX_CONSTANTS], n = tuning_file_find(tuned, module, constants);
  return n == N_MATMAT_CONSTANTS && memcmp(constants, want, sizeof *others) == 0;
}

/* What a file of this text gives. */
static size_t n_read(const char *text, size_t n, const char *its_key, const spirv_module *modules) {
  tuning_file tuned;
  char *exact = malloc(n ? n : 1); /* a sanitizer sees what is read beyond it */
  memcpy(exact, text, n);
  tuning_file_parse(exact, n, its_key, modules, choices, &tuned);
  size_t found = tuned.n;
  tuning_file_finish(&tuned);
  free(exact);
  return found;
}

static void write_others(void) {
  tuning_file tuned = {0};
  hn_error err = {0};
  const uint32_t wrong[N_MATMAT_CONSTANTS] = {1, 2, 3, 4};
  hn_status status = tuning_file_put(&tuned, name, wrong, 2, &err);
  if (!status)
    status = tuning_file_put(&tuned, "matmat_q8_0", others[1], N_MATMAT_CONSTANTS, &err);
  if (!status)
    status = tuning_file_put(&tuned, "matmat_q6_k", wrong, N_MATMAT_CONSTANTS, &err); /* no choice */
  if (!status)
    status = tuning_file_put(&tuned, "embed_q4_0", wrong, 1, &err); /* a kernel that has none */
  if (!status)
    status = tuning_file_put(&tuned, name, others[0], N_MATMAT_CONSTANTS, &err); /* replaces the first */
  if (!status)
    status = tuning_file_write(device, dir, spirv_modules, &tuned, &err);
  check(!status, err.message);
  tuning_file_finish(&tuned);
}

static size_t read_text(char text[MAX_TEXT]) {
  FILE *file = fopen(path, "rb");
  size_t n = file ? fread(text, 1, MAX_TEXT, file) : 0;
  if (file)
    fclose(file);
  check(n > 0, "no file was written");
  return n;
}

static void test_file(void) {
  static char text[MAX_TEXT];
  static spirv_module altered[512];
  tuning_file tuned;
  write_others();
  tuning_file_read(device, dir, spirv_modules, choices, &tuned);
  check(tuned.n == 2 && has(&tuned, name, others[0]) && has(&tuned, "matmat_q8_0", others[1]), "what was written is not what is read");
  tuning_file_finish(&tuned);
  size_t n = read_text(text), n_modules = 0;
  check(n_read(text, n, key, spirv_modules) == 2, "the text of the file");
  for (size_t i = 0; i < n; i++) {
    text[i] ^= 1;
    check(n_read(text, n, key, spirv_modules) == 0, "damage was not noticed");
    text[i] ^= 1;
    check(n_read(text, i, key, spirv_modules) == 0, "a piece of the file was taken");
  }
  check(n_read(text, n, "00000000000000000000000000000000-00000001", spirv_modules) == 0, "another device's was taken");
  for (; spirv_modules[n_modules].name && n_modules < 511; n_modules++) {
    altered[n_modules] = spirv_modules[n_modules];
    if (strcmp(altered[n_modules].name, name) == 0)
      altered[n_modules].n_bytes--;
  }
  check(n_read(text, n, key, altered) == 1, "constants of another build's shader were taken");
  unlink(path);
  tuning_file_read(device, dir, spirv_modules, choices, &tuned);
  check(tuned.n == 0, "a file that is not there");
  tuning_file_read(device, NULL, spirv_modules, choices, &tuned);
  check(tuned.n == 0, "no folder");
  rmdir(dir);
  write_others(); /* makes the folder */
}

static bool specialized(const kernels *k, const uint32_t *want) {
  return memcmp(k->pipelines[KERNEL_MATMAT][QUANT_Q4_0].constants, want, sizeof *others) == 0;
}

/* Pipelines are made with the constants; where these give other bits, with those of tuning.h. */
static void test_use(void) {
  kernels k;
  variants v;
  selftest *test = NULL;
  threads *pool = NULL;
  hn_error err = {0};
  uint64_t digest = 0;
  uint32_t usual[GPU_MAX_CONSTANTS];
  kernels_init(device, &k);
  tuning_file_read(device, dir, spirv_modules, choices, &k.tuned);
  hn_status status = kernels_use(&k, KERNEL_MATMAT, QUANT_Q4_0, module_of(name), &err);
  check(!status && specialized(&k, others[0]), "the file's constants are not used");
  if (!status)
    status = selftest_create(device, &test, &err);
  if (!status)
    status = selftest_run(test, &k, KERNEL_MATMAT, QUANT_Q4_0, &digest, &err);
  selftest_destroy(&test);
  bool right = digest == selftest_expected(KERNEL_MATMAT, QUANT_Q4_0, 0);
  gpu_pipeline_finish(device, &k.pipelines[KERNEL_MATMAT][QUANT_Q4_0]);
  /* The module alone, so that no other variant takes its place. */
  const spirv_module alone[] = {*module_of(name), {0}};
  if (!status)
    status = variants_init(&k, alone, true, &v, &err);
  if (!status)
    status = threads_create(2, &pool, &err);
  variants_want(&v, KERNEL_MATMAT, QUANT_Q4_0);
  if (!status)
    status = variants_choose(&v, pool, &err);
  tuning_of(&device->info, KERNEL_MATMAT, alone, usual);
  printf("other constants: %s bits\n", right ? "the same" : "other");
  check(!status && specialized(&k, right ? others[0] : usual), status ? err.message : "other constants are used");
  threads_destroy(&pool);
  variants_finish(&v);
  kernels_finish(&k);
}

/* A model that is loaded has them, and works. */
static void test_load(void) {
  static const random_model model = {
      .type = QUANT_Q4_0, .n_embd = 32, .n_ff = 32, .n_layers = 1, .n_heads = 1, .n_kv_heads = 1, .head_dim = 32, .n_vocab = 300};
  char file[64];
  tuning_file tuned = {0};
  subject s;
  hn_error err = {0};
  uint32_t usual[GPU_MAX_CONSTANTS], n = tuning_of(&device->info, KERNEL_MATMAT, module_of(name), usual);
  random_model_save(&model, 1, file);
  hn_status status = tuning_file_put(&tuned, name, usual, n, &err);
  if (!status)
    status = tuning_file_write(device, dir, spirv_modules, &tuned, &err);
  tuning_file_finish(&tuned);
  if (!status)
    status = subject_init(device, file, &(subject_params){.n_ctx = 64, .n_batch = 32, .weights = {.tuning_dir = dir}}, &s, &err);
  check(!status && has(&s.weights->kernels.tuned, name, usual), "a model was loaded without the file");
  if (!status)
    status = subject_eval(&s, 0, 32, &err);
  check(!status, err.message);
  subject_finish(&s);
  unlink(file);
}

int main(void) {
  device = test_device_open(false, NULL);
  printf("%s\n", device->info.name);
  gpu_cache_key(device, key);
  if (!mkdtemp(dir) || !(path = gpu_cache_path(device, dir, "tuning", "txt")))
    return 99;
  test_file();
  test_use();
  test_load();
  unlink(path);
  rmdir(dir);
  free(path);
  test_device_close(&device);
  return n_failed ? 1 : 0;
}
