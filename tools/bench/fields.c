/* fields.c: see fields.h. */
#include "fields.h"

#include <math.h>
#include <string.h>

#include "growth.h"

static double derive_version(const bench_device *device, const void *base) {
  (void)device;
  (void)base;
  return BENCH_VERSION;
}

static double derive_kernel_gb_s(const bench_device *device, const void *base) {
  (void)device;
  return bench_kernel_gb_s(base);
}

static double derive_kernel_gop_s(const bench_device *device, const void *base) {
  (void)device;
  return bench_kernel_gop_s(base);
}

static double derive_kernel_percent(const bench_device *device, const void *base) {
  return bench_kernel_percent(device, base);
}

static double derive_test_percent(const bench_device *device, const void *base) {
  return bench_test_percent(device, base);
}

static double derive_test_us(const bench_device *device, const void *base) {
  (void)device;
  return bench_test_us(base);
}

static double derive_base_us(const bench_device *device, const void *base) {
  (void)device;
  return bench_growth_of(base).base_us;
}

static double derive_us_per_1024(const bench_device *device, const void *base) {
  (void)device;
  return bench_growth_of(base).us_per_1024;
}

static double derive_residual(const bench_device *device, const void *base) {
  (void)device;
  return bench_growth_of(base).residual_percent;
}

static double derive_kv_gb_s(const bench_device *device, const void *base) {
  (void)device;
  return bench_growth_of(base).kv_gb_s;
}

#define AT(type, field) NULL, offsetof(type, field), sizeof(((type *)NULL)->field)
#define DERIVED(function) function, 0, 0

/* A stat under key_runs, and under key its median, so that readers who want one number need not dig. */
#define WITH_MEDIAN(key, label, unit, meaning, type, group, better) \
  {#key, "", unit, meaning, AT(type, key), group, FIELD_MEDIAN, USE_OTHER}, \
  {#key "_runs", label, unit, meaning, AT(type, key), group, FIELD_STAT, better}

/* clang-format off */
static const bench_field table[] = {
    {"version", "", "", "version of this format: 1; it stays when fields are added", DERIVED(derive_version),
     GROUP_ROOT, FIELD_DERIVED, USE_OTHER},
    {"program", "", "", "program and version that measured", AT(bench_result, program),
     GROUP_ROOT, FIELD_TEXT, USE_OTHER},

    {"name", "", "", "the device's name", AT(bench_device, name), GROUP_DEVICE, FIELD_TEXT, USE_OTHER},
    {"driver", "", "", "its driver and the driver's version", AT(bench_device, driver),
     GROUP_DEVICE, FIELD_TEXT, USE_OTHER},
    {"type", "", "", "discrete, integrated, virtual, software or other", AT(bench_device, type),
     GROUP_DEVICE, FIELD_TEXT, USE_OTHER},
    {"gpu_clock", "", "", "kernels are timed by the device's clock; false: by the host's, launches included",
     AT(bench_device, gpu_clock), GROUP_DEVICE, FIELD_FLAG, USE_OTHER},

    WITH_MEDIAN(read_gb_s, "memory read", "GB/s", "bandwidth of reading device memory",
                bench_device, GROUP_MEMORY, USE_HIGHER),
    WITH_MEDIAN(write_gb_s, "memory write", "GB/s", "bandwidth of writing device memory",
                bench_device, GROUP_MEMORY, USE_HIGHER),
    WITH_MEDIAN(copy_gb_s, "memory copy", "GB/s", "bandwidth of copying: bytes read plus bytes written",
                bench_device, GROUP_MEMORY, USE_HIGHER),
    WITH_MEDIAN(upload_gb_s, "host to device", "GB/s", "bandwidth from host memory to device memory",
                bench_device, GROUP_MEMORY, USE_HIGHER),
    WITH_MEDIAN(download_gb_s, "device to host", "GB/s", "bandwidth from device memory to host memory",
                bench_device, GROUP_MEMORY, USE_HIGHER),

    WITH_MEDIAN(int8_gop_s, "int8 dot products", "Gop/s", "rate of int8 dot products; a product and its sum are 2 operations",
                bench_device, GROUP_COMPUTE, USE_HIGHER),
    WITH_MEDIAN(f32_gflop_s, "f32 arithmetic", "GFLOP/s", "rate of f32 arithmetic; a product and its sum are 2 operations",
                bench_device, GROUP_COMPUTE, USE_HIGHER),

    WITH_MEDIAN(dispatch_us, "empty dispatch", "us", "an empty dispatch",
                bench_device, GROUP_LAUNCH, USE_LOWER),
    WITH_MEDIAN(dependent_us, "dependent pair", "us", "two dispatches in a row, a barrier behind each",
                bench_device, GROUP_LAUNCH, USE_LOWER),

    {"file", "", "", "the model's file, as it was named", AT(bench_model, file), GROUP_MODEL, FIELD_TEXT, USE_OTHER},
    {"description", "", "", "the model for people; may be empty", AT(bench_model, description),
     GROUP_MODEL, FIELD_TEXT, USE_OTHER},
    {"weight_bytes", "weights", "bytes", "the model's weights", AT(bench_model, weight_bytes),
     GROUP_MODEL, FIELD_U64, USE_INFORM},
    {"peak_device_bytes", "peak device memory", "bytes", "most bytes of device memory that the model and its session used at once; 0: not known",
     AT(bench_model, peak_device_bytes), GROUP_MODEL, FIELD_U64, USE_INFORM},
    {"peak_rss_bytes", "peak host memory", "bytes", "most host memory of the process so far; 0: not known",
     AT(bench_model, peak_rss_bytes), GROUP_MODEL, FIELD_U64, USE_INFORM},
    {"plan_device_bytes", "planned device memory", "bytes", "device memory that the plan gives the model and its session; 0: not known",
     AT(bench_model, plan_device_bytes), GROUP_MODEL, FIELD_U64, USE_INFORM},
    {"plan_host_bytes", "planned host memory", "bytes", "host memory that the plan gives them, loading's included; 0: not known",
     AT(bench_model, plan_host_bytes), GROUP_MODEL, FIELD_U64, USE_INFORM},
    {"load_rss_bytes", "peak host memory of loading", "bytes",
     "most host memory of the process until the model was loaded, pages of the file included; 0: not known",
     AT(bench_model, load_rss_bytes), GROUP_MODEL, FIELD_U64, USE_INFORM},
    {"kv_bytes_per_1024", "", "bytes", "the KV cache of 1024 positions, all layers; 0: not known", AT(bench_model, kv_bytes_per_1024),
     GROUP_MODEL, FIELD_U64, USE_OTHER},
    WITH_MEDIAN(load_s, "loading", "s", "from the file to a session; the file may be in the host's memory already",
                bench_model, GROUP_MODEL, USE_INFORM),
    WITH_MEDIAN(load_gb_s, "loading, of the file", "GB/s", "the file's bytes by the time of loading",
                bench_model, GROUP_MODEL, USE_INFORM),
    WITH_MEDIAN(first_token_ms, "first token", "ms", "from the prompt to the first token of the answer",
                bench_model, GROUP_MODEL, USE_LOWER),
    {"first_token_n", "", "tokens", "length of that prompt", AT(bench_model, first_token_n),
     GROUP_MODEL, FIELD_U32, USE_OTHER},

    {"name", "", "", "prompt or decode", AT(bench_test, name), GROUP_TEST, FIELD_TEXT, USE_OTHER},
    {"n", "", "tokens", "tokens of the prompt, or decoded one by one", AT(bench_test, n),
     GROUP_TEST, FIELD_U32, USE_OTHER},
    {"depth", "", "tokens", "tokens that the context held before", AT(bench_test, depth),
     GROUP_TEST, FIELD_U32, USE_OTHER},
    {"tok_s", "", "tok/s", "speed", AT(bench_test, tok_s), GROUP_TEST, FIELD_STAT, USE_HIGHER},
    {"gb_s", "", "GB/s", "bytes that must be moved, by the time", AT(bench_test, gb_s),
     GROUP_TEST, FIELD_STAT, USE_INFORM},
    {"read_percent", "", "%", "gb_s as part of memory.read_gb_s; null: not known", DERIVED(derive_test_percent),
     GROUP_TEST, FIELD_DERIVED, USE_INFORM},
    {"us_per_token", "", "us", "time of a token, at the median speed", DERIVED(derive_test_us), GROUP_TEST, FIELD_DERIVED, USE_OTHER},

    {"dispatches", "dispatches of a step", "", "dispatches of one decode step; 0: the step was not measured",
     AT(bench_step, dispatches), GROUP_STEP, FIELD_U32, USE_INFORM},
    {"barriers", "barriers of a step", "", "barriers of one decode step", AT(bench_step, barriers),
     GROUP_STEP, FIELD_U32, USE_INFORM},
    {"submits", "submits of a step", "", "submissions of one decode step", AT(bench_step, submits),
     GROUP_STEP, FIELD_U32, USE_INFORM},
    WITH_MEDIAN(host_us, "host work of a step", "us",
                "the host's own work for one decode step: recording and submitting, not waiting or reading logits", bench_step, GROUP_STEP, USE_LOWER),

    {"base_us", "a token at depth 0", "us", "decode at depth 0, on the line of least squares through the depths; null: less than two depths",
     DERIVED(derive_base_us), GROUP_GROWTH, FIELD_DERIVED, USE_INFORM},
    {"us_per_1024", "a token, per 1024 positions", "us", "what 1024 positions more in the context add to a decoded token: the line's slope",
     DERIVED(derive_us_per_1024), GROUP_GROWTH, FIELD_DERIVED, USE_INFORM},
    {"residual_percent", "a token, off the line", "%", "how far a depth's time is off the line at most; null: less than three depths",
     DERIVED(derive_residual), GROUP_GROWTH, FIELD_DERIVED, USE_INFORM},
    {"kv_gb_s", "KV cache by the slope", "GB/s", "kv_bytes_per_1024 by us_per_1024: the speed at which attention reads the KV cache",
     DERIVED(derive_kv_gb_s), GROUP_GROWTH, FIELD_DERIVED, USE_INFORM},

    {"module", "", "", "the kernel", AT(bench_kernel, module), GROUP_KERNEL, FIELD_TEXT, USE_OTHER},
    {"shape", "", "", "the shape it was run at", AT(bench_kernel, shape), GROUP_KERNEL, FIELD_TEXT, USE_OTHER},
    {"us", "", "us", "time of one dispatch", AT(bench_kernel, us), GROUP_KERNEL, FIELD_STAT, USE_LOWER},
    {"bytes", "", "bytes", "bytes that one dispatch must move at least", AT(bench_kernel, bytes),
     GROUP_KERNEL, FIELD_DOUBLE, USE_INFORM},
    {"ops", "", "", "operations of one dispatch", AT(bench_kernel, ops), GROUP_KERNEL, FIELD_DOUBLE, USE_INFORM},
    {"integer", "", "", "the operations are int8's (Gop/s), not f32's (GFLOP/s)", AT(bench_kernel, integer),
     GROUP_KERNEL, FIELD_FLAG, USE_OTHER},
    {"gb_s", "", "GB/s", "bytes by the median time; null: not measured", DERIVED(derive_kernel_gb_s),
     GROUP_KERNEL, FIELD_DERIVED, USE_INFORM},
    {"gop_s", "", "Gop/s", "operations by the median time, also GFLOP/s; null: not measured",
     DERIVED(derive_kernel_gop_s), GROUP_KERNEL, FIELD_DERIVED, USE_INFORM},
    {"roofline_percent", "", "%", "the least time the roofline allows, by the median time; null: not known",
     DERIVED(derive_kernel_percent), GROUP_KERNEL, FIELD_DERIVED, USE_INFORM},

    {"kernel", "", "", "a dispatch of one decode step, in order", AT(bench_span, kernel),
     GROUP_SPAN, FIELD_TEXT, USE_OTHER},
    {"start_us", "", "us", "its start, since the step's begin", AT(bench_span, start_us),
     GROUP_SPAN, FIELD_DOUBLE, USE_OTHER},
    {"end_us", "", "us", "its end", AT(bench_span, end_us), GROUP_SPAN, FIELD_DOUBLE, USE_OTHER},
};
/* clang-format on */

const bench_field *bench_fields(size_t *n) {
  *n = sizeof table / sizeof *table;
  return table;
}

const char *bench_group_path(bench_group group) {
  static const char *const paths[N_GROUPS] = {
      [GROUP_ROOT] = "",
      [GROUP_DEVICE] = "device",
      [GROUP_MEMORY] = "memory",
      [GROUP_COMPUTE] = "compute",
      [GROUP_LAUNCH] = "launch",
      [GROUP_MODEL] = "models[]",
      [GROUP_TEST] = "models[].tests[]",
      [GROUP_STEP] = "models[].step",
      [GROUP_GROWTH] = "models[].growth",
      [GROUP_KERNEL] = "kernels[]",
      [GROUP_SPAN] = "timeline[]",
  };
  return paths[group];
}

const char *bench_field_path(const bench_field *field, char path[BENCH_PATH]) {
  const char *group = bench_group_path(field->group);
  snprintf(path, BENCH_PATH, "%s%s%s", group, group[0] != 0 ? "." : "", field->key);
  return path;
}

bench_stat bench_field_value(const bench_field *field, const void *base, const bench_device *device) {
  const void *at = (const char *)base + field->offset;
  switch (field->kind) {
  case FIELD_TEXT:
    return (bench_stat){0};
  case FIELD_FLAG:
    return bench_stat_once(*(const bool *)at ? 1.0 : 0.0);
  case FIELD_U32:
    return bench_stat_once(*(const uint32_t *)at);
  case FIELD_U64:
    return bench_stat_once((double)*(const uint64_t *)at);
  case FIELD_DOUBLE:
    return bench_stat_once(*(const double *)at);
  case FIELD_STAT:
  case FIELD_MEDIAN:
    return *(const bench_stat *)at;
  case FIELD_DERIVED:
    return bench_stat_once(field->derive(device, base));
  }
  return (bench_stat){0};
}

void bench_fields_help(FILE *out) {
  fprintf(out,
          "JSON of gpu-bench, version %d: one object, the result of one device. With several devices there is one "
          "object\na line and device. A field marked * is an object {\"median\", \"min\", \"max\", \"runs\"} over "
          "the repetitions,\nor null where it was not measured. Readers skip fields that they do not know.\n\n",
          BENCH_VERSION);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    char path[BENCH_PATH];
    const bench_field *f = &table[i];
    fprintf(out, "%-31s%s %-8s %s\n", bench_field_path(f, path), f->kind == FIELD_STAT ? "*" : " ", f->unit,
            f->meaning);
  }
}
