/* report_table.c: a result for people, as aligned text or as Markdown. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../terminal.h"
#include "growth.h"
#include "metrics.h"
#include "report.h"
#include "sheet.h"

typedef struct writer {
  FILE *out;
  bool markdown;
  bool ok; /* memory was enough so far */
} writer;

static void finish(writer *w, sheet *s) {
  w->ok = sheet_print(s, w->out, w->markdown) && w->ok;
}

static void title(writer *w, const char *text, const char *detail) {
  fputs(w->markdown ? "\n### " : "\n", w->out);
  sheet_text(w->out, text, w->markdown);
  sheet_text(w->out, detail, w->markdown);
  fputs(w->markdown ? "\n\n" : "\n", w->out);
}

/* A line of words; in Markdown, a list's. */
static void line(writer *w, const char *words) {
  fputs(w->markdown ? "- " : "", w->out);
  sheet_text(w->out, words, w->markdown);
  fputc('\n', w->out);
}

static void write_head(writer *w, const bench_result *r) {
  const bench_device *d = &r->device;
  char text[sizeof d->driver + 32];
  fputs(w->markdown ? "## " : "", w->out);
  sheet_text(w->out, d->name, w->markdown);
  fprintf(w->out, "%s%s%s\n%s", d->type[0] != 0 ? " (" : "", d->type, d->type[0] != 0 ? ")" : "",
          w->markdown ? "\n" : "");
  snprintf(text, sizeof text, "driver: %s", d->driver);
  line(w, text);
  line(w,
       d->gpu_clock ? "clock: the device's own, for kernels" : "clock: the host's, so that kernels include launches");
  snprintf(text, sizeof text, "%s%severy number is a median (lowest .. highest)", r->program,
           r->program[0] != 0 ? "; " : "");
  line(w, text);
}

static void write_device(writer *w, const bench_device *device) {
  static const bench_group groups[] = {GROUP_MEMORY, GROUP_COMPUTE, GROUP_LAUNCH};
  size_t n = 0;
  const bench_field *fields = bench_fields(&n);
  sheet s = {.columns = "lrll"};
  sheet_cell(&s, "device");
  sheet_cell(&s, "median");
  sheet_cell(&s, "unit");
  sheet_cell(&s, "range");
  bool any = false;
  for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
    for (size_t i = 0; i < n; i++) {
      if (fields[i].group != groups[g] || fields[i].use == USE_OTHER)
        continue;
      char text[3 * NUMBER_TEXT];
      bench_stat value = bench_field_value(&fields[i], device, device);
      any = any || bench_measured(value);
      sheet_cell(&s, "%s", fields[i].label);
      sheet_number(&s, bench_measured(value) ? value.median : (double)NAN, "");
      sheet_cell(&s, "%s", fields[i].unit);
      sheet_cell(&s, "%s", range_text(value, text));
    }
  if (any)
    fputc('\n', w->out);
  else
    s.n = 0; /* only models or kernels were asked for: a table of dashes says nothing */
  finish(w, &s);
}

static void write_tests(writer *w, const bench_model *m, const bench_device *device) {
  sheet s = {.columns = "lrlrr"};
  sheet_cell(&s, "test");
  sheet_cell(&s, "tok/s");
  sheet_cell(&s, "range");
  sheet_cell(&s, "GB/s");
  sheet_cell(&s, "of read bandwidth");
  for (size_t i = 0; i < m->n_tests; i++) {
    const bench_test *t = &m->tests[i];
    char label[METRIC_LABEL];
    sheet_cell(&s, "%s", bench_test_label(t->name, t->n, t->depth, label));
    sheet_stat(&s, t->tok_s);
    sheet_number(&s, bench_measured(t->gb_s) ? t->gb_s.median : (double)NAN, "");
    sheet_number(&s, bench_test_percent(device, t), " %");
  }
  finish(w, &s);
}

/* What it took to load, and the memory. */
static void write_memory(writer *w, const bench_model *m) {
  char words[256], number[NUMBER_TEXT], rate[NUMBER_TEXT], size[HUMAN_SIZE], host[HUMAN_SIZE];
  if (bench_measured(m->load_s)) {
    snprintf(words, sizeof words, "loaded in %s s, %s GB/s of the file; peak memory until then: %s of the host",
             number_text(m->load_s.median, number),
             bench_measured(m->load_gb_s) ? number_text(m->load_gb_s.median, rate) : "-",
             m->load_rss_bytes > 0 ? human_bytes(m->load_rss_bytes, host) : "unknown");
    line(w, words);
  }
  if (m->plan_device_bytes > 0) {
    snprintf(words, sizeof words, "planned memory: %s on the device, %s of the host", human_bytes(m->plan_device_bytes, size),
             human_bytes(m->plan_host_bytes, host));
    line(w, words);
  }
  if (m->peak_device_bytes > 0 || m->peak_rss_bytes > 0) {
    snprintf(words, sizeof words, "peak memory: %s on the device, %s of the host",
             m->peak_device_bytes > 0 ? human_bytes(m->peak_device_bytes, size) : "unknown",
             m->peak_rss_bytes > 0 ? human_bytes(m->peak_rss_bytes, host) : "unknown");
    line(w, words);
  }
}

/* The times of a token in prompts and at depths, where there are enough of these to see whether they lie on a line. */
static void write_growth(writer *w, const bench_model *m) {
  static const char *const headings[] = {"test", "us a token", "on the line", "off it"};
  bench_growth g = bench_growth_of(m);
  char words[256], number[3][NUMBER_TEXT], size[HUMAN_SIZE];
  if (isfinite(g.residual_percent)) {
    sheet s = {.columns = "lrrr"};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
      sheet_cell(&s, "%s", headings[i]);
    for (size_t i = 0; i < m->n_tests; i++) {
      const bench_test *t = &m->tests[i];
      double us = bench_test_us(t), fit = strcmp(t->name, "decode") == 0 ? bench_growth_at(&g, t->depth) : (double)NAN;
      char label[METRIC_LABEL];
      sheet_cell(&s, "%s", bench_test_label(t->name, t->n, t->depth, label));
      sheet_number(&s, us, "");
      sheet_number(&s, fit, "");
      sheet_number(&s, 100.0 * (us / fit - 1.0), " %");
    }
    fputc('\n', w->out);
    finish(w, &s);
    fputc('\n', w->out);
  }
  if (!isfinite(g.us_per_1024))
    return;
  snprintf(words, sizeof words, "a token: %s us, and %s us more per %d positions of the context", number_text(g.base_us, number[0]),
           number_text(g.us_per_1024, number[1]), GROWTH_POSITIONS);
  line(w, words);
  if (isfinite(g.kv_gb_s)) {
    snprintf(words, sizeof words, "these are %s of KV cache, so it is read at %s GB/s", human_bytes(m->kv_bytes_per_1024, size),
             number_text(g.kv_gb_s, number[2]));
    line(w, words);
  }
}

static void write_model(writer *w, const bench_model *m, const bench_device *device) {
  char words[256], number[NUMBER_TEXT], range[3 * NUMBER_TEXT], size[HUMAN_SIZE];
  title(w, "model ", m->file);
  if (m->description[0] != 0)
    line(w, m->description);
  if (w->markdown)
    fputc('\n', w->out); /* a table must not continue a list */
  if (m->n_tests > 0)
    write_tests(w, m, device);
  if (w->markdown)
    fputc('\n', w->out);
  if (bench_measured(m->first_token_ms)) {
    snprintf(words, sizeof words, "first token after %s ms%s%s, for a prompt of %u tokens",
             number_text(m->first_token_ms.median, number), m->first_token_ms.runs > 1 ? " " : "",
             range_text(m->first_token_ms, range), (unsigned)m->first_token_n);
    line(w, words);
  }
  if (m->step.dispatches > 0) {
    bool timed = bench_measured(m->step.host_us);
    snprintf(words, sizeof words, "a decode step: %u dispatches, %u barriers, submits: %u%s%s%s%s",
             (unsigned)m->step.dispatches, (unsigned)m->step.barriers, (unsigned)m->step.submits,
             timed ? "; work of the host: " : "", timed ? number_text(m->step.host_us.median, number) : "",
             timed ? " us " : "", range_text(m->step.host_us, range));
    line(w, words);
  }
  write_growth(w, m);
  if (m->weight_bytes > 0) {
    snprintf(words, sizeof words, "weights: %s", human_bytes(m->weight_bytes, size));
    line(w, words);
  }
  write_memory(w, m);
}

static void write_kernels(writer *w, const bench_result *r) {
  sheet s = {.columns = "llrlrrlr"};
  static const char *const headings[] = {"kernel", "shape", "us", "range", "GB/s", "Gop/s", "type", "of roofline"};
  for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
    sheet_cell(&s, "%s", headings[i]);
  for (size_t i = 0; i < r->n_kernels; i++) {
    const bench_kernel *k = &r->kernels[i];
    sheet_cell(&s, "%s", k->module);
    sheet_cell(&s, "%s", k->shape);
    sheet_stat(&s, k->us);
    sheet_number(&s, bench_kernel_gb_s(k), "");
    sheet_number(&s, k->ops > 0.0 ? bench_kernel_gop_s(k) : (double)NAN, "");
    sheet_cell(&s, "%s", k->ops > 0.0 ? k->integer ? "int8" : "f32" : "");
    sheet_number(&s, bench_kernel_percent(&r->device, k), " %");
  }
  title(w, "kernels", "");
  finish(w, &s);
}

/* ---- the timeline ---- */

typedef struct share { /* of a step, one kernel's */
  const char *kernel;
  double us;
  uint32_t count;
} share;

typedef struct gaps {
  double total_us, longest_us;
  size_t n;
  const bench_span *before, *after; /* the longest gap */
  double begin_us, end_us;          /* of the step */
} gaps;

static int compare_shares(const void *a, const void *b) {
  const share *x = a, *y = b;
  return (x->us < y->us) - (x->us > y->us);
}

/* Sums the spans by kernel, the longest first. NULL when memory is short. */
static share *sum_spans(const bench_result *r, size_t *n) {
  share *shares = calloc(r->n_spans, sizeof *shares); /* at most as many kernels as spans */
  *n = 0;
  for (size_t i = 0; shares != NULL && i < r->n_spans; i++) {
    const bench_span *span = &r->spans[i];
    size_t k = 0;
    while (k < *n && strcmp(shares[k].kernel, span->kernel) != 0)
      k++;
    if (k == *n)
      shares[(*n)++].kernel = span->kernel;
    shares[k].us += span->end_us - span->start_us;
    shares[k].count++;
  }
  if (shares != NULL)
    qsort(shares, *n, sizeof *shares, compare_shares);
  return shares;
}

/* Times in which no kernel ran. Kernels without a barrier between them may overlap: a gap begins after the last end. */
static gaps find_gaps(const bench_result *r) {
  const bench_span *last = &r->spans[0]; /* the one that ended last so far */
  gaps g = {.begin_us = last->start_us};
  for (size_t i = 1; i < r->n_spans; i++) {
    const bench_span *span = &r->spans[i];
    double gap = span->start_us - last->end_us;
    if (gap > 0.0) {
      g.n++;
      g.total_us += gap;
    }
    if (gap > g.longest_us) {
      g.longest_us = gap;
      g.before = last;
      g.after = span;
    }
    if (span->end_us > last->end_us)
      last = span;
  }
  g.end_us = last->end_us;
  return g;
}

static void timeline_row(sheet *s, const char *name, size_t count, double us, double whole_us) {
  sheet_cell(s, "%s", name);
  sheet_cell(s, "%zu", count);
  sheet_number(s, us, "");
  sheet_number(s, count > 0 ? us / (double)count : (double)NAN, "");
  sheet_number(s, 100.0 * us / whole_us, " %");
}

static void write_timeline(writer *w, const bench_result *r) {
  size_t n = 0;
  share *shares = sum_spans(r, &n);
  gaps g = find_gaps(r);
  double whole = g.end_us - g.begin_us;
  sheet s = {.columns = "lrrrr"};
  static const char *const headings[] = {"kernel", "dispatches", "us in all", "us each", "of the step"};
  for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
    sheet_cell(&s, "%s", headings[i]);
  double busy = 0.0;
  for (size_t i = 0; i < n; i++) {
    busy += shares[i].us;
    timeline_row(&s, shares[i].kernel, shares[i].count, shares[i].us, whole);
  }
  timeline_row(&s, "gaps between them", g.n, g.total_us, whole);
  title(w, "one decode step", "");
  w->ok = w->ok && shares != NULL;
  finish(w, &s);
  char words[2 * BENCH_NAME + 128], number[NUMBER_TEXT];
  if (w->markdown)
    fputc('\n', w->out);
  snprintf(words, sizeof words, "the step: %s us from the first start to the last end%s", number_text(whole, number),
           busy + g.total_us > whole * (1.0 + 1e-9) ? "; what overlaps is counted twice above" : "");
  line(w, words);
  if (g.before != NULL) {
    snprintf(words, sizeof words, "longest gap: %s us, between %s and %s", number_text(g.longest_us, number),
             g.before->kernel, g.after->kernel);
    line(w, words);
  }
  free(shares);
}

bool report_write_table(FILE *out, const bench_result *r, bool markdown) {
  writer w = {.out = out, .markdown = markdown, .ok = true};
  write_head(&w, r);
  write_device(&w, &r->device);
  for (size_t i = 0; i < r->n_models; i++)
    write_model(&w, &r->models[i], &r->device);
  if (r->n_kernels > 0)
    write_kernels(&w, r);
  if (r->n_spans > 0)
    write_timeline(&w, r);
  return w.ok;
}
