/*
 * report_json.c: a result as JSON. What the fields are is in fields.c; gpu-bench --help-json prints it.
 *
 *     {"version": 1, "program": ..., "device": {...}, "memory": {...}, "compute": {...}, "launch": {...},
 *      "models": [{..., "step": {...}, "growth": {...}, "tests": [{...}]}], "kernels": [{...}], "timeline": [{...}]}
 */
#include <cjson/cJSON.h>

#include "../json.h"
#include "fields.h"
#include "report.h"

/* An object of four numbers, or null: half a stat would be of no use to a reader. */
static void add_stat(cJSON *object, const char *key, bench_stat s) {
  if (!bench_measured(s)) {
    cJSON_AddNullToObject(object, key);
    return;
  }
  cJSON *stat = cJSON_AddObjectToObject(object, key);
  json_add_number(stat, "median", s.median);
  json_add_number(stat, "min", s.min);
  json_add_number(stat, "max", s.max);
  json_add_number(stat, "runs", s.runs);
}

static void add_fields(cJSON *object, bench_group group, const void *base, const bench_device *device) {
  size_t n = 0;
  const bench_field *fields = bench_fields(&n);
  for (size_t i = 0; i < n; i++) {
    const bench_field *f = &fields[i];
    if (f->group != group)
      continue;
    bench_stat value = bench_field_value(f, base, device);
    if (f->kind == FIELD_TEXT)
      json_add_text(object, f->key, (const char *)base + f->offset);
    else if (f->kind == FIELD_STAT)
      add_stat(object, f->key, value);
    else if (!bench_measured(value))
      cJSON_AddNullToObject(object, f->key);
    else if (f->kind == FIELD_FLAG)
      cJSON_AddBoolToObject(object, f->key, value.median != 0.0);
    else
      json_add_number(object, f->key, value.median);
  }
}

static void add_device_group(cJSON *root, bench_group group, const bench_device *device) {
  add_fields(cJSON_AddObjectToObject(root, bench_group_path(group)), group, device, device);
}

/* A new object at the end of a list. */
static cJSON *add_element(cJSON *list) {
  cJSON *object = cJSON_CreateObject();
  if (!cJSON_AddItemToArray(list, object)) {
    cJSON_Delete(object);
    return NULL;
  }
  return object;
}

static void add_model(cJSON *list, const bench_model *m, const bench_device *device) {
  cJSON *object = add_element(list);
  add_fields(object, GROUP_MODEL, m, device);
  add_fields(cJSON_AddObjectToObject(object, "step"), GROUP_STEP, &m->step, device);
  add_fields(cJSON_AddObjectToObject(object, "growth"), GROUP_GROWTH, m, device);
  cJSON *tests = cJSON_AddArrayToObject(object, "tests");
  for (size_t i = 0; i < m->n_tests; i++)
    add_fields(add_element(tests), GROUP_TEST, &m->tests[i], device);
}

bool report_write_json(FILE *out, const bench_result *r, bool one_line) {
  cJSON *root = cJSON_CreateObject();
  const bench_device *device = &r->device;
  add_fields(root, GROUP_ROOT, r, device);
  add_device_group(root, GROUP_DEVICE, device);
  add_device_group(root, GROUP_MEMORY, device);
  add_device_group(root, GROUP_COMPUTE, device);
  add_device_group(root, GROUP_LAUNCH, device);
  cJSON *models = cJSON_AddArrayToObject(root, "models");
  for (size_t i = 0; i < r->n_models; i++)
    add_model(models, &r->models[i], device);
  cJSON *kernels = cJSON_AddArrayToObject(root, "kernels");
  for (size_t i = 0; i < r->n_kernels; i++)
    add_fields(add_element(kernels), GROUP_KERNEL, &r->kernels[i], device);
  cJSON *timeline = cJSON_AddArrayToObject(root, "timeline");
  for (size_t i = 0; i < r->n_spans; i++)
    add_fields(add_element(timeline), GROUP_SPAN, &r->spans[i], device);
  char *text = one_line ? cJSON_PrintUnformatted(root) : cJSON_Print(root);
  cJSON_Delete(root);
  if (text == NULL)
    return false;
  fprintf(out, "%s\n", text);
  cJSON_free(text);
  return true;
}
