/* report_csv.c: a result as CSV (quoted as in RFC 4180, but lines end in a line feed), one metric a line. */
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "report.h"

/* A field that holds a separator, a quote or a line's end is quoted; quotes are doubled. */
static void write_text(FILE *out, const char *text) {
  if (strpbrk(text, ",\"\r\n") == NULL) {
    fprintf(out, "%s,", text);
    return;
  }
  fputc('"', out);
  for (; *text != 0; text++) {
    if (*text == '"')
      fputc('"', out);
    fputc(*text, out);
  }
  fputs("\",", out);
}

bool report_write_csv(FILE *out, const bench_result *r, bool headings) {
  bench_metrics metrics = {0};
  if (!bench_metrics_list(r, &metrics))
    return false;
  if (headings)
    fputs("device,driver,model,test_or_kernel,shape,n,depth,metric,unit,median,min,max,runs\n", out);
  for (size_t i = 0; i < metrics.n; i++) {
    const bench_metric *m = &metrics.list[i];
    char path[BENCH_PATH];
    write_text(out, r->device.name);
    write_text(out, r->device.driver);
    write_text(out, m->subject.model);
    write_text(out, m->subject.name);
    write_text(out, m->subject.shape);
    if (m->field->group == GROUP_TEST)
      fprintf(out, "%u,%u,", (unsigned)m->subject.n, (unsigned)m->subject.depth);
    else
      fputs(",,", out);
    write_text(out, bench_field_path(m->field, path));
    write_text(out, m->field->unit);
    /* 9 digits: more than any clock gives, and the same text for the same number */
    fprintf(out, "%.9g,%.9g,%.9g,%u\n", m->value.median, m->value.min, m->value.max, (unsigned)m->value.runs);
  }
  free(metrics.list);
  return true;
}
