/* metrics.c: see metrics.h. */
#include "metrics.h"

#include <stdlib.h>
#include <string.h>

/* Adds the metrics of one group. */
static bool add(bench_metrics *metrics, bench_group group, const void *base, bench_subject subject,
                const bench_device *device) {
  size_t n = 0;
  const bench_field *fields = bench_fields(&n);
  for (size_t i = 0; i < n; i++) {
    if (fields[i].group != group || fields[i].use == USE_OTHER)
      continue;
    bench_stat value = bench_field_value(&fields[i], base, device);
    if (!bench_measured(value))
      continue;
    bench_metric *grown = realloc(metrics->list, (metrics->n + 1) * sizeof *grown);
    if (grown == NULL)
      return false;
    metrics->list = grown;
    grown[metrics->n++] = (bench_metric){&fields[i], subject, value};
  }
  return true;
}

static bool add_model(bench_metrics *metrics, const bench_model *m, const bench_device *device) {
  bench_subject subject = {.model = m->file, .name = "", .shape = ""};
  bool ok = add(metrics, GROUP_MODEL, m, subject, device);
  if (m->step.dispatches > 0)
    ok = ok && add(metrics, GROUP_STEP, &m->step, subject, device);
  ok = ok && add(metrics, GROUP_GROWTH, m, subject, device);
  for (size_t i = 0; i < m->n_tests; i++) {
    const bench_test *t = &m->tests[i];
    bench_subject test = {.model = m->file, .name = t->name, .shape = "", .n = t->n, .depth = t->depth};
    ok = ok && add(metrics, GROUP_TEST, t, test, device);
  }
  return ok;
}

bool bench_metrics_list(const bench_result *r, bench_metrics *metrics) {
  const bench_subject device = {.model = "", .name = "", .shape = ""};
  *metrics = (bench_metrics){0};
  bool ok = add(metrics, GROUP_MEMORY, &r->device, device, &r->device) &&
            add(metrics, GROUP_COMPUTE, &r->device, device, &r->device) &&
            add(metrics, GROUP_LAUNCH, &r->device, device, &r->device);
  for (size_t i = 0; i < r->n_models; i++)
    ok = ok && add_model(metrics, &r->models[i], &r->device);
  for (size_t i = 0; i < r->n_kernels; i++) {
    const bench_kernel *k = &r->kernels[i];
    ok = ok &&
         add(metrics, GROUP_KERNEL, k, (bench_subject){.model = "", .name = k->module, .shape = k->shape}, &r->device);
  }
  if (!ok) {
    free(metrics->list);
    *metrics = (bench_metrics){0};
  }
  return ok;
}

/* A file's name without its folders: a model may have been moved, or be named from elsewhere. */
static const char *base_name(const char *file) {
  const char *slash = strrchr(file, '/');
  return slash != NULL ? slash + 1 : file;
}

bool bench_metric_same(const bench_metric *a, const bench_metric *b) {
  const bench_subject *x = &a->subject, *y = &b->subject;
  return a->field == b->field && x->n == y->n && x->depth == y->depth && strcmp(x->name, y->name) == 0 &&
         strcmp(x->shape, y->shape) == 0 && strcmp(base_name(x->model), base_name(y->model)) == 0;
}

const char *bench_test_label(const char *name, uint32_t n, uint32_t depth, char label[METRIC_LABEL]) {
  if (strcmp(name, "decode") == 0)
    snprintf(label, METRIC_LABEL, "decode %u at depth %u", (unsigned)n, (unsigned)depth);
  else if (depth == 0)
    snprintf(label, METRIC_LABEL, "%s %u tokens", name, (unsigned)n);
  else
    snprintf(label, METRIC_LABEL, "%s %u tokens at depth %u", name, (unsigned)n, (unsigned)depth);
  return label;
}

const char *bench_metric_label(const bench_metric *m, char label[METRIC_LABEL]) {
  if (m->field->group == GROUP_TEST)
    return bench_test_label(m->subject.name, m->subject.n, m->subject.depth, label);
  if (m->field->group == GROUP_KERNEL)
    snprintf(label, METRIC_LABEL, "%s, %s", m->subject.name, m->subject.shape);
  else
    snprintf(label, METRIC_LABEL, "%s", m->field->label);
  return label;
}
