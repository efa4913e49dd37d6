/*
 * gpu_bench.c: the command gpu-bench. For each device: what it can do (device_test.c), what it does with each model (model_test.c,
 * kernel_test.c), then the reports (report.h, compare.h, svg.h).
 */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../library.h"
#include "../options.h"
#include "../output.h"
#include "../paths.h"
#include "../terminal.h"
#include "compare.h"
#include "device_test.h"
#include "fits.h"
#include "model_test.h"
#include "svg.h"
#include "tune.h"

#define SECONDS_PER_TEST 3.0 /* so that all of it stays within a minute on a GPU */

static void on_log(void *user, hn_log_level level, const char *message) {
  (void)user;
  if (level >= HN_LOG_WARNING)
    print_note("gpu-bench: %s", message);
}

/* Where tools/fetch-model puts it. NULL: it is not there. */
static const char *default_model(char path[MAX_PATH_LENGTH]) {
  const char *model = cache_path("models/SmolLM2-135M-Instruct.Q4_1.gguf", path);
  return model && access(model, R_OK) == 0 ? model : NULL;
}

/* Before minutes are spent on the device: whether the files to be read can be. */
static bool can_read(const bench_options *o) {
  for (uint32_t i = 0; i < o->n_models; i++)
    if (access(o->models[i], R_OK) != 0) {
      print_error("%s: %s", o->models[i], strerror(errno));
      return false;
    }
  if (o->compare && access(o->compare, R_OK) != 0) {
    print_error("%s: %s", o->compare, strerror(errno));
    return false;
  }
  return true;
}

static void list_devices(const gpu_instance *instance, const bool chosen[]) {
  for (uint32_t i = 0; i < instance->n_devices; i++) {
    const hn_device_info *info = &instance->infos[i];
    out_printf("%c device %u: %s%s%s\n", chosen[i] ? '*' : ' ', (unsigned)i, info->name,
               info->usable ? "" : ": not usable, it lacks ", info->lacks);
  }
}

static hn_status test_device(gpu_instance *instance, uint32_t index, const bench_options *o, bench_result *out, hn_error *err) {
  gpu_device *device = NULL;
  measure m = {0};
  hn_status status = gpu_device_create(instance, index, NULL, &device, err);
  snprintf(out->program, sizeof out->program, "hornito %s", HORNITO_VERSION);
  if (!status)
    status = measure_init(device, o->runs, SECONDS_PER_TEST, &m, err);
  if (!status && o->models_only)
    device_describe(&m, &out->device);
  else if (!status)
    status = device_test(&m, &out->device, err);
  for (uint32_t i = 0; i < o->n_models && !status; i++)
    status = model_test(&m, o, o->models[i], out, err);
  measure_finish(&m);
  gpu_device_destroy(&device);
  return status;
}

/* Marks the devices to measure; how many there are. */
static hn_status choose(const gpu_instance *instance, const char *device, bool chosen[], size_t *n, hn_error *err) {
  uint32_t index = 0;
  *n = 0;
  if (device && strcmp(device, "all") == 0) {
    for (uint32_t i = 0; i < instance->n_devices; i++) {
      chosen[i] = instance->infos[i].usable;
      *n += chosen[i];
    }
    return *n ? HN_OK : hn_fail(err, HN_ERROR_NO_DEVICE, "no Vulkan device is usable; see hornito devices");
  }
  hn_status status = gpu_instance_find(instance, device, &index, err);
  if (!status) {
    chosen[index] = true;
    *n = 1;
  }
  return status;
}

static int write_files(const bench_options *o, const bench_result *results, size_t n) {
  char message[BENCH_MESSAGE];
  if ((o->save && !report_save(o->save, results, n, message)) || (o->svg && !bench_svg_save(o->svg, &results[0], message))) {
    print_error("%s", message);
    return EXIT_FAILED;
  }
  return EXIT_OK;
}

static int bench_all(gpu_instance *instance, const bench_options *o, const bool chosen[], bench_result *results, size_t n) {
  size_t done = 0;
  int code = EXIT_OK;
  for (uint32_t i = 0; i < instance->n_devices && code == EXIT_OK; i++) {
    hn_error err = {0};
    if (!chosen[i])
      continue;
    if (test_device(instance, i, o, &results[done], &err))
      return print_failure(&err);
    code = report_print(&results[done], done, n, o->format);
    done++;
  }
  if (code != EXIT_OK)
    return code;
  /* What is compared may be the file that is saved to. */
  int compared = o->compare ? bench_compare_print(results, n, o->compare, o->format == REPORT_TABLE || o->format == REPORT_MARKDOWN) : EXIT_OK;
  code = write_files(o, results, n);
  return code != EXIT_OK ? code : compared;
}

static int run(gpu_instance *instance, const bench_options *o) {
  hn_error err = {0};
  size_t n = 0;
  char path[MAX_PATH_LENGTH];
  bool *chosen = calloc(instance->n_devices + 1, sizeof *chosen);
  bench_result *results = calloc(instance->n_devices + 1, sizeof *results);
  int code = EXIT_FAILED;
  if (!chosen || !results)
    print_error("out of memory");
  else if (choose(instance, o->device, chosen, &n, &err))
    code = print_failure(&err);
  else if (o->fits)
    code = fits_print(instance, chosen, n, o);
  else if (o->tune)
    code = tune_print(instance, chosen, o, cache_path(BENCH_CACHE, path));
  else {
    if (o->format == REPORT_TABLE) {
      list_devices(instance, chosen);
      out_flush(); /* long before the rest */
    }
    code = bench_all(instance, o, chosen, results, n);
  }
  for (size_t i = 0; i < n && results; i++)
    bench_finish(&results[i]);
  free(results);
  free(chosen);
  return code;
}

int main(int argc, char **argv) {
  bench_options o;
  char path[MAX_PATH_LENGTH];
  gpu_instance *instance = NULL;
  hn_error err = {0};
  const hn_logger logger = {on_log, NULL};
  setlocale(LC_CTYPE, "");
  out_name("gpu-bench");
  options_result parsed = bench_options_parse(argc, argv, &o);
  if (parsed != OPTIONS_OK)
    return out_finish(parsed == OPTIONS_DONE ? EXIT_OK : EXIT_USAGE);
  if (o.n_models == 0 && !o.fits && default_model(path))
    o.models[o.n_models++] = path;
  else if (o.n_models == 0 && !o.fits)
    print_note("no model: give one with -m FILE, or call sh tools/fetch-model for a small one; the device alone is measured");
  if (!can_read(&o))
    return out_finish(EXIT_USAGE);
  if (gpu_instance_create(&logger, false, &instance, &err))
    return out_finish(print_failure(&err));
  int code = run(instance, &o);
  gpu_instance_destroy(&instance);
  return out_finish(code);
}
