/* terminal.c: see terminal.h. */
#include "terminal.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 30 };

#define BAR_INTERVAL 0.1  /* seconds: smooth, and no cost */
#define LINE_INTERVAL 5.0 /* seconds: a log stays readable */

static bool bar_shown;
static double last_shown = -1.0; /* < 0: nothing of this operation yet */
static const char *last_what;

double now_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_clear(void) {
  if (!bar_shown)
    return;
  fputs("\r\033[K", stderr);
  bar_shown = false;
}

void progress_show(const char *what, uint64_t done, uint64_t total, const char *note) {
  bool terminal = isatty(STDERR_FILENO) != 0;
  double now = now_seconds();
  if (last_what != what) { /* a new operation */
    last_what = what;
    last_shown = terminal ? -1.0 : now;
  }
  if (done >= total) {
    progress_clear();
    last_what = NULL;
    return;
  }
  if (last_shown >= 0.0 && now - last_shown < (terminal ? BAR_INTERVAL : LINE_INTERVAL))
    return;
  last_shown = now;
  double part = (double)done / (double)total;
  if (!terminal) {
    fprintf(stderr, "%s: %.0f %% %s\n", what, part * 100.0, note);
    return;
  }
  char bar[BAR_WIDTH + 1];
  for (int i = 0; i < BAR_WIDTH; i++)
    bar[i] = (double)i < part * (double)BAR_WIDTH ? '#' : '.';
  bar[BAR_WIDTH] = 0;
  fprintf(stderr, "\r\033[K%s [%s] %3.0f %% %s", what, bar, part * 100.0, note);
  bar_shown = true;
}

/* Three digits that matter and the unit that they need. */
static const char *human(uint64_t value, double step, const char *const units[], char text[HUMAN_SIZE]) {
  double scaled = (double)value;
  int unit = 0;
  for (; scaled >= step && units[unit + 1] != NULL; unit++)
    scaled /= step;
  int decimals = unit == 0 || scaled >= 100.0 ? 0 : scaled >= 10.0 ? 1 : 2;
  snprintf(text, HUMAN_SIZE, "%.*f%s", decimals, scaled, units[unit]);
  return text;
}

const char *human_bytes(uint64_t bytes, char text[HUMAN_SIZE]) {
  static const char *const units[] = {" bytes", " KiB", " MiB", " GiB", " TiB", NULL};
  return human(bytes, 1024.0, units, text);
}

const char *human_count(uint64_t count, char text[HUMAN_SIZE]) {
  static const char *const units[] = {"", " K", " M", " B", " T", NULL};
  return human(count, 1000.0, units, text);
}
