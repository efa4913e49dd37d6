/* test_bench_report.c: what gpu-bench writes about a made-up result. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "../tools/bench/fields.h"
#include "../tools/bench/growth.h"
#include "../tools/bench/report.h"
#include "../tools/bench/svg.h"
#include "bench_sample.h"

enum { MAX_PATHS = 256 };

static bench_result sample(void) {
  bench_result r;
  assert_true(bench_sample(&r));
  return r;
}

/* What a report writes; the caller's to free. */
static char *written(const bench_result *r, size_t index, size_t n, report_format format) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  assert_non_null(out);
  assert_true(report_write(out, r, index, n, format));
  assert_int_equal(fclose(out), 0);
  assert_int_equal(strlen(text), length);
  return text;
}

static char *written_svg(const bench_result *r) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  assert_non_null(out);
  assert_true(bench_svg_write(out, r));
  assert_int_equal(fclose(out), 0);
  return text;
}

static bool near(double a, double b) {
  return fabs(a - b) < 1e-5 * fabs(b);
}

/* ---- numbers ---- */

static void test_stat(void **state) {
  (void)state;
  bench_stat s = bench_stat_of((double[]){5, 1, 4}, 3);
  assert_true(s.median == 4 && s.min == 1 && s.max == 5 && s.runs == 3);
  s = bench_stat_of((double[]){8, 1, 2, 4}, 4);
  assert_true(s.median == 3 && s.min == 1 && s.max == 8 && s.runs == 4);
  assert_int_equal(bench_stat_of(NULL, 0).runs, 0);
  assert_int_equal(bench_stat_of((double[]){1, NAN}, 2).runs, 0);
  assert_false(bench_measured((bench_stat){1, 1, INFINITY, 3}));
}

static void test_roofline(void **state) {
  (void)state;
  bench_device d = {
      .read_gb_s = bench_stat_once(100), .int8_gop_s = bench_stat_once(1000), .f32_gflop_s = bench_stat_once(500)};
  /* 1e6 bytes take 10 us; 5e6 operations take 5 us of int8's and 10 of f32's, 2e7 take 20 and 40 */
  assert_true(near(bench_attainable_us(&d, 1e6, 5e6, true), 10));
  assert_true(near(bench_attainable_us(&d, 1e6, 2e7, true), 20));
  assert_true(near(bench_attainable_us(&d, 1e6, 2e7, false), 40));
  bench_kernel k = {.us = bench_stat_once(50), .bytes = 1e6, .ops = 2e7, .integer = true};
  assert_true(near(bench_kernel_gb_s(&k), 20));
  assert_true(near(bench_kernel_gop_s(&k), 400));
  assert_true(near(bench_kernel_percent(&d, &k), 40));
  bench_test t = {.gb_s = bench_stat_once(25)};
  assert_true(near(bench_test_percent(&d, &t), 25));
  d.read_gb_s.runs = 0;
  assert_true(isnan(bench_kernel_percent(&d, &k)) && isnan(bench_test_percent(&d, &t)));
}

/* A token takes us[i] microseconds at depth[i]. */
static bench_growth growth_of(const uint32_t *depth, const double *us, size_t n, uint64_t kv_bytes) {
  bench_model m = {.kv_bytes_per_1024 = kv_bytes};
  bench_test *prompt = bench_add_test(&m);
  assert_non_null(prompt);
  *prompt = (bench_test){.name = "prompt", .n = 128, .tok_s = bench_stat_once(1)}; /* is none of the points */
  for (size_t i = 0; i < n; i++) {
    bench_test *t = bench_add_test(&m);
    assert_non_null(t);
    *t = (bench_test){.name = "decode", .n = 16, .depth = depth[i], .tok_s = bench_stat_once(1e6 / us[i])};
  }
  bench_growth g = bench_growth_of(&m);
  free(m.tests);
  return g;
}

static void test_growth(void **state) {
  (void)state;
  const uint32_t depths[] = {0, 1024, 4096, 8192};
  bench_growth g = growth_of(depths, (double[]){1000, 1250, 2000, 3000}, 4, 1000000);
  assert_true(near(g.base_us, 1000) && near(g.us_per_1024, 250) && near(g.kv_gb_s, 4) && g.residual_percent < 1e-6);
  assert_true(near(bench_growth_at(&g, 512), 1125));
  g = growth_of(depths, (double[]){900, 1100, 900}, 2, 0);
  assert_true(near(g.us_per_1024, 200) && isnan(g.residual_percent) && isnan(g.kv_gb_s));
  /* 0, 1, 2 (of 1024): 100, 130, 100 lie 10, 20 and 10 off the level line at 110 */
  g = growth_of((uint32_t[]){0, 1024, 2048}, (double[]){100, 130, 100}, 3, 1000);
  assert_true(near(g.base_us, 110) && fabs(g.us_per_1024) < 1e-9 && near(g.residual_percent, 100 * 20.0 / 130) && isnan(g.kv_gb_s));
  g = growth_of((uint32_t[]){7, 7}, (double[]){100, 130}, 2, 1000);
  assert_true(isnan(g.base_us) && isnan(g.us_per_1024));
  assert_true(isnan(growth_of(depths, NULL, 0, 0).us_per_1024));
}

/* ---- JSON ---- */

static const cJSON *get(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  if (item == NULL)
    fail_msg("no \"%s\"", key);
  return item;
}

static double number(const cJSON *object, const char *key) {
  const cJSON *item = get(object, key);
  assert_true(cJSON_IsNumber(item));
  return item->valuedouble;
}

static const char *string(const cJSON *object, const char *key) {
  const cJSON *item = get(object, key);
  assert_true(cJSON_IsString(item));
  return item->valuestring;
}

static void check_stat(const cJSON *object, const char *key, bench_stat s) {
  const cJSON *item = get(object, key);
  assert_true(near(number(item, "median"), s.median) && near(number(item, "min"), s.min));
  assert_true(near(number(item, "max"), s.max));
  assert_int_equal(number(item, "runs"), s.runs);
}

/* The same under key_runs, and its median under key. */
static void check_median(const cJSON *object, const char *key, bench_stat s) {
  char runs[BENCH_PATH];
  snprintf(runs, sizeof runs, "%s_runs", key);
  check_stat(object, runs, s);
  assert_true(near(number(object, key), s.median));
}

static void check_model(const cJSON *item, const bench_model *m) {
  assert_string_equal(string(item, "file"), m->file);
  assert_string_equal(string(item, "description"), m->description);
  assert_int_equal(number(item, "weight_bytes"), m->weight_bytes);
  assert_int_equal(number(item, "peak_device_bytes"), m->peak_device_bytes);
  assert_int_equal(number(item, "peak_rss_bytes"), m->peak_rss_bytes);
  assert_int_equal(number(item, "plan_device_bytes"), m->plan_device_bytes);
  assert_int_equal(number(item, "plan_host_bytes"), m->plan_host_bytes);
  assert_int_equal(number(item, "load_rss_bytes"), m->load_rss_bytes);
  check_median(item, "load_s", m->load_s);
  check_median(item, "load_gb_s", m->load_gb_s);
  assert_int_equal(number(item, "first_token_n"), m->first_token_n);
  check_median(item, "first_token_ms", m->first_token_ms);
  const cJSON *step = get(item, "step"), *tests = get(item, "tests");
  assert_int_equal(number(step, "dispatches"), m->step.dispatches);
  assert_int_equal(number(step, "barriers"), m->step.barriers);
  assert_int_equal(number(step, "submits"), m->step.submits);
  check_median(step, "host_us", m->step.host_us);
  assert_true(near(number(get(item, "growth"), "us_per_1024"), bench_growth_of(m).us_per_1024));
  assert_int_equal(number(item, "kv_bytes_per_1024"), m->kv_bytes_per_1024);
  assert_int_equal(cJSON_GetArraySize(tests), m->n_tests);
  for (size_t i = 0; i < m->n_tests; i++) {
    const cJSON *test = cJSON_GetArrayItem(tests, (int)i);
    assert_string_equal(string(test, "name"), m->tests[i].name);
    assert_int_equal(number(test, "n"), m->tests[i].n);
    assert_int_equal(number(test, "depth"), m->tests[i].depth);
    check_stat(test, "tok_s", m->tests[i].tok_s);
    check_stat(test, "gb_s", m->tests[i].gb_s);
    assert_true(near(number(test, "us_per_token"), 1e6 / m->tests[i].tok_s.median));
  }
}

static void test_json_values(void **state) {
  (void)state;
  bench_result r = sample();
  char *text = written(&r, 0, 1, REPORT_JSON);
  cJSON *root = cJSON_Parse(text);
  assert_int_equal(number(root, "version"), 1);
  assert_string_equal(string(root, "program"), r.program);
  assert_string_equal(string(get(root, "device"), "name"), r.device.name);
  assert_string_equal(string(get(root, "device"), "driver"), r.device.driver);
  assert_string_equal(string(get(root, "device"), "type"), r.device.type);
  assert_true(cJSON_IsTrue(get(get(root, "device"), "gpu_clock")));
  check_median(get(root, "memory"), "read_gb_s", r.device.read_gb_s);
  check_median(get(root, "memory"), "write_gb_s", r.device.write_gb_s);
  check_median(get(root, "memory"), "copy_gb_s", r.device.copy_gb_s);
  check_median(get(root, "memory"), "upload_gb_s", r.device.upload_gb_s);
  check_median(get(root, "memory"), "download_gb_s", r.device.download_gb_s);
  check_median(get(root, "compute"), "int8_gop_s", r.device.int8_gop_s);
  check_median(get(root, "compute"), "f32_gflop_s", r.device.f32_gflop_s);
  check_median(get(root, "launch"), "dispatch_us", r.device.dispatch_us);
  check_median(get(root, "launch"), "dependent_us", r.device.dependent_us);
  for (int i = 0; i < 2; i++)
    check_model(cJSON_GetArrayItem(get(root, "models"), i), &r.models[i]);
  const cJSON *kernel = cJSON_GetArrayItem(get(root, "kernels"), 4),
              *span = cJSON_GetArrayItem(get(root, "timeline"), 5);
  assert_string_equal(string(kernel, "module"), r.kernels[4].module);
  assert_string_equal(string(kernel, "shape"), r.kernels[4].shape);
  check_stat(kernel, "us", r.kernels[4].us);
  assert_true(number(kernel, "bytes") == r.kernels[4].bytes && number(kernel, "ops") == r.kernels[4].ops);
  assert_true(cJSON_IsTrue(get(kernel, "integer")));
  assert_true(near(number(kernel, "roofline_percent"), 91.125)); /* 30.1e6 / 361e-6 / 91.5e9 */
  assert_string_equal(string(span, "kernel"), "matvec_q4_1");
  assert_true(number(span, "start_us") == 23 && number(span, "end_us") == 31);
  cJSON_Delete(root);
  free(text);
  bench_finish(&r);
}

/* Collects the paths of all leaves, a stat being one. */
static void collect(const cJSON *item, const char *path, char paths[MAX_PATHS][BENCH_PATH], size_t *n) {
  const cJSON *child;
  if (cJSON_IsObject(item) && cJSON_GetObjectItemCaseSensitive(item, "median") == NULL) {
    cJSON_ArrayForEach(child, item) {
      char below[2 * BENCH_PATH];
      snprintf(below, sizeof below, "%s%s%s%s", path, path[0] != 0 ? "." : "", child->string,
               cJSON_IsArray(child) ? "[]" : "");
      collect(child, below, paths, n);
    }
    return;
  }
  if (cJSON_IsArray(item)) {
    cJSON_ArrayForEach(child, item) collect(child, path, paths, n);
    return;
  }
  for (size_t i = 0; i < *n; i++)
    if (strcmp(paths[i], path) == 0)
      return;
  assert_true(*n < MAX_PATHS);
  snprintf(paths[(*n)++], BENCH_PATH, "%s", path);
}

/* The documentation names what is there, and nothing else. */
static void test_json_documented(void **state) {
  (void)state;
  static char paths[MAX_PATHS][BENCH_PATH];
  size_t n_paths = 0, n_fields = 0;
  bench_result r = sample();
  char *text = written(&r, 0, 1, REPORT_JSON), path[BENCH_PATH], *help = NULL;
  cJSON *root = cJSON_Parse(text);
  collect(root, "", paths, &n_paths);
  const bench_field *fields = bench_fields(&n_fields);
  FILE *out = open_memstream(&help, &(size_t){0});
  bench_fields_help(out);
  fclose(out);
  for (size_t i = 0; i < n_fields; i++) {
    bool found = false;
    bench_field_path(&fields[i], path);
    for (size_t p = 0; p < n_paths; p++)
      found = found || strcmp(paths[p], path) == 0;
    if (!found)
      fail_msg("%s is documented, and missing in the JSON", path);
    assert_true(fields[i].meaning[0] != 0);
    assert_non_null(strstr(help, path));
  }
  for (size_t p = 0; p < n_paths; p++) {
    bool found = false;
    for (size_t i = 0; i < n_fields; i++)
      found = found || strcmp(paths[p], bench_field_path(&fields[i], path)) == 0;
    if (!found)
      fail_msg("%s is in the JSON, and not documented", paths[p]);
  }
  cJSON_Delete(root);
  free(help);
  free(text);
  bench_finish(&r);
}

/* Several devices: one line each. What is not measured or not finite: null. */
static void test_json_lines(void **state) {
  (void)state;
  bench_result r[2] = {sample(), {.device = {.name = "second\nline \xFF"}}};
  bench_kernel *k = bench_add_kernel(&r[1]);
  assert_non_null(k);
  k->bytes = (double)INFINITY;
  k->ops = (double)NAN;
  r[1].device.int8_gop_s = (bench_stat){(double)NAN, 1, 2, 3};
  size_t length = 0;
  char *text = report_json_text(r, 2, &length);
  assert_non_null(text);
  char *second = strchr(text, '\n') + 1;
  assert_ptr_equal(strchr(second, '\n'), text + length - 1);
  cJSON *root = cJSON_Parse(second);
  assert_string_equal(string(get(root, "device"), "name"), "second\nline \xEF\xBF\xBD");
  assert_true(cJSON_IsNull(get(get(root, "memory"), "read_gb_s")));
  assert_true(cJSON_IsNull(get(get(root, "compute"), "int8_gop_s")));
  const cJSON *kernel = cJSON_GetArrayItem(get(root, "kernels"), 0);
  assert_true(cJSON_IsNull(get(kernel, "bytes")) && cJSON_IsNull(get(kernel, "ops")));
  assert_true(cJSON_IsNull(get(kernel, "gb_s")) && cJSON_IsNull(get(kernel, "roofline_percent")));
  cJSON_Delete(root);
  free(text);
  bench_finish(&r[0]);
  bench_finish(&r[1]);
}

/* ---- other formats ---- */

/* Reads a CSV field, quotes undone; *end: the character behind it. */
static const char *csv_field(const char *at, char *field, size_t size) {
  size_t n = 0;
  bool quoted = *at == '"';
  at += quoted ? 1 : 0;
  for (; *at != 0 && (quoted || strchr(",\n", *at) == NULL); at++) {
    if (quoted && *at == '"' && *++at != '"')
      break;
    assert_true(n + 1 < size);
    field[n++] = *at;
  }
  field[n] = 0;
  assert_non_null(strchr(",\n", *at));
  return at;
}

static void test_csv(void **state) {
  (void)state;
  enum { COLUMNS = 13 };
  bench_result r = sample();
  snprintf(r.device.name, sizeof r.device.name, "a,\"b\" c\nd");
  char *text = written(&r, 0, 1, REPORT_CSV), fields[COLUMNS][256];
  size_t rows = 0, tests = 0;
  for (const char *at = text; *at != 0; at++, rows++) {
    for (int c = 0; c < COLUMNS; c++) {
      at = csv_field(at, fields[c], sizeof fields[c]);
      assert_int_equal(*at, c < COLUMNS - 1 ? ',' : '\n');
      at += c < COLUMNS - 1;
    }
    assert_string_equal(fields[0], rows == 0 ? "device" : "a,\"b\" c\nd");
    if (strcmp(fields[7], "models[].tests[].tok_s") == 0 && strcmp(fields[6], "2048") == 0 && tests++ == 0) {
      assert_string_equal(fields[2], r.models[0].file);
      assert_string_equal(fields[3], "decode");
      assert_string_equal(fields[5], "64");
      assert_string_equal(fields[8], "tok/s");
      assert_true(atof(fields[9]) == r.models[0].tests[3].tok_s.median);
      assert_string_equal(fields[12], "5");
    }
  }
  assert_int_equal(tests, 2);
  /* 9 of the device; per model 9, 4 of a step and 3 of its growth, 3 for each test; 6 for each kernel; the headings */
  assert_int_equal(rows, 1 + 9 + 2 * (9 + 4 + 3 + 4 * 3) + 15 * 6);
  free(text);
  text = written(&r, 1, 2, REPORT_CSV);
  assert_int_equal(strncmp(text, "\"a,", 3), 0); /* no second headings */
  free(text);
  bench_finish(&r);
}

static void test_tables(void **state) {
  (void)state;
  bench_result r = sample();
  snprintf(r.device.name, sizeof r.device.name, "a|b\n\033[2Jc");
  char *text = written(&r, 0, 1, REPORT_TABLE);
  assert_int_equal(strncmp(text, "a|b  [2Jc (integrated)\n", 22), 0);
  assert_non_null(strstr(text, "clock: the device's own"));
  assert_non_null(strstr(text, "decode 64 at depth 2048    163  (160 .. 168)    17.2             18.9 %\n"));
  assert_non_null(strstr(text, "loaded in 0.625 s, 0.150 GB/s of the file; peak memory until then: 168 MiB of the host\n"
                               "planned memory: 128 MiB on the device, 34.0 MiB of the host\n"
                               "peak memory: 128 MiB on the device, 179 MiB of the host\n"));
  assert_non_null(strstr(text, "gaps between them           7       7.00     1.00       11.1 %\n"));
  for (const char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
    if (end - line > 100 || (end > line && end[-1] == ' '))
      fail_msg("too long, or blanks at its end: %.*s", (int)(end - line), line);
  free(text);
  text = written(&r, 0, 1, REPORT_MARKDOWN);
  assert_int_equal(strncmp(text, "## a\\|b", 7), 0);
  assert_non_null(strstr(text, "| decode 64 at depth 2048 | 163 | (160 .. 168) | 17.2 | 18.9 % |\n"));
  free(text);
  r.device.gpu_clock = false;
  text = written(&r, 0, 1, REPORT_TABLE);
  assert_non_null(strstr(text, "clock: the host's"));
  free(text);
  bench_finish(&r);
  r = (bench_result){0}; /* nothing measured */
  for (report_format f = REPORT_TABLE; f <= REPORT_MARKDOWN; f++)
    free(written(&r, 0, 1, f));
}

/* Fails unless tags are balanced, attributes quoted, and every & begins one of the entities that we write. */
static void check_xml(const char *text) {
  enum { DEPTH = 16 };
  char open[DEPTH][32] = {{0}};
  int depth = 0;
  bool in_tag = false, in_quotes = false, closing = false;
  for (const char *c = text; *c != 0; c++) {
    assert_true((unsigned char)*c >= 0x20 || *c == '\n');
    if (*c == '&')
      assert_true(!strncmp(c, "&amp;", 5) || !strncmp(c, "&lt;", 4) || !strncmp(c, "&gt;", 4) ||
                  !strncmp(c, "&quot;", 6));
    if (*c == '"' && in_tag)
      in_quotes = !in_quotes;
    if (*c == '<') {
      assert_false(in_tag);
      in_tag = true;
      closing = c[1] == '/';
      if (closing) {
        size_t length = strlen(open[--depth]);
        assert_true(depth >= 0 && strncmp(c + 2, open[depth], length) == 0 && c[2 + length] == '>');
      } else if (c[1] != '?') {
        assert_true(depth < DEPTH);
        snprintf(open[depth++], sizeof open[0], "%.*s", (int)strcspn(c + 1, " >/"), c + 1);
      }
    }
    if (*c == '>' && !in_quotes) {
      assert_true(in_tag);
      in_tag = false;
      depth -= c[-1] == '/' && !closing;
    }
  }
  assert_false(in_tag || in_quotes);
  assert_int_equal(depth, 0);
}

static size_t count(const char *text, const char *part) {
  size_t n = 0;
  for (; (text = strstr(text, part)) != NULL; text++)
    n++;
  return n;
}

static void test_svg(void **state) {
  (void)state;
  bench_result r = sample();
  char *text = written_svg(&r);
  check_xml(text);
  /* 14 points, embed having no arithmetic, and a marker for each of 8 modules in the list */
  assert_int_equal(count(text, "<path "), 14 + 8);
  assert_int_equal(count(text, "font-size=\"11\""), 2 * 14); /* their numbers, each with its rim */
  assert_non_null(strstr(text, ">memory read: 91.5 GB/s<"));
  assert_non_null(strstr(text, ">49152 x 576, 1 token<"));
  free(text);
  snprintf(r.device.name, sizeof r.device.name, "<&\"'> \xFF\x01\xEF\xBF\xBF");
  snprintf(r.device.driver, sizeof r.device.driver, "</svg><script>");
  snprintf(r.kernels[0].module, sizeof r.kernels[0].module, "]]>&");
  text = written_svg(&r);
  check_xml(text);
  assert_non_null(strstr(text, ">&lt;&amp;&quot;'&gt; \xEF\xBF\xBD \xEF\xBF\xBD<"));
  assert_null(strstr(text, "<script"));
  free(text);
  /* nothing measured, and numbers out of this world */
  for (size_t i = 0; i < r.n_kernels; i++) {
    r.kernels[i].us = bench_stat_once(i % 2 == 0 ? 1e-300 : 0.0);
    r.kernels[i].bytes = i % 3 == 0 ? 0.0 : i % 3 == 1 ? 1e300 : 1e6;
  }
  r.device.read_gb_s = r.device.int8_gop_s = bench_stat_once(1e-290);
  text = written_svg(&r);
  check_xml(text);
  assert_null(strstr(text, "nan"));
  assert_int_equal(count(text, "<path "), 9); /* the list's alone; there is one module more */
  free(text);
  bench_finish(&r);
  text = written_svg(&r);
  check_xml(text);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stat),        cmocka_unit_test(test_roofline),        cmocka_unit_test(test_growth),
      cmocka_unit_test(test_json_values), cmocka_unit_test(test_json_documented), cmocka_unit_test(test_json_lines),
      cmocka_unit_test(test_csv),         cmocka_unit_test(test_tables),          cmocka_unit_test(test_svg),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
