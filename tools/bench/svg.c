/* svg.c: see svg.h. */
#include "svg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../output.h"
#include "plot.h"
#include "sheet.h"

/* Pixels. */
enum {
  LIST_LEFT = PLOT_RIGHT + 32,
  LIST_RIGHT = LIST_LEFT + 340,
  WIDTH = LIST_RIGHT + 20,
};

/* Characters that fit, with the widest letters of usual fonts in mind. */
enum {
  TITLE_LENGTH = 90,
  SUBTITLE_LENGTH = 130,
  NAME_LENGTH = 36,
  SHAPE_LENGTH = 38,
};

/* Okabe and Ito's colours, which colour-blind people tell apart, without the yellow that is hard to see on white. */
static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9"};

/* Markers, drawn around (0, 0). Their number and that of the colours have no common divisor: 35 kernels differ. */
static const char *const shapes[] = {
    "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z", "M-4.5 -4.5H4.5V4.5H-4.5Z", "M0 -6L5.5 4.5H-5.5Z",
    "M0 -6.5L6.5 0L0 6.5L-6.5 0Z",         "M0 6L5.5 -4.5H-5.5Z",
};

enum { N_COLOURS = sizeof colours / sizeof *colours, N_SHAPES = sizeof shapes / sizeof *shapes };

/* Writes text of at most `length` characters, as XML allows it. */
static void write_text(FILE *out, const char *text, size_t length) {
  size_t n = strlen(text), written = 0;
  for (size_t i = 0; i < n; written++) {
    size_t whole = utf8_length(text + i, n - i);
    char c = text[i];
    /* U+FFFE and U+FFFF are no characters of XML. */
    bool bad = whole == 0 || (whole == 3 && memcmp(text + i, "\xEF\xBF", 2) == 0 && (unsigned char)text[i + 2] >= 0xBE);
    if (written == length - 1 && i + (whole > 0 ? whole : 1) < n) {
      fputs("\xE2\x80\xA6", out); /* an ellipsis for the rest */
      return;
    }
    if (bad)
      fputs("\xEF\xBF\xBD", out);
    else if (c == '&' || c == '<' || c == '>' || c == '"')
      fputs(c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : "&quot;", out);
    else if ((unsigned char)c < 0x20 || c == 0x7F)
      fputc(' ', out);
    else
      fwrite(text + i, 1, whole, out);
    i += whole > 0 ? whole : 1;
  }
}

/* A line of text. `attributes`: more of them, or "". */
static void label(FILE *out, double x, double y, const char *attributes, const char *text, size_t length) {
  fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
  write_text(out, text, length);
  fputs("</text>\n", out);
}

/* The same with a white rim, readable on lines. The rim is a text of its own, which all viewers know to draw. */
static void rimmed(FILE *out, double x, double y, const char *attributes, const char *text, size_t length) {
  char rim[256]; /* attributes have half of it at most */
  snprintf(rim, sizeof rim, "%s stroke=\"#ffffff\" stroke-width=\"3\" stroke-linejoin=\"round\"", attributes);
  label(out, x, y, rim, text, length);
  label(out, x, y, attributes, text, length);
}

static void stroke(FILE *out, double x1, double y1, double x2, double y2, const char *attributes) {
  fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, attributes);
}

static void marker(FILE *out, double x, double y, size_t group) {
  fprintf(out,
          "<path transform=\"translate(%.1f %.1f)\" d=\"%s\" fill=\"%s\" stroke=\"#ffffff\" stroke-width=\"0.8\"/>\n",
          x, y, shapes[group % N_SHAPES], colours[group % N_COLOURS]);
}

/* ---- points ---- */

static void draw_points(FILE *out, const plot *p) {
  for (size_t i = 0; i < p->n; i++) {
    const point *q = &p->points[i];
    if (q->number > 0 && q->far)
      stroke(out, q->x, q->y, q->label_x, q->label_y, "stroke=\"#707070\" stroke-width=\"0.8\"");
  }
  for (size_t i = 0; i < p->n; i++)
    if (p->points[i].number > 0)
      marker(out, p->points[i].x, p->points[i].y, p->points[i].group);
  for (size_t i = 0; i < p->n; i++) {
    const point *q = &p->points[i];
    char number[24];
    snprintf(number, sizeof number, "%zu", q->number);
    if (q->number > 0)
      rimmed(out, q->label_x, q->label_y + 4, "text-anchor=\"middle\" font-size=\"11\"", number, sizeof number);
  }
}

/* ---- axes and limits ---- */

/* 0.001 .. 100 000 in full, others with an exponent. Superscripts are avoided: viewers differ about their place. */
static void draw_decade(FILE *out, double x, double y, const char *anchor, int decade) {
  char text[32], attributes[64];
  if (decade < -3 || decade > 5)
    snprintf(text, sizeof text, "1e%d", decade);
  else if (decade > 3)
    snprintf(text, sizeof text, "%.0f 000", pow(10.0, decade - 3));
  else
    snprintf(text, sizeof text, "%.*f", decade < 0 ? -decade : 0, pow(10.0, decade));
  snprintf(attributes, sizeof attributes, "text-anchor=\"%s\" font-size=\"12\"", anchor);
  label(out, x, y, attributes, text, sizeof text);
}

static void draw_axes(FILE *out, const plot *p) {
  const char *grid = "stroke=\"#dcdcdc\" stroke-width=\"1\"", *faint = "stroke=\"#f1f1f1\" stroke-width=\"1\"";
  for (int decade = (int)p->x0; decade <= (int)p->x1; decade++) {
    for (int part = 2; part < 10 && decade < (int)p->x1; part++) {
      double x = plot_x(p, decade + log10(part));
      stroke(out, x, PLOT_TOP, x, p->bottom, faint);
    }
    stroke(out, plot_x(p, decade), PLOT_TOP, plot_x(p, decade), p->bottom, grid);
    draw_decade(out, plot_x(p, decade), p->bottom + 18, "middle", decade);
  }
  for (int decade = (int)p->y0; decade <= (int)p->y1; decade++) {
    stroke(out, PLOT_LEFT, plot_y(p, decade), PLOT_RIGHT, plot_y(p, decade), grid);
    draw_decade(out, PLOT_LEFT - 8, plot_y(p, decade) + 4, "end", decade);
  }
  fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%.1f\" fill=\"none\" stroke=\"#404040\"/>\n", PLOT_LEFT,
          PLOT_TOP, PLOT_WIDTH, p->bottom - PLOT_TOP);
  label(out, PLOT_LEFT + PLOT_WIDTH / 2.0, p->bottom + 44, "text-anchor=\"middle\" font-size=\"13\"",
        "operations per byte", SIZE_MAX);
  fprintf(out,
          "<text transform=\"translate(24 %.1f) rotate(-90)\" text-anchor=\"middle\" font-size=\"13\">"
          "Gop/s of int8, GFLOP/s of f32</text>\n",
          PLOT_TOP + (p->bottom - PLOT_TOP) / 2.0);
}

/* The line of an arithmetic limit, from where memory allows it. `above`: its label is. */
static void draw_rate(FILE *out, const plot *p, double rate, bool above, const char *name, const char *unit) {
  double y = plot_y(p, log10(rate));
  double x = p->bandwidth > 0.0 ? plot_x(p, log10(rate / p->bandwidth)) : PLOT_LEFT;
  x = fmin(fmax(x, PLOT_LEFT), PLOT_RIGHT);
  stroke(out, x, y, PLOT_RIGHT, y, "stroke=\"#303030\" stroke-width=\"2\"");
  char text[96], number[NUMBER_TEXT];
  snprintf(text, sizeof text, "%s: %s %s", name, number_text(rate, number), unit);
  rimmed(out, PLOT_RIGHT - 6, above ? y - 6 : y + 16, "text-anchor=\"end\" font-size=\"12\" fill=\"#202020\"", text,
         SIZE_MAX);
}

/* The decade on the bandwidth's line around which there are no points, as far as possible. */
static double quiet_part(const plot *p, double left, double right, double decade) {
  static const double parts[] = {0.6, 0.75, 0.45, 0.85, 0.3, 0.18};
  double best = left, best_distance = -1.0;
  const double enough = 90.0; /* pixels: half of the label's length, and some */
  for (size_t i = 0; i < sizeof parts / sizeof *parts && best_distance < enough; i++) {
    double at = left + parts[i] * (right - left), x = plot_x(p, at), y = plot_y(p, at + decade), nearest = enough;
    for (size_t k = 0; k < p->n; k++)
      if (p->points[k].number > 0)
        nearest = fmin(nearest, fmin(hypot(p->points[k].x - x, p->points[k].y - y),
                                     hypot(p->points[k].label_x - x, p->points[k].label_y - y)));
    if (nearest > best_distance) {
      best_distance = nearest;
      best = at;
    }
  }
  return best;
}

static void draw_limits(FILE *out, const plot *p) {
  double int8 = p->int8, f32 = p->f32, highest = fmax(int8, f32);
  /* The lower label goes below its line, so that two lines close together do not share a place. */
  if (int8 > 0.0)
    draw_rate(out, p, int8, int8 >= f32, "int8 dot products", "Gop/s");
  if (f32 > 0.0)
    draw_rate(out, p, f32, f32 > int8, "f32 arithmetic", "GFLOP/s");
  if (p->bandwidth <= 0.0)
    return;
  double decade = log10(p->bandwidth); /* y - x on the line */
  double left = fmax(p->x0, p->y0 - decade), right = fmin(p->x1, p->y1 - decade);
  if (highest > 0.0)
    right = fmin(right, log10(highest) - decade);
  if (left >= right)
    return;
  stroke(out, plot_x(p, left), plot_y(p, left + decade), plot_x(p, right), plot_y(p, right + decade),
         "stroke=\"#303030\" stroke-width=\"2\"");
  char text[96], number[NUMBER_TEXT], attributes[128];
  double slope = atan2((p->bottom - PLOT_TOP) / (p->y1 - p->y0), PLOT_WIDTH / (p->x1 - p->x0)) * 57.29577951308232;
  snprintf(text, sizeof text, "memory read: %s GB/s", number_text(p->bandwidth, number));
  double at = quiet_part(p, left, right, decade);
  double x = plot_x(p, at), y = plot_y(p, at + decade);
  snprintf(attributes, sizeof attributes,
           "transform=\"rotate(%.1f %.1f %.1f)\" text-anchor=\"middle\" font-size=\"12\"", -slope, x, y);
  rimmed(out, x, y - 7, attributes, text, SIZE_MAX);
}

/* ---- the list beside the plot ---- */

static void draw_list(FILE *out, const plot *p) {
  double y = PLOT_TOP + 10;
  bool missing = false;
  if (p->n == 0)
    return;
  label(out, LIST_LEFT, y, "font-size=\"12\" fill=\"#505050\"", "kernel, shape", SIZE_MAX);
  label(out, LIST_RIGHT, y, "font-size=\"12\" fill=\"#505050\" text-anchor=\"end\"", "of the roofline", SIZE_MAX);
  for (size_t i = 0; i < p->n; i++) {
    const point *q = &p->points[i];
    char text[BENCH_NAME + 16], number[NUMBER_TEXT];
    if (i == 0 || q->group != p->points[i - 1].group) {
      y += LIST_ROW + LIST_SPACE;
      marker(out, LIST_LEFT + 6, y - 4, q->group);
      snprintf(text, sizeof text, "%s%s", q->kernel->module,
               q->kernel->ops <= 0.0 ? ""
               : q->kernel->integer  ? " (int8)"
                                     : " (f32)");
      label(out, LIST_LEFT + 18, y, "font-size=\"12\" font-weight=\"bold\"", text, NAME_LENGTH);
    }
    y += LIST_ROW;
    missing = missing || q->number == 0;
    snprintf(text, sizeof text, "%zu", q->number);
    label(out, LIST_LEFT + 36, y, "font-size=\"12\" text-anchor=\"end\"", q->number > 0 ? text : "-", sizeof text);
    label(out, LIST_LEFT + 46, y, "font-size=\"12\"", q->kernel->shape, SHAPE_LENGTH);
    double percent = bench_kernel_percent(&p->result->device, q->kernel);
    snprintf(text, sizeof text, "%s%s", number_text(percent, number), isfinite(percent) ? " %" : "");
    label(out, LIST_RIGHT, y, "font-size=\"12\" text-anchor=\"end\"", text, sizeof text);
  }
  if (missing)
    label(out, LIST_LEFT, y + LIST_ROW + LIST_SPACE, "font-size=\"12\" fill=\"#505050\"",
          "- not in the plot: no arithmetic, or not measured", SIZE_MAX);
}

static void draw_title(FILE *out, const plot *p) {
  const bench_device *d = &p->result->device;
  char subtitle[sizeof d->driver + 128];
  label(out, PLOT_LEFT, 36, "font-size=\"19\" font-weight=\"bold\"", d->name, TITLE_LENGTH);
  snprintf(subtitle, sizeof subtitle, "%s%s%s", d->driver, d->driver[0] != 0 ? "; " : "",
           d->gpu_clock ? "medians, by the device's clock" : "medians, by the host's clock: launches included");
  label(out, PLOT_LEFT, 60, "font-size=\"13\" fill=\"#404040\"", subtitle, SUBTITLE_LENGTH);
}

bool bench_svg_write(FILE *out, const bench_result *r) {
  plot p;
  if (!plot_init(&p, r))
    return false;
  int height = (int)p.bottom + PLOT_FOOT > p.list_height ? (int)p.bottom + PLOT_FOOT : p.list_height;
  fprintf(out,
          "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
          "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
          "font-family=\"sans-serif\" fill=\"#101010\">\n<title>Roofline of ",
          WIDTH, height, WIDTH, height);
  write_text(out, r->device.name, TITLE_LENGTH);
  fprintf(out, "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", WIDTH, height);
  draw_title(out, &p);
  draw_axes(out, &p);
  draw_limits(out, &p);
  draw_points(out, &p);
  draw_list(out, &p);
  fputs("</svg>\n", out);
  plot_finish(&p);
  return true;
}

bool bench_svg_save(const char *path, const bench_result *r, char message[BENCH_MESSAGE]) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  bool ok = out != NULL && bench_svg_write(out, r);
  if (out != NULL && fclose(out) != 0)
    ok = false;
  if (ok)
    ok = bench_file_replace(path, text, length, message);
  else
    snprintf(message, BENCH_MESSAGE, "%s: no memory for the picture", path);
  free(text);
  return ok;
}
