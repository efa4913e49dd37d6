/*
 * check_kernels [OPTION...] [PATTERN]: every module of the build, or those whose name contains PATTERN, against the C reference, bit for
 * bit, on Vulkan device 0; see check.h. A module without a check is a failure. drivers/on chooses the driver. Exit 77 where there
 * is no device.
 *     --seed N, --rounds N   of random cases; the seed is printed
 *     --large                the largest shapes of Llama-3.1-8B, the first variant of each module alone: what is large are the indices, which
 *                            variants share
 *     --bench                times them
 *     --validate             with the validation layer, and buffers without guard zones, so that it sees what lies beyond
 *     --fault                each module with a fault (spirv_fault.h): succeeds if the check of every one fails
 *     --overrun              buffers of inputs are too short: succeeds if the layer says so of every module
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../runtime/tuning.h"
#include "check.h"
#include "random_model.h"
#include "spirv_fault.h"
#include "test_device.h"

enum { ROUNDS = 8, FAULT_ROUNDS = 100, BENCH_RUNS = 15 }; /* a fault that is found ends the rounds */

#define BENCH_SECONDS 3.0 /* of a case */

typedef struct kernel_check {
  const char *kernel;
  void (*function)(check *c);
  uint32_t n_large; /* different shapes with check.large */
} kernel_check;

static const kernel_check checks[] = {
    {"argmax", check_argmax, 1},           {"attention", check_attention, 1},         {"attention_prompt", check_attention, 1},
    {"embed", check_embed, 1},             {"matmat", check_matmul, 2},               {"matvec", check_matmul, 3},
    {"matvec_batch", check_matmul, 2},
    {"matvec_norm", check_matvec_norm, 1}, {"matvec_rope", check_matvec_rope, 1},     {"matvec_swiglu", check_matvec_swiglu, 1},
    {"norm_quant", check_norm_quant, 1},   {"quantize", check_quantize, 1},           {"rearrange", check_rearrange, 1},
    {"rope_store", check_rope_store, 1},   {"swiglu_quant", check_swiglu_quant, 1},
};

typedef struct options {
  uint64_t seed, rounds, every; /* of the modules every so manieth, as the seed draws */
  bool large, validate, bench, fault, overrun;
  const char *pattern;
} options;

static bool parse(int argc, char **argv, options *o) {
  *o = (options){.seed = (uint64_t)time(NULL), .rounds = ROUNDS, .every = 1, .pattern = ""};
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
      o->seed = strtoull(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
      o->rounds = strtoull(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--every") == 0 && i + 1 < argc)
      o->every = strtoull(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--large") == 0)
      o->large = true;
    else if (strcmp(argv[i], "--validate") == 0)
      o->validate = true;
    else if (strcmp(argv[i], "--overrun") == 0)
      o->validate = o->overrun = true;
    else if (strcmp(argv[i], "--fault") == 0)
      o->fault = true;
    else if (strcmp(argv[i], "--bench") == 0)
      o->bench = o->large = true;
    else if (argv[i][0] == '-')
      return false;
    else
      o->pattern = argv[i];
  return o->every > 0;
}

static const kernel_check *check_of(const char *kernel) {
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
    if (strcmp(checks[i].kernel, kernel) == 0)
      return &checks[i];
  return NULL;
}

static uint32_t n_messages; /* of the validation layer */
static bool quiet;          /* they are what is wanted */

static void on_log(void *user, hn_log_level level, const char *message) {
  (void)user;
  /* What a layer that looks into shaders says of its own needs. */
  if (level == HN_LOG_ERROR && !strstr(message, "Internal Warning: ")) {
    n_messages++;
    if (!quiet)
      printf("validation: %s\n", message);
  }
}

/* What the random numbers of a module begin with depends on the seed and its name alone, so that one can be run again. */
static uint64_t first_random(const spirv_module *module, const options *o) {
  uint64_t random = o->seed * 2 + 1;
  for (const char *s = module->name; *s; s++)
    random = (random ^ (uint8_t)*s) * 0x100000001B3u | 1;
  return random;
}

/* Runs the module's check, specialized with these constants; false where it finds something. */
static bool check_constants(check *c, const spirv_module *module, const uint32_t *constants, uint32_t n_constants, const options *o) {
  const kernel_check *its = check_of(module->kernel);
  hn_error err = {0};
  uint32_t failed = c->n_failed;
  uint64_t rounds = o->large && its ? its->n_large : o->fault || o->overrun ? FAULT_ROUNDS : o->rounds;
  uint32_t messages = n_messages;
  if (tuning_is_cooperative(module) && c->device->info.type == HN_DEVICE_SOFTWARE)
    rounds = (rounds + 3) / 4; /* they take 4 times as long as others there: tuning_prefers_matrices */
  kernels_init(c->device, &c->kernels);
  c->kernels.kv_type = c->kv_type;
  if (kernels_use_constants(&c->kernels, c->id, c->type, module, constants, n_constants, &err)) {
    printf("FAILED: %s: %s\n", module->name, err.message);
    return false;
  }
  c->random = first_random(module, o);
  for (uint64_t i = 0; i < rounds && c->n_failed == failed && !c->device_failed && !(o->overrun && n_messages > messages); i++)
    its->function(c);
  kernels_finish(&c->kernels);
  if (c->n_failed > failed && n_constants && !c->expects_failure) {
    printf("  with the constants");
    for (uint32_t i = 0; i < n_constants; i++)
      printf(" %u", (unsigned)constants[i]);
    puts("");
  }
  return c->n_failed == failed;
}

/* As this device has it and, where small shapes are proved, as some other may have it: which one depends on the seed. False where one of
 * them is wrong. */
static bool check_module(check *c, const spirv_module *module, const options *o) {
  uint32_t constants[GPU_MAX_CONSTANTS], n, n_choices = 0;
  c->module = module;
  if (!check_of(module->kernel) || !kernel_of(module, &c->id, &c->type)) {
    printf("FAILED: the shader %s has no check\n", module->name);
    return false;
  }
  n = tuning_of(&c->device->info, c->id, module, constants);
  c->kv_type = c->id != KERNEL_MATVEC_ROPE ? c->type : o->fault ? QUANT_Q4_0 /* what is altered is part of that */ : QUANT_Q8_0;
  bool right = check_constants(c, module, constants, n, o);
  if (n == 0 || o->large || o->fault || o->overrun)
    return right;
  while (tuning_choice(n_choices, c->id, module, constants))
    n_choices++;
  if (c->id == KERNEL_MATVEC_ROPE)
    c->kv_type = QUANT_Q4_0;
  uint32_t choice = (uint32_t)(first_random(module, o) >> 32) % n_choices;
  n = tuning_choice(choice, c->id, module, constants);
  while (!tuning_suits(&c->device->info, c->id, module, constants))
    n = tuning_choice(choice = (choice + 1) % n_choices, c->id, module, constants);
  return check_constants(c, module, constants, n, o) && right;
}

/* Whether a fault in the module is found. */
static bool notices_fault(check *c, const spirv_module *module, const options *o) {
  spirv_module broken = *module;
  if (!spirv_fault_put(&broken)) {
    printf("FAILED: no fault for %s\n", module->name);
    return false;
  }
  uint32_t before = c->n_failed;
  c->expects_failure = true;
  check_module(c, &broken, o);
  bool found = c->n_failed > before && !c->device_failed;
  free((void *)(uintptr_t)broken.bytes);
  if (!found)
    printf("FAILED: a fault in %s is not found\n", module->name);
  return found;
}

/* Whether the layer tells of reads beyond a buffer. */
static bool notices_overrun(check *c, const spirv_module *module, const options *o) {
  uint32_t before = n_messages;
  bool ran = check_module(c, module, o);
  if (ran && n_messages == before)
    printf("FAILED: reads beyond a buffer of %s are not found\n", module->name);
  return ran && n_messages > before;
}

static int run(gpu_device *device, const options *o) {
  measure m = {0};
  check c = {.device = device, .measure = o->bench ? &m : NULL, .tight = o->validate, .overrun = o->overrun, .large = o->large};
  hn_error err = {0};
  uint32_t n = 0, n_failed = 0, n_unsuited = 0;
  hn_status status = gpu_cmd_create(c.device, 0, &c.cmd, &err);
  if (!status && o->bench)
    status = measure_init(c.device, BENCH_RUNS, BENCH_SECONDS, &m, &err);
  if (!status)
    printf("%s, seed %" PRIu64 "\n", c.device->info.name, o->seed);
  for (const spirv_module *module = spirv_modules; module->name && !status && !c.device_failed; module++)
    if (strstr(module->name, o->pattern) && !(o->large && !o->bench && *module->variant) &&
        (uint64_t)(module - spirv_modules) % o->every == o->seed % o->every) {
      if (!kernels_suit(&c.device->info, module)) {
        n_unsuited++;
        continue;
      }
      n++;
      n_failed += !(o->fault ? notices_fault : o->overrun ? notices_overrun : check_module)(&c, module, o);
    }
  if (status)
    puts(err.message);
  gpu_cmd_destroy(&c.cmd);
  measure_finish(&m);
  if (n_unsuited)
    printf("%u modules not run: the device lacks what they need\n", (unsigned)n_unsuited);
  printf("%u modules, %u cases, %u modules failed\n", (unsigned)n, (unsigned)c.n_cases, (unsigned)n_failed);
  return status || c.device_failed || n == 0 || n_failed ? 1 : 0;
}

int main(int argc, char **argv) {
  options o;
  if (!parse(argc, argv, &o)) {
    fputs("usage: check_kernels [--seed N] [--rounds N] [--every N] [--large] [--bench] [--validate] [--fault] [--overrun] [PATTERN]\n", stderr);
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  quiet = o.overrun;
  gpu_device *device = test_device_open(o.validate, on_log);
  int code = run(device, &o);
  test_device_close(&device);
  return n_messages && !o.overrun ? 1 : code;
}
