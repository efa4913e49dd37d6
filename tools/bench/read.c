/* read.c: see read.h. */
#include "read.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../output.h"
#include "fields.h"

enum {
  FILE_LIMIT = 4 << 20, /* bytes; a device's result with the timeline of a large model has a tenth of a MiB */
  MAX_RESULTS = 64,     /* devices of one machine */
};

#define WHOLE_LIMIT 9007199254740992.0 /* 2^53: up to here a double holds every whole number */

typedef struct reader {
  const char *name; /* of the text */
  char *message;
  char place[BENCH_PATH]; /* of the object that is read: "models[2].tests[0]" */
} reader;

static bool refuse(reader *r, const char *key, const char *why) {
  bool place = r->place[0] != 0, both = place && key[0] != 0;
  snprintf(r->message, BENCH_MESSAGE, "%s: %s%s%s%s%s", r->name, r->place, both ? "." : "", key,
           place || key[0] != 0 ? ": " : "", why);
  return false;
}

static bool is_whole(const cJSON *item, double highest) {
  return cJSON_IsNumber(item) && item->valuedouble >= 0.0 && item->valuedouble <= highest &&
         item->valuedouble == floor(item->valuedouble);
}

/* A finite number that is not negative. */
static bool is_amount(const cJSON *item) {
  return cJSON_IsNumber(item) && isfinite(item->valuedouble) && item->valuedouble >= 0.0;
}

static bool read_stat(reader *r, const char *key, const cJSON *item, bench_stat *s) {
  *s = (bench_stat){0};
  if (item == NULL || cJSON_IsNull(item))
    return true;
  const cJSON *median = cJSON_GetObjectItemCaseSensitive(item, "median");
  const cJSON *min = cJSON_GetObjectItemCaseSensitive(item, "min");
  const cJSON *max = cJSON_GetObjectItemCaseSensitive(item, "max");
  const cJSON *runs = cJSON_GetObjectItemCaseSensitive(item, "runs");
  if (!cJSON_IsObject(item) || !is_amount(median) || !is_amount(min) || !is_amount(max) ||
      !is_whole(runs, UINT32_MAX) || runs->valuedouble < 1.0)
    return refuse(r, key, "not an object with median, min, max and runs");
  *s = (bench_stat){median->valuedouble, min->valuedouble, max->valuedouble, (uint32_t)runs->valuedouble};
  const double slack = 1.0 + 1e-12; /* of the last digits: cJSON writes 15 of them where these nearly suffice */
  if (s->min > s->median * slack || s->median > s->max * slack)
    return refuse(r, key, "the median is not between min and max");
  s->min = fmin(s->min, s->median);
  s->max = fmax(s->max, s->median);
  return true;
}

/* Copies what fits, whole characters only. */
static void copy_text(char *to, size_t size, const char *from) {
  size_t length = strlen(from), n = 0;
  while (n < length) {
    size_t whole = utf8_length(from + n, length - n);
    whole = whole > 0 ? whole : 1;
    if (n + whole >= size)
      break;
    n += whole;
  }
  memcpy(to, from, n);
  to[n] = 0;
}

static bool read_field(reader *r, const bench_field *f, const cJSON *item, void *base) {
  void *at = (char *)base + f->offset;
  switch (f->kind) {
  case FIELD_TEXT:
    if (!cJSON_IsString(item))
      return refuse(r, f->key, "not a text");
    copy_text(at, f->size, item->valuestring);
    return true;
  case FIELD_FLAG:
    if (!cJSON_IsBool(item))
      return refuse(r, f->key, "not true or false");
    *(bool *)at = cJSON_IsTrue(item);
    return true;
  case FIELD_U32:
    if (!is_whole(item, UINT32_MAX))
      return refuse(r, f->key, "not a whole number below 2^32");
    *(uint32_t *)at = (uint32_t)item->valuedouble;
    return true;
  case FIELD_U64:
    if (item == NULL) /* saved before there was such a field: 0, not known */
      return true;
    if (!is_whole(item, WHOLE_LIMIT))
      return refuse(r, f->key, "not a whole number up to 2^53");
    *(uint64_t *)at = (uint64_t)item->valuedouble;
    return true;
  case FIELD_DOUBLE:
    *(double *)at = (double)NAN;
    if (cJSON_IsNull(item))
      return true;
    if (!is_amount(item))
      return refuse(r, f->key, "not a number from 0 up");
    *(double *)at = item->valuedouble;
    return true;
  case FIELD_STAT:
    return read_stat(r, f->key, item, at);
  case FIELD_DERIVED:
  case FIELD_MEDIAN:
    return true;
  }
  return false;
}

static bool read_fields(reader *r, bench_group group, const cJSON *object, void *base) {
  if (!cJSON_IsObject(object))
    return refuse(r, "", "not an object");
  size_t n = 0;
  const bench_field *fields = bench_fields(&n);
  for (size_t i = 0; i < n; i++)
    if (fields[i].group == group &&
        !read_field(r, &fields[i], cJSON_GetObjectItemCaseSensitive(object, fields[i].key), base))
      return false;
  return true;
}

static bool read_model(reader *r, size_t index, const cJSON *object, bench_model *m) {
  snprintf(r->place, sizeof r->place, "models[%zu]", index);
  if (!read_fields(r, GROUP_MODEL, object, m))
    return false;
  snprintf(r->place, sizeof r->place, "models[%zu].step", index);
  if (!read_fields(r, GROUP_STEP, cJSON_GetObjectItemCaseSensitive(object, "step"), &m->step))
    return false;
  snprintf(r->place, sizeof r->place, "models[%zu]", index);
  const cJSON *tests = cJSON_GetObjectItemCaseSensitive(object, "tests"), *item;
  if (!cJSON_IsArray(tests))
    return refuse(r, "tests", "not a list");
  size_t i = 0;
  cJSON_ArrayForEach(item, tests) {
    snprintf(r->place, sizeof r->place, "models[%zu].tests[%zu]", index, i++);
    bench_test *t = bench_add_test(m);
    if (t == NULL)
      return refuse(r, "", "no memory");
    if (!read_fields(r, GROUP_TEST, item, t))
      return false;
  }
  return true;
}

/* Reads the list `key` of the root. */
static bool read_list(reader *r, const cJSON *root, const char *key, bench_group group, bench_result *result) {
  r->place[0] = 0;
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, key), *item;
  if (!cJSON_IsArray(list))
    return refuse(r, key, "not a list");
  size_t i = 0;
  cJSON_ArrayForEach(item, list) {
    snprintf(r->place, sizeof r->place, "%s[%zu]", key, i);
    void *element = group == GROUP_MODEL    ? (void *)bench_add_model(result)
                    : group == GROUP_KERNEL ? (void *)bench_add_kernel(result)
                                            : (void *)bench_add_span(result);
    if (element == NULL)
      return refuse(r, "", "no memory");
    if (group == GROUP_MODEL ? !read_model(r, i, item, element) : !read_fields(r, group, item, element))
      return false;
    i++;
  }
  return true;
}

static bool read_result(reader *r, const cJSON *root, bench_result *result) {
  const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "version");
  r->place[0] = 0;
  if (!is_whole(version, UINT32_MAX))
    return refuse(r, "version", "not a whole number: this is no result of gpu-bench");
  if (version->valuedouble != (double)BENCH_VERSION)
    return refuse(r, "version", "made by another version of gpu-bench, whose fields may mean something else");
  if (!read_fields(r, GROUP_ROOT, root, result))
    return false;
  static const bench_group groups[] = {GROUP_DEVICE, GROUP_MEMORY, GROUP_COMPUTE, GROUP_LAUNCH};
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
    snprintf(r->place, sizeof r->place, "%s", bench_group_path(groups[i]));
    if (!read_fields(r, groups[i], cJSON_GetObjectItemCaseSensitive(root, r->place), &result->device))
      return false;
  }
  return read_list(r, root, "models", GROUP_MODEL, result) && read_list(r, root, "kernels", GROUP_KERNEL, result) &&
         read_list(r, root, "timeline", GROUP_SPAN, result);
}

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool bench_read_text(const char *text, size_t length, const char *name, bench_results *results,
                     char message[BENCH_MESSAGE]) {
  reader r = {.name = name, .message = message};
  const char *end = text + length;
  *results = (bench_results){0};
  bool ok = true;
  while (ok) {
    while (text < end && is_space(*text))
      text++;
    if (text == end)
      break;
    bench_result *grown = realloc(results->list, (results->n + 1) * sizeof *grown);
    if (grown == NULL || results->n == MAX_RESULTS) {
      results->list = grown != NULL ? grown : results->list;
      ok = refuse(&r, "", grown == NULL ? "no memory" : "too many devices");
      break;
    }
    results->list = grown;
    grown[results->n] = (bench_result){0};
    /* cJSON bounds the nesting. It also fails where memory is short, and does not say so. */
    const char *behind = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, (size_t)(end - text), &behind, false);
    r.place[0] = 0;
    ok = root != NULL ? read_result(&r, root, &grown[results->n++]) : refuse(&r, "", "damaged: this is no JSON");
    cJSON_Delete(root);
    text = behind;
  }
  if (ok && results->n == 0)
    ok = refuse(&r, "", "empty");
  if (!ok)
    bench_results_finish(results);
  return ok;
}

bool bench_read_file(const char *path, bench_results *results, char message[BENCH_MESSAGE]) {
  char *text = NULL;
  size_t length = 0;
  *results = (bench_results){0};
  if (!bench_file_read(path, FILE_LIMIT, &text, &length, message))
    return false;
  bool ok = bench_read_text(text, length, path, results, message);
  free(text);
  return ok;
}

void bench_results_finish(bench_results *results) {
  for (size_t i = 0; i < results->n; i++)
    bench_finish(&results->list[i]);
  free(results->list);
  *results = (bench_results){0};
}
