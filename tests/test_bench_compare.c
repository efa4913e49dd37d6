/* test_bench_compare.c: results of gpu-bench that were saved, read back and compared; and files that are damaged. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "../tools/bench/compare.h"
#include "../tools/bench/fields.h"
#include "../tools/bench/report.h"
#include "../tools/bench/svg.h"
#include "../tools/options.h"
#include "bench_sample.h"

static char folder[] = "/tmp/hornito-bench-XXXXXX"; /* for all files of this test */

static const char *path_of(const char *name) {
  static char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static bench_result sample(void) {
  bench_result r;
  assert_true(bench_sample(&r));
  return r;
}

static void write_file(const char *path, const char *text, size_t length) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, length, file), length);
  assert_int_equal(fclose(file), 0);
}

/* ---- comparing ---- */

/* Compares with a saved file; *text is what was written. */
static bench_changes compare(const bench_result *r, size_t n, const char *path, char **text) {
  bench_changes changes;
  char message[BENCH_MESSAGE] = "";
  size_t length = 0;
  FILE *out = open_memstream(text, &length);
  assert_non_null(out);
  if (!bench_compare(out, r, n, path, &changes, message))
    fail_msg("%s", message);
  fclose(out);
  return changes;
}

static void save(const bench_result *r, size_t n, const char *path) {
  char message[BENCH_MESSAGE];
  if (!report_save(path, r, n, message))
    fail_msg("%s", message);
}

static void test_round_trip(void **state) {
  (void)state;
  bench_result r[2] = {sample(), sample()};
  snprintf(r[1].device.name, sizeof r[1].device.name, "other device \xFE");
  r[1].device.read_gb_s = (bench_stat){50, 49, 51, 5}; /* compared with the first one's, it would be slower */
  const char *path = path_of("saved.json");
  for (size_t n = 1; n <= 2; n++) {
    save(r, n, path);
    char *text = NULL;
    bench_changes c = compare(r, n, path, &text);
    /* per device: 9 of its own, 15 kernels, and for each of 2 models 4 tests, the first token and the host's work */
    assert_int_equal(c.n_compared, n * (9 + 15 + 2 * 6));
    assert_int_equal(c.n_slower + c.n_faster + c.n_unmatched, 0);
    assert_null(strstr(text, "note:"));
    assert_null(strstr(text, "SLOWER"));
    free(text);
  }
  assert_int_equal(bench_compare_print(&r[1], 1, path, true), EXIT_OK);
  r[1].device = r[0].device; /* two cards of a kind, one of them slower */
  r[1].device.read_gb_s = (bench_stat){50, 49, 51, 5};
  save(r, 2, path);
  assert_int_equal(bench_compare_print(r, 2, path, true), EXIT_OK);
  assert_int_equal(bench_compare_print(&r[1], 1, path, true), EXIT_FAILED); /* alone, it is taken for the first */
  bench_finish(&r[0]);
  bench_finish(&r[1]);
}

static void test_slower(void **state) {
  (void)state;
  static const struct {
    double median, min, max; /* of what was 100, 98 .. 103 */
    bool lower;              /* is better: a time, not a rate */
    int slower, faster;
  } cases[] = {
      {100, 98, 103, false, 0, 0}, {90, 88, 92, false, 1, 0},   {90, 88, 99, false, 0, 0}, /* ranges overlap */
      {96, 95, 97, false, 0, 0}, /* 4 %: as large a change is noise */
      {94, 93, 97, false, 1, 0},   {94, 93, 98, false, 0, 0},   {110, 104, 112, false, 0, 1},  {90, 88, 92, true, 0, 1},
      {110, 104, 112, true, 1, 0}, {110, 103, 112, true, 0, 0}, {104, 103.5, 105, true, 0, 0},
  };
  const char *path = path_of("slower.json");
  bench_result r = sample();
  bench_stat *rate = &r.models[1].tests[2].tok_s, *time = &r.kernels[3].us;
  *rate = *time = (bench_stat){100, 98, 103, 5};
  save(&r, 1, path);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    *rate = *time = (bench_stat){100, 98, 103, 5};
    *(cases[i].lower ? time : rate) = (bench_stat){cases[i].median, cases[i].min, cases[i].max, 5};
    char *text = NULL;
    bench_changes c = compare(&r, 1, path, &text);
    if ((int)c.n_slower != cases[i].slower || (int)c.n_faster != cases[i].faster)
      fail_msg("case %zu: %zu slower, %zu faster", i, c.n_slower, c.n_faster);
    assert_int_equal(strstr(text, "SLOWER") != NULL, cases[i].slower);
    free(text);
    assert_int_equal(bench_compare_print(&r, 1, path, true), cases[i].slower > 0 ? EXIT_FAILED : EXIT_OK);
  }
  bench_finish(&r);
}

/* What is not a speed never is slower; what has no partner is listed; another device is told of. */
static void test_other_changes(void **state) {
  (void)state;
  const char *path = path_of("other.json");
  bench_result r = sample();
  save(&r, 1, path);
  r.models[0].step.dispatches *= 2;
  r.models[0].peak_device_bytes *= 2;
  r.models[0].tests[0].gb_s = (bench_stat){1, 1, 1, 1};
  snprintf(r.models[1].file, sizeof r.models[1].file, "elsewhere/other.gguf"); /* was models/other.gguf */
  snprintf(r.kernels[0].shape, sizeof r.kernels[0].shape, "new shape");
  r.device.copy_gb_s.runs = 0;
  snprintf(r.device.name, sizeof r.device.name, "another");
  char *text = NULL;
  bench_changes c = compare(&r, 1, path, &text);
  assert_int_equal(c.n_slower, 0);
  assert_int_equal(c.n_unmatched, 3);
  assert_non_null(strstr(text, "only now: kernels: matvec_q4_1, new shape"));
  assert_non_null(strstr(text, "only before: kernels: matvec_q4_1, 960 x 576, 1 token"));
  assert_non_null(strstr(text, "only before: device: memory copy"));
  assert_non_null(strstr(text, "between devices; before: Example Graphics"));
  assert_non_null(strstr(text, "dispatches of a step"));
  free(text);
  bench_finish(&r);
}

/* ---- damaged files ---- */

/* True when the text is refused, with a message that names it; what is taken is freed. */
static bool refused(const char *text, size_t length, const char *expected) {
  char message[BENCH_MESSAGE] = "", *exact = malloc(length + 1); /* sanitizers notice what reads beyond */
  bench_results results;
  assert_non_null(exact);
  memcpy(exact, text, length);
  bool ok = bench_read_text(exact, length, "the file", &results, message);
  free(exact);
  if (ok)
    bench_results_finish(&results);
  else if (strncmp(message, "the file: ", 10) != 0 || strstr(message, expected) == NULL)
    fail_msg("\"%s\" has no \"%s\"", message, expected);
  assert_null(results.list);
  return !ok;
}

static void test_truncated(void **state) {
  (void)state;
  bench_result r = sample();
  for (size_t n = 1; n <= 2; n++) {
    bench_result both[2] = {r, r};
    size_t length = 0;
    char *text = report_json_text(both, n, &length);
    assert_non_null(text);
    /* whole with and without the last line feed; of two lines the first alone is whole as well */
    for (size_t cut = 0; cut <= length; cut += cut > 64 && cut + 64 < length ? 7 : 1) {
      bool whole = cut >= length - 1 || (n == 2 && (cut == length / 2 || cut == length / 2 - 1));
      if (refused(text, cut, "") == whole)
        fail_msg("%zu of %zu bytes", cut, length);
    }
    free(text);
  }
  bench_finish(&r);
}

/* Every byte set to others: refused or taken, and no crash. */
static void test_altered_bytes(void **state) {
  (void)state;
  static const char bytes[] = {0, '"', '{', '}', '[', ',', '9', '-', '\\', '\xFF'};
  bench_result r = {.program = "p"};
  assert_non_null(bench_add_model(&r));
  assert_non_null(bench_add_test(&r.models[0]));
  assert_non_null(bench_add_kernel(&r));
  assert_non_null(bench_add_span(&r));
  r.device.read_gb_s = bench_stat_once(1.5);
  size_t length = 0;
  char *text = report_json_text(&r, 1, &length);
  assert_non_null(text);
  for (size_t i = 0; i < length; i++) {
    char old = text[i];
    for (size_t b = 0; b < sizeof bytes; b++) {
      text[i] = bytes[b];
      refused(text, length, "");
    }
    text[i] = old;
  }
  assert_false(refused(text, length, ""));
  free(text);
  bench_finish(&r);
}

/* Sets the value at a field's path to another one, in the first element of lists. */
static cJSON *replaced(const char *json, const bench_field *f, cJSON *value) {
  cJSON *root = cJSON_Parse(json), *object = root;
  char group[BENCH_PATH];
  snprintf(group, sizeof group, "%s", bench_group_path(f->group));
  for (char *part = strtok(group, "."); part != NULL; part = strtok(NULL, ".")) {
    char *list = strstr(part, "[]");
    if (list != NULL)
      *list = 0;
    object = cJSON_GetObjectItemCaseSensitive(object, part);
    if (list != NULL)
      object = cJSON_GetArrayItem(object, 0);
  }
  assert_non_null(object);
  if (value == NULL)
    cJSON_DeleteItemFromObjectCaseSensitive(object, f->key);
  else
    assert_true(cJSON_ReplaceItemInObjectCaseSensitive(object, f->key, value));
  return root;
}

/* What should be an object or a list is something else. */
static void test_wrong_structure(void **state) {
  (void)state;
  static const char *const keys[] = {"device", "memory", "compute", "launch",  "models",
                                     "step",   "tests",  "kernels", "timeline"};
  bench_result r = sample();
  size_t length = 0;
  char *text = report_json_text(&r, 1, &length);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    for (int missing = 0; missing < 2; missing++) {
      cJSON *root = cJSON_Parse(text), *model = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "models"), 1);
      cJSON *owner = cJSON_HasObjectItem(root, keys[i]) ? root : model;
      if (missing)
        cJSON_DeleteItemFromObjectCaseSensitive(owner, keys[i]);
      else
        assert_true(cJSON_ReplaceItemInObjectCaseSensitive(owner, keys[i], cJSON_CreateNumber(7)));
      char *changed = cJSON_Print(root);
      if (!refused(changed, strlen(changed), keys[i]))
        fail_msg("%s %s", keys[i], missing ? "missing" : "a number");
      cJSON_free(changed);
      cJSON_Delete(root);
    }
  free(text);
  bench_finish(&r);
}

/* Every field with values of every wrong type; missing ones too. */
static void test_wrong_types(void **state) {
  (void)state;
  static const char *const values[] = {"null",
                                       "true",
                                       "[]",
                                       "{}",
                                       "\"x\"",
                                       "-1",
                                       "0.5",
                                       "1e300",
                                       "{\"median\": 1, \"min\": 2, \"max\": 3, \"runs\": 1}",
                                       "{\"median\": 2, \"min\": 1, \"max\": 3, \"runs\": 0}",
                                       "{\"median\": 2, \"min\": 1, \"max\": 3, \"runs\": 1.5}",
                                       "{\"median\": 2, \"min\": 1, \"max\": 3}",
                                       NULL};
  /* the values that a kind of field takes; a stat may also be missing, and what counts bytes: older results lack some */
  static const char *const good[] = {[FIELD_TEXT] = "\"x\"",
                                     [FIELD_FLAG] = "true",
                                     [FIELD_U32] = "",
                                     [FIELD_U64] = "",
                                     [FIELD_DOUBLE] = "null 0.5 1e300",
                                     [FIELD_STAT] = "null"};
  bench_result r = sample();
  size_t n = 0, length = 0;
  const bench_field *fields = bench_fields(&n);
  char *text = report_json_text(&r, 1, &length);
  for (size_t i = 0; i < n; i++)
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
      if (fields[i].kind == FIELD_MEDIAN || (fields[i].kind == FIELD_DERIVED && strcmp(fields[i].key, "version") != 0))
        continue;
      cJSON *root = replaced(text, &fields[i], values[v] != NULL ? cJSON_Parse(values[v]) : NULL);
      char *changed = cJSON_Print(root);
      bool is_good = values[v] == NULL ? fields[i].kind == FIELD_STAT || fields[i].kind == FIELD_U64
                                       : fields[i].kind != FIELD_DERIVED && strstr(good[fields[i].kind], values[v]);
      if (refused(changed, strlen(changed), fields[i].key) == is_good)
        fail_msg("%s: %s", fields[i].key, values[v] != NULL ? values[v] : "missing");
      cJSON_free(changed);
      cJSON_Delete(root);
    }
  free(text);
  bench_finish(&r);
}

static void test_strange_texts(void **state) {
  (void)state;
  enum { DEEP = 100000 };
  char *deep = malloc(DEEP);
  assert_non_null(deep);
  memset(deep, '[', DEEP);
  assert_true(refused(deep, DEEP, "damaged"));
  for (size_t i = 0; i + 5 <= DEEP; i += 5)
    memcpy(deep + i, "{\"a\":", 5);
  assert_true(refused(deep, DEEP, "damaged"));
  free(deep);
  static const char *const texts[][2] = {
      {"", "empty"},
      {" \n\t ", "empty"},
      {"null", "version"},
      {"17", "version"},
      {"[]", "version"},
      {"{}", "version"},
      {"{\"version\": 2}", "another version"},
      {"{\"version\": 1}", "program"},
      {"{\"version\": 1, \"program\": \"\"}", "device"},
      {"{\"version\": \"1\"}", "version"},
      {"version,1\n", "damaged"},
      {"{\"version\": 1e999}", "version"},
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    assert_true(refused(texts[i][0], strlen(texts[i][0]), texts[i][1]));
}

static void test_bad_files(void **state) {
  (void)state;
  bench_result r = sample();
  bench_results results;
  char message[BENCH_MESSAGE];
  const char *path = path_of("missing.json");
  assert_false(bench_read_file(path, &results, message));
  assert_non_null(strstr(message, path));
  assert_int_equal(bench_compare_print(&r, 1, path, true), EXIT_USAGE);
  assert_false(bench_read_file(folder, &results, message));
  assert_false(report_save(folder, &r, 1, message));
  path = path_of("fifo");
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_false(report_save(path, &r, 1, message)); /* a device would be replaced by a file */
  assert_non_null(strstr(message, "regular"));
  assert_false(report_save(path_of("no/such/folder.json"), &r, 1, message));
  enum { LONG = 5 << 20 }; /* blanks do no harm; their number does */
  char *blanks = malloc(LONG);
  assert_non_null(blanks);
  memset(blanks, ' ', LONG);
  path = path_of("long.json");
  write_file(path, blanks, LONG);
  free(blanks);
  assert_false(bench_read_file(path, &results, message));
  assert_non_null(strstr(message, "longer"));
  assert_true(bench_svg_save(path_of("roofline.svg"), &r, message));
  assert_false(bench_svg_save(folder, &r, message));
  /* A file is replaced as a whole, and nothing else is left. */
  save(&r, 1, path);
  assert_true(bench_read_file(path, &results, message));
  assert_int_equal(results.n, 1);
  bench_results_finish(&results);
  char temporary[300];
  snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
  assert_int_not_equal(access(temporary, F_OK), 0);
  bench_finish(&r);
}

static int make_folder(void **state) {
  (void)state;
  return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  static const char *const names[] = {"saved.json", "slower.json", "other.json", "long.json", "roofline.svg", "fifo"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    unlink(path_of(names[i]));
  return rmdir(folder); /* fails where a temporary file was left */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_slower),
      cmocka_unit_test(test_other_changes),   cmocka_unit_test(test_truncated),
      cmocka_unit_test(test_altered_bytes),   cmocka_unit_test(test_wrong_types),
      cmocka_unit_test(test_wrong_structure), cmocka_unit_test(test_strange_texts),
      cmocka_unit_test(test_bad_files),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
