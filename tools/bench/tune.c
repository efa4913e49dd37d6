#include "tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../runtime/selftest.h"
#include "../../runtime/tuning.h"
#include "../../runtime/weights_gpu.h"
#include "../library.h"
#include "../options.h"
#include "../output.h"
#include "../terminal.h"
#include "kernel_test.h"
#include "sheet.h"

enum { BATCH = 512, MAX_CHOICES = 64 };
#define SECONDS_PER_SHAPE 1.0 /* there are many, of many choices */

typedef struct tuner {
  measure *m;
  const bench_options *o;
  subject subject;
  selftest *test;
  tuning_file best;
  sheet sheet;
} tuner;

/* A kernel of the model, as its module is named in the table of shaders. */
typedef struct kernel {
  kernel_id id;
  uint32_t type;
  const spirv_module *module;
} kernel;

static const spirv_module *module_of(const char *name) {
  const spirv_module *m = spirv_modules;
  while (m->name && strcmp(m->name, name) != 0)
    m++;
  return m->name ? m : NULL;
}

static void add_row(tuner *t, const kernel *k, uint32_t choice, double us, bool best) {
  uint32_t constants[GPU_MAX_CONSTANTS], n = tuning_choice(choice, k->id, k->module, constants);
  char text[SHEET_CELL] = "";
  size_t used = 0;
  for (uint32_t i = 0; i < n; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%u", i ? " " : "", (unsigned)constants[i]);
  sheet_cell(&t->sheet, "%s", k->module->name);
  sheet_cell(&t->sheet, "%s", text);
  sheet_number(&t->sheet, us, "");
  sheet_cell(&t->sheet, "%s", best ? "best" : "");
}

/* Microseconds; 0: these models do not launch it. NAN: it does not suit the device, or that does not compile it or computes it wrong. */
static hn_status time_choice(tuner *t, const kernel *k, const uint32_t *constants, uint32_t n, double *us, hn_error *err) {
  kernels *all = &t->subject.weights->kernels;
  uint64_t digest = 0;
  hn_error why = {0};
  *us = (double)NAN;
  if (!tuning_suits(&t->m->device->info, k->id, k->module, constants))
    return HN_OK;
  hn_status status = kernels_use_constants(all, k->id, k->type, k->module, constants, n, &why);
  if (status == HN_ERROR_VULKAN)
    return HN_OK;
  if (status) {
    *err = why;
    return status;
  }
  status = selftest_run(t->test, all, k->id, k->type, &digest, err);
  if (status || digest != selftest_expected(k->id, k->type, all->kv_type))
    return status;
  measure_progress("tuning", t->sheet.n, t->sheet.n + 1, k->module->name);
  return kernel_time(t->m, &t->subject, t->o->depths[0], t->o->prompts[0], t->o->n_decode, k->module->name, us, err);
}

/* Measures the choices; the kernel is left with any of them. */
static hn_status tune_kernel(tuner *t, const kernel *k, hn_error *err) {
  double us[MAX_CHOICES];
  uint32_t constants[GPU_MAX_CONSTANTS], n, n_choices = 0, best = MAX_CHOICES;
  hn_status status = HN_OK;
  for (; !status && n_choices < MAX_CHOICES && (n = tuning_choice(n_choices, k->id, k->module, constants)); n_choices++) {
    status = time_choice(t, k, constants, n, &us[n_choices], err);
    if (!status && isfinite(us[n_choices]) && (best == MAX_CHOICES || us[n_choices] < us[best]))
      best = n_choices;
  }
  if (status || best == MAX_CHOICES || us[best] <= 0)
    return status;
  for (uint32_t i = 0; i < n_choices; i++)
    add_row(t, k, i, us[i], i == best);
  n = tuning_choice(best, k->id, k->module, constants);
  status = kernels_use_constants(&t->subject.weights->kernels, k->id, k->type, k->module, constants, n, err);
  return status ? status : tuning_file_put(&t->best, k->module->name, constants, n, err);
}

static hn_status tune_kernels(tuner *t, hn_error *err) {
  hn_status status = HN_OK;
  for (int id = 0; id < N_KERNELS; id++)
    for (uint32_t type = 0; type < N_KERNEL_TYPES && !status; type++) {
      const gpu_pipeline *pipeline = &t->subject.weights->kernels.pipelines[id][type];
      kernel k = {(kernel_id)id, type, pipeline->handle ? module_of(pipeline->name) : NULL};
      uint32_t constants[GPU_MAX_CONSTANTS];
      if (k.module && tuning_choice(1, k.id, k.module, constants)) /* at least two */
        status = tune_kernel(t, &k, err);
      progress_clear();
    }
  return status;
}

static hn_status tune_model(tuner *t, const char *path, hn_error *err) {
  const bench_options *o = t->o;
  uint32_t n_ctx = o->prompts[0] > o->depths[0] ? o->prompts[0] : o->depths[0] + 1;
  hn_status status = subject_init(t->m->device, path, &(subject_params){.n_ctx = n_ctx, .n_batch = BATCH}, &t->subject, err);
  if (!status)
    status = subject_fill_cache(&t->subject, err);
  if (!status)
    status = tune_kernels(t, err);
  if (status)
    gpu_cmd_destroy(&t->m->cmd); /* waits for what uses the subject's buffers */
  subject_finish(&t->subject);
  return status;
}

static hn_status tune_all(tuner *t, const char *dir, hn_error *err) {
  gpu_device *device = t->m->device;
  hn_status status = selftest_create(device, &t->test, err);
  tuning_file_read(device, dir, spirv_modules, tuning_file_choice, &t->best);
  for (uint32_t i = 0; i < t->o->n_models && !status; i++)
    status = tune_model(t, t->o->models[i], err);
  if (!status && t->best.n > 0)
    status = tuning_file_write(device, dir, spirv_modules, &t->best, err);
  selftest_destroy(&t->test);
  return status;
}

static int print_sheet(tuner *t, const char *device, bool markdown) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  bool ok = out != NULL;
  if (ok && t->sheet.n > 4)
    ok = sheet_print(&t->sheet, out, markdown);
  else if (ok)
    fprintf(out, "%s: no kernel of these models has a choice\n", device);
  ok = out != NULL && fclose(out) == 0 && ok;
  if (ok)
    out_write(text, length);
  else
    print_error("out of memory");
  free(text);
  return ok ? EXIT_OK : EXIT_FAILED;
}

static int tune_device(gpu_instance *instance, uint32_t index, const bench_options *o, const char *dir) {
  static const char *const headings[] = {"kernel", "constants", "us", ""};
  gpu_device *device = NULL;
  measure m = {0};
  tuner t = {.m = &m, .o = o, .sheet = {.columns = "llrl"}};
  hn_error err = {0};
  for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
    sheet_cell(&t.sheet, "%s", headings[i]);
  hn_status status = gpu_device_create(instance, index, NULL, &device, &err);
  if (!status)
    status = measure_init(device, o->runs, SECONDS_PER_SHAPE, &m, &err);
  if (!status)
    status = tune_all(&t, dir, &err);
  int code = status ? print_failure(&err) : print_sheet(&t, device->info.name, o->format == REPORT_MARKDOWN);
  if (status)
    free(t.sheet.cells);
  tuning_file_finish(&t.best);
  measure_finish(&m);
  gpu_device_destroy(&device);
  return code;
}

int tune_print(gpu_instance *instance, const bool chosen[], const bench_options *o, const char *dir) {
  int code = EXIT_OK;
  if (dir == NULL)
    print_error("--tune: there is no folder for what is found: HOME is not set");
  if (dir == NULL)
    return EXIT_FAILED;
  for (uint32_t i = 0; i < instance->n_devices && code == EXIT_OK; i++)
    if (chosen[i])
      code = tune_device(instance, i, o, dir);
  return code;
}
