/*
 * check_kernels [--seed N] [--rounds N] [--large] [--tight] [--validate] [--bench] [PATTERN]: every module of the build, or those whose
 * name contains PATTERN, against the C reference, bit for bit, on Vulkan device 0; see check.h. --bench: times the largest shapes.
 * A module without a check is a failure. drivers/run chooses the driver. Exit 77 where there is no device.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "random_model.h"

enum { EXIT_SKIPPED = 77, ROUNDS = 12, MAX_STAMPS = 2 };

static const struct {
  const char *kernel;
  void (*check)(check *c);
} checks[] = {
    {"argmax", check_argmax},         {"attention", check_attention}, {"embed", check_embed},
    {"matmat", check_matmul},         {"matvec", check_matmul},       {"norm_quant", check_norm_quant},
    {"quantize", check_quantize},     {"rope_store", check_rope_store}, {"swiglu_quant", check_swiglu_quant},
};

typedef struct options {
  uint64_t seed, rounds;
  bool large, tight, validate, bench;
  const char *pattern;
} options;

static bool parse(int argc, char **argv, options *o) {
  *o = (options){.seed = (uint64_t)time(NULL), .rounds = ROUNDS, .pattern = ""};
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
      o->seed = strtoull(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
      o->rounds = strtoull(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--large") == 0)
      o->large = true;
    else if (strcmp(argv[i], "--tight") == 0)
      o->tight = true;
    else if (strcmp(argv[i], "--validate") == 0)
      o->validate = true;
    else if (strcmp(argv[i], "--bench") == 0)
      o->bench = o->large = true;
    else if (argv[i][0] == '-')
      return false;
    else
      o->pattern = argv[i];
  return true;
}

static void (*check_of(const char *kernel))(check *) {
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
    if (strcmp(checks[i].kernel, kernel) == 0)
      return checks[i].check;
  return NULL;
}

static bool check_module(check *c, const spirv_module *module, const options *o) {
  void (*function)(check *) = check_of(module->kernel);
  hn_error err = {0};
  uint32_t failed = c->n_failed;
  uint64_t rounds = o->large ? 2 : o->rounds;
  c->module = module;
  if (!function || !kernel_of(module, &c->id, &c->type)) {
    printf("FAILED: the shader %s has no check\n", module->name);
    return false;
  }
  kernels_init(c->device, &c->kernels);
  if (kernels_use(&c->kernels, c->id, c->type, module, &err)) {
    printf("FAILED: %s: %s\n", module->name, err.message);
    return false;
  }
  /* The shapes of a module depend on the seed and its name alone, so that one can be run again. */
  c->random = o->seed * 2 + 1;
  for (const char *s = module->name; *s; s++)
    c->random = (c->random ^ (uint8_t)*s) * 0x100000001B3u | 1;
  for (uint64_t i = 0; i < rounds && c->n_failed == failed; i++)
    function(c);
  kernels_finish(&c->kernels);
  return c->n_failed == failed;
}

static uint32_t n_messages; /* of the validation layer */

static void on_log(void *user, hn_log_level level, const char *message) {
  (void)user;
  if (level == HN_LOG_ERROR) {
    n_messages++;
    printf("validation: %s\n", message);
  }
}

static int run(gpu_instance *instance, const options *o) {
  check c = {.bench = o->bench, .tight = o->tight, .large = o->large};
  hn_error err = {0};
  uint32_t n = 0, n_failed = 0;
  hn_status status = gpu_device_create(instance, 0, NULL, &c.device, &err);
  if (!status)
    status = gpu_cmd_create(c.device, &c.cmd, &err);
  if (!status)
    status = gpu_timer_init(c.device, MAX_STAMPS, &c.timer, &err);
  if (!status)
    printf("%s, seed %" PRIu64 "\n", c.device->info.name, o->seed);
  for (const spirv_module *m = spirv_modules; m->name && !status; m++)
    if (strstr(m->name, o->pattern)) {
      n++;
      n_failed += !check_module(&c, m, o);
    }
  if (status)
    puts(err.message);
  gpu_timer_finish(&c.timer);
  gpu_cmd_destroy(&c.cmd);
  gpu_device_destroy(&c.device);
  printf("%u modules, %u cases, %u modules failed\n", (unsigned)n, (unsigned)c.n_cases, (unsigned)n_failed);
  return status || n == 0 || n_failed ? 1 : 0;
}

int main(int argc, char **argv) {
  options o;
  gpu_instance *instance = NULL;
  hn_error err = {0};
  hn_logger logger = {on_log, NULL};
  if (!parse(argc, argv, &o)) {
    fputs("usage: check_kernels [--seed N] [--rounds N] [--large] [--tight] [--validate] [--bench] [PATTERN]\n", stderr);
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (gpu_instance_create(&logger, o.validate, &instance, &err) || instance->n_devices == 0) {
    puts("skipped: no Vulkan device");
    gpu_instance_destroy(&instance);
    return EXIT_SKIPPED;
  }
  int code = run(instance, &o);
  gpu_instance_destroy(&instance);
  return n_messages ? 1 : code;
}
