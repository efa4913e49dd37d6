/* compare.c: see compare.h. */
#include "compare.h"

#include <stdlib.h>
#include <string.h>

#include "../options.h"
#include "../output.h"
#include "metrics.h"
#include "report.h"
#include "sheet.h"

typedef enum verdict { SAME, SLOWER, FASTER } verdict;

/* Is a worse than b? `low`: lower is better. */
static bool beyond_noise(bench_stat a, bench_stat b, bool low) {
  const double noise = BENCH_NOISE_PERCENT / 100.0;
  return low ? a.min > b.max && a.median > b.median * (1.0 + noise)
             : a.max < b.min && a.median < b.median * (1.0 - noise);
}

static verdict judge(const bench_metric *before, const bench_metric *now) {
  field_use use = now->field->use;
  if (use != USE_HIGHER && use != USE_LOWER)
    return SAME;
  if (beyond_noise(now->value, before->value, use == USE_LOWER))
    return SLOWER;
  return beyond_noise(before->value, now->value, use == USE_LOWER) ? FASTER : SAME;
}

/* Metrics that only inform are worth a row where they changed; what is derived from others never is. */
static bool is_shown(const bench_metric *before, const bench_metric *now) {
  field_use use = now->field->use;
  return use == USE_HIGHER || use == USE_LOWER ||
         (now->field->kind != FIELD_DERIVED && now->field->kind != FIELD_STAT &&
          before->value.median != now->value.median);
}

static const char *heading_of(const bench_metric *m) {
  return m->field->group == GROUP_KERNEL ? "kernels" : m->subject.model[0] != 0 ? m->subject.model : "device";
}

/* The rows of one heading are a sheet. */
typedef struct table {
  FILE *out;
  sheet rows;
  const char *heading; /* of the rows; NULL: none yet */
  bool ok;
} table;

static void table_flush(table *t) {
  if (t->heading != NULL) {
    fputc('\n', t->out);
    sheet_text(t->out, t->heading, false);
    fputc('\n', t->out);
    t->ok = sheet_print(&t->rows, t->out, false) && t->ok;
  }
  t->heading = NULL;
}

static void table_add(table *t, const bench_metric *before, const bench_metric *now, verdict v) {
  const char *heading = heading_of(now);
  if (t->heading == NULL || strcmp(t->heading, heading) != 0) {
    static const char *const columns[] = {"metric", "unit", "old", "new", "new/old", "", ""};
    table_flush(t);
    t->heading = heading;
    t->rows = (sheet){.columns = "llrrrll"};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
      sheet_cell(&t->rows, "%s", columns[i]);
  }
  char label[METRIC_LABEL], old_range[3 * NUMBER_TEXT], new_range[3 * NUMBER_TEXT], ratio[NUMBER_TEXT] = "-";
  if (before->value.median > 0.0)
    snprintf(ratio, sizeof ratio, "%.3f", now->value.median / before->value.median);
  sheet_cell(&t->rows, "%s", bench_metric_label(now, label));
  sheet_cell(&t->rows, "%s", now->field->unit[0] != 0 ? now->field->unit : now->field->key);
  sheet_number(&t->rows, before->value.median, "");
  sheet_number(&t->rows, now->value.median, "");
  sheet_cell(&t->rows, "%s", ratio);
  sheet_cell(&t->rows, "%s", v == SLOWER ? "SLOWER" : v == FASTER ? "faster" : "");
  bool ranges = v != SAME && before->value.runs > 1 && now->value.runs > 1;
  sheet_cell(&t->rows, "%s%s%s", ranges ? range_text(before->value, old_range) : "", ranges ? " to " : "",
             ranges ? range_text(now->value, new_range) : "");
}

/* Finds the partner of a metric that has none yet. */
static bench_metric *find(bench_metrics *metrics, bool *taken, const bench_metric *wanted) {
  for (size_t i = 0; i < metrics->n; i++)
    if (!taken[i] && bench_metric_same(&metrics->list[i], wanted)) {
      taken[i] = true;
      return &metrics->list[i];
    }
  return NULL;
}

static void list_alone(table *t, const bench_metric *m, const char *where, bench_changes *changes) {
  if (m->field->use == USE_INFORM) /* its speed is listed already */
    return;
  char label[METRIC_LABEL];
  if (changes->n_unmatched++ == 0)
    fputc('\n', t->out);
  sheet_text(t->out, where, false);
  sheet_text(t->out, heading_of(m), false);
  fputs(": ", t->out);
  sheet_text(t->out, bench_metric_label(m, label), false);
  fprintf(t->out, " (%s)\n", m->field->unit);
}

static bool compare_metrics(FILE *out, bench_metrics *before, bench_metrics *now, bench_changes *changes) {
  bool *taken = calloc(before->n + 1, sizeof *taken), *alone = calloc(now->n + 1, sizeof *alone);
  table t = {.out = out, .ok = taken != NULL && alone != NULL};
  for (size_t i = 0; t.ok && i < now->n; i++) {
    const bench_metric *m = &now->list[i], *old = find(before, taken, m);
    alone[i] = old == NULL;
    if (old == NULL || !is_shown(old, m))
      continue;
    verdict v = judge(old, m);
    changes->n_compared += m->field->use != USE_INFORM;
    changes->n_slower += v == SLOWER;
    changes->n_faster += v == FASTER;
    table_add(&t, old, m, v);
  }
  table_flush(&t);
  for (size_t i = 0; t.ok && i < now->n; i++)
    if (alone[i])
      list_alone(&t, &now->list[i], "only now: ", changes);
  for (size_t i = 0; t.ok && i < before->n; i++)
    if (!taken[i])
      list_alone(&t, &before->list[i], "only before: ", changes);
  free(taken);
  free(alone);
  return t.ok;
}

static bool compare_results(FILE *out, const bench_result *before, const bench_result *now, bench_changes *changes) {
  bench_metrics old = {0}, new = {0};
  sheet_text(out, now->device.name, false);
  fputc('\n', out);
  if (strcmp(before->device.name, now->device.name) != 0) {
    fputs("note: a comparison between devices; before: ", out);
    sheet_text(out, before->device.name, false);
    fputc('\n', out);
  } else if (strcmp(before->device.driver, now->device.driver) != 0) {
    fputs("note: the driver changed; before: ", out);
    sheet_text(out, before->device.driver, false);
    fputc('\n', out);
  }
  if (before->device.gpu_clock != now->device.gpu_clock)
    fputs("note: kernels were timed by different clocks\n", out);
  bool ok =
      bench_metrics_list(before, &old) && bench_metrics_list(now, &new) && compare_metrics(out, &old, &new, changes);
  free(old.list);
  free(new.list);
  return ok;
}

/*
 * The results as they would be read back: names are then cut and cleaned in the same way on both sides, so that one
 * that is no UTF-8 finds itself again.
 */
static bool reread(const bench_result *results, size_t n, bench_results *now, char message[BENCH_MESSAGE]) {
  size_t length = 0;
  char *text = report_json_text(results, n, &length);
  if (text == NULL) {
    snprintf(message, BENCH_MESSAGE, "no memory for the comparison");
    return false;
  }
  bool ok = bench_read_text(text, length, "the new result", now, message);
  free(text);
  return ok;
}

/* The old result of the same name: at the same place, because a machine may have two cards of a kind, or the first. */
static const bench_result *partner_of(const bench_results *before, const bench_result *now, size_t index) {
  if (index < before->n && strcmp(before->list[index].device.name, now->device.name) == 0)
    return &before->list[index];
  for (size_t i = 0; i < before->n; i++)
    if (strcmp(before->list[i].device.name, now->device.name) == 0)
      return &before->list[i];
  return &before->list[0];
}

bool bench_compare(FILE *out, const bench_result *results, size_t n, const char *path, bench_changes *changes,
                   char message[BENCH_MESSAGE]) {
  bench_results before = {0}, now = {0};
  *changes = (bench_changes){0};
  bool ok = bench_read_file(path, &before, message) && reread(results, n, &now, message);
  fputs("compared with ", out);
  sheet_text(out, path, false);
  fputc('\n', out);
  for (size_t i = 0; ok && i < now.n; i++) {
    fputc('\n', out);
    ok = compare_results(out, partner_of(&before, &now.list[i], i), &now.list[i], changes);
    if (!ok)
      snprintf(message, BENCH_MESSAGE, "no memory for the comparison");
  }
  fprintf(out, "\n%zu of %zu became slower, %zu faster (%s)\n", changes->n_slower, changes->n_compared,
          changes->n_faster, BENCH_COMPARE_RULE);
  bench_results_finish(&before);
  bench_results_finish(&now);
  return ok;
}

int bench_compare_print(const bench_result *results, size_t n, const char *path, bool to_stdout) {
  char message[BENCH_MESSAGE] = "no memory for the comparison", *text = NULL;
  size_t length = 0;
  bench_changes changes = {0};
  FILE *out = open_memstream(&text, &length);
  bool ok = out != NULL && bench_compare(out, results, n, path, &changes, message);
  if (out != NULL && fclose(out) != 0)
    ok = false;
  if (ok && changes.n_compared == 0) {
    snprintf(message, sizeof message, "%s holds nothing of what was measured now", path);
    ok = false;
  }
  if (ok && to_stdout)
    out_write(text, length);
  else if (ok)
    fwrite(text, 1, length, stderr);
  else
    print_error("%s", message);
  free(text);
  return !ok ? EXIT_USAGE : changes.n_slower > 0 ? EXIT_FAILED : EXIT_OK;
}
