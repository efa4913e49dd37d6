/* report.c: see report.h. */
#include "report.h"

#include <stdlib.h>
#include <string.h>

#include "../options.h"
#include "../output.h"

bool report_parse_format(const char *name, report_format *format) {
  static const char *const names[] = {
      [REPORT_TABLE] = "table", [REPORT_JSON] = "json", [REPORT_CSV] = "csv", [REPORT_MARKDOWN] = "md"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) {
      *format = (report_format)i;
      return true;
    }
  return false;
}

bool report_write(FILE *out, const bench_result *r, size_t index, size_t n, report_format format) {
  bool tables = format == REPORT_TABLE || format == REPORT_MARKDOWN;
  if (tables && index > 0)
    fputc('\n', out);
  if (tables)
    return report_write_table(out, r, format == REPORT_MARKDOWN);
  if (format == REPORT_CSV)
    return report_write_csv(out, r, index == 0);
  return report_write_json(out, r, n > 1);
}

int report_print(const bench_result *r, size_t index, size_t n, report_format format) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  bool ok = out != NULL && report_write(out, r, index, n, format);
  if (out != NULL && fclose(out) != 0)
    ok = false;
  if (ok)
    out_write(text, length);
  else
    print_error("no memory for the report");
  free(text);
  return ok ? EXIT_OK : EXIT_FAILED;
}

char *report_json_text(const bench_result *results, size_t n, size_t *length) {
  char *text = NULL;
  FILE *out = open_memstream(&text, length);
  bool ok = out != NULL;
  for (size_t i = 0; ok && i < n; i++)
    ok = report_write_json(out, &results[i], n > 1);
  if (out != NULL && fclose(out) != 0)
    ok = false;
  if (ok)
    return text;
  free(text);
  return NULL;
}

bool report_save(const char *path, const bench_result *results, size_t n, char message[BENCH_MESSAGE]) {
  size_t length = 0;
  char *text = report_json_text(results, n, &length);
  if (text == NULL) {
    snprintf(message, BENCH_MESSAGE, "%s: no memory for its text", path);
    return false;
  }
  bool ok = bench_file_replace(path, text, length, message);
  free(text);
  return ok;
}
