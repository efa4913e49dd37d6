/*
 * fields.h: what a result consists of, declared once. Writing JSON, reading it, CSV, comparisons and the documentation
 * (gpu-bench --help-json) follow from one table in fields.c.
 */
#ifndef HN_BENCH_FIELDS_H
#define HN_BENCH_FIELDS_H

#include <stdio.h>

#include "result.h"

enum {
  BENCH_VERSION = 1, /* of the JSON; it grows when a field changes its meaning or goes, not when one is added */
  BENCH_PATH = 64,   /* room for a field's path */
};

typedef enum bench_group { /* one JSON object each */
                           GROUP_ROOT,
                           GROUP_DEVICE,
                           GROUP_MEMORY,
                           GROUP_COMPUTE,
                           GROUP_LAUNCH,
                           GROUP_MODEL,
                           GROUP_TEST,
                           GROUP_STEP,
                           GROUP_GROWTH, /* of the model; all derived */
                           GROUP_KERNEL,
                           GROUP_SPAN,
                           N_GROUPS,
} bench_group;

typedef enum field_kind {
  FIELD_TEXT, /* char[size] */
  FIELD_FLAG,
  FIELD_U32,
  FIELD_U64,
  FIELD_DOUBLE,
  FIELD_STAT,
  FIELD_MEDIAN,  /* of the stat in the next field; ignored when it is read */
  FIELD_DERIVED, /* not stored: computed when it is written, ignored when it is read */
} field_kind;

typedef enum field_use {
  USE_OTHER,  /* says what is measured, or how; not a metric */
  USE_INFORM, /* a metric that may change without being better or worse */
  USE_HIGHER, /* a metric: higher is better */
  USE_LOWER,
} field_use;

typedef struct bench_field {
  const char *key;   /* in the JSON object */
  const char *label; /* of a metric, for people; "" where the object's own says enough */
  const char *unit;
  const char *meaning;
  double (*derive)(const bench_device *device, const void *base); /* FIELD_DERIVED's value; NAN: not measured */
  size_t offset, size;                                            /* in the group's struct */
  bench_group group;
  field_kind kind;
  field_use use;
} bench_field;

/* The fields in the order of their groups. */
const bench_field *bench_fields(size_t *n);

/* "models[].tests[]", and "" for the root. */
const char *bench_group_path(bench_group group);

/* "models[].tests[].tok_s". Returns path. */
const char *bench_field_path(const bench_field *field, char path[BENCH_PATH]);

/*
 * The value of a field that is a number, a flag or a stat, with base the group's struct: bench_result, bench_device (4
 * groups), bench_model (2 groups), bench_test, bench_step, bench_kernel or bench_span. What is a number alone is a stat of one
 * run. bench_measured says whether there is a value.
 */
bench_stat bench_field_value(const bench_field *field, const void *base, const bench_device *device);

/* The field list for people: gpu-bench --help-json. */
void bench_fields_help(FILE *out);

#endif
