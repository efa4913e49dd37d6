/* plot.c: see plot.h. */
#include "plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIGIT 7 /* width of a digit of a point's number, and a little more; pixels */
#define LETTER 12 /* height of a number */
#define MARK 5 /* half of a marker's size */
#define CROWD 5 /* touching points up to which numbers go around them */
#define COLUMN_ROW 13 /* of numbers beside a crowd */

/* Decades that are drawn at most; what lies beyond is no measurement of this world. */
#define LOWEST_DECADE (-6.0)
#define HIGHEST_DECADE 12.0

static double rate_of(bench_stat s) {
  return bench_measured(s) && s.median > 0.0 ? s.median : 0.0;
}

double plot_x(const plot *p, double decade) {
  return PLOT_LEFT + (decade - p->x0) / (p->x1 - p->x0) * PLOT_WIDTH;
}

double plot_y(const plot *p, double decade) {
  return p->bottom - (decade - p->y0) / (p->y1 - p->y0) * (p->bottom - PLOT_TOP);
}

static double intensity(const bench_kernel *k) {
  return k->ops / k->bytes;
}

/*
 * A kernel that does no arithmetic has no place on logarithmic axes, nor has one that was not measured: their
 * logarithms are infinite or no numbers, and fail the comparisons.
 */
static bool has_place(const bench_kernel *k) {
  double x = log10(intensity(k)), y = log10(bench_kernel_gop_s(k));
  return x > LOWEST_DECADE && x < HIGHEST_DECADE && y > LOWEST_DECADE && y < HIGHEST_DECADE;
}

static void include(double value, double *low, double *high) {
  if (!(value > 0.0) || !isfinite(value))
    return;
  double decade = log10(value);
  *low = decade < *low ? decade : *low;
  *high = decade > *high ? decade : *high;
}

/* Whole decades around a range, with some room, so that nothing lies on the edge. */
static void round_range(double *low, double *high, double lowest_width) {
  const double room = 0.12;
  if (*low > *high) {
    *low = 0.0; /* nothing to show: any axis will do */
    *high = 1.0;
  }
  *low = fmax(floor(*low - room), LOWEST_DECADE);
  *high = fmin(ceil(*high + room), HIGHEST_DECADE);
  if (*high - *low < lowest_width)
    *high = *low + lowest_width;
}

static void choose_axes(plot *p) {
  p->x0 = p->y0 = INFINITY;
  p->x1 = p->y1 = -INFINITY;
  include(p->int8, &p->y0, &p->y1);
  include(p->f32, &p->y0, &p->y1);
  if (p->bandwidth > 0.0) { /* the corners, where memory and arithmetic meet */
    include(p->int8 / p->bandwidth, &p->x0, &p->x1);
    include(p->f32 / p->bandwidth, &p->x0, &p->x1);
    include(1.0, &p->x0, &p->x1);
    include(p->bandwidth, &p->y0, &p->y1);
  }
  for (size_t i = 0; i < p->n; i++)
    if (has_place(p->points[i].kernel)) {
      include(intensity(p->points[i].kernel), &p->x0, &p->x1);
      include(bench_kernel_gop_s(p->points[i].kernel), &p->y0, &p->y1);
    }
  round_range(&p->x0, &p->x1, 2.0);
  round_range(&p->y0, &p->y1, 2.0);
}

static int compare_points(const void *a, const void *b) {
  const point *x = a, *y = b;
  if (x->group != y->group)
    return x->group < y->group ? -1 : 1;
  return x->kernel < y->kernel ? -1 : x->kernel > y->kernel;
}

/* Groups the kernels by module, in the order in which the modules appear, and numbers what has a place. */
static bool choose_points(plot *p) {
  const bench_result *r = p->result;
  p->points = calloc(r->n_kernels + 1, sizeof *p->points);
  if (p->points == NULL)
    return false;
  size_t n_groups = 0;
  for (p->n = 0; p->n < r->n_kernels; p->n++) {
    point *new = &p->points[p->n];
    size_t same = 0;
    while (same < p->n && strcmp(p->points[same].kernel->module, r->kernels[p->n].module) != 0)
      same++;
    new->kernel = &r->kernels[p->n];
    new->group = same < p->n ? p->points[same].group : n_groups++;
  }
  qsort(p->points, p->n, sizeof *p->points, compare_points);
  size_t number = 0;
  for (size_t i = 0; i < p->n; i++)
    p->points[i].number = has_place(p->points[i].kernel) ? ++number : 0;
  p->list_height = PLOT_TOP + (int)(p->n + n_groups + 3) * LIST_ROW + (int)n_groups * LIST_SPACE;
  return true;
}

/* ---- numbers beside the points ---- */

typedef struct box {
  double left, right, top, bottom;
} box;

static double label_width(size_t number) {
  return DIGIT * (number >= 100 ? 3.0 : number >= 10 ? 2.0 : 1.0);
}

static box label_box(const point *p) {
  double half = label_width(p->number) / 2.0;
  return (box){p->label_x - half, p->label_x + half, p->label_y - LETTER / 2.0, p->label_y + LETTER / 2.0};
}

static bool overlap(box a, box b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/* Does the line from a point to its number cross a box? Looked at in steps smaller than any box. */
static bool line_crosses(const point *p, box b) {
  const int steps = 32;
  for (int i = 1; i <= steps; i++) {
    double t = (double)i / steps, x = p->x + t * (p->label_x - p->x), y = p->y + t * (p->label_y - p->y);
    if (x > b.left && x < b.right && y > b.top && y < b.bottom)
      return true;
  }
  return false;
}

static box marker_box(const point *p) {
  return (box){p->x - MARK - 1, p->x + MARK + 1, p->y - MARK - 1, p->y + MARK + 1};
}

/* Could a number without a line be taken for the other point's? Points in one place share all their numbers. */
static bool misleads(const point *q, const point *other) {
  const double same = 3.0, clearly = 3.0; /* pixels */
  return !q->far && hypot(other->x - q->x, other->y - q->y) > same &&
         hypot(other->x - q->label_x, other->y - q->label_y) < hypot(q->x - q->label_x, q->y - q->label_y) + clearly;
}

/*
 * Is the number of point i free of all markers and of the numbers that have a place? `lines`: also its line to the
 * point, of both, and is it clear whose number it is? Markers of the same cluster are in the way of any line and do not
 * count.
 */
static bool is_free(const plot *p, size_t i, bool lines) {
  const point *q = &p->points[i];
  box own = label_box(q);
  if (own.left < PLOT_LEFT || own.right > PLOT_RIGHT || own.top < PLOT_TOP || own.bottom > p->bottom)
    return false;
  for (size_t k = 0; k < p->n; k++) {
    const point *other = &p->points[k];
    if (other->number == 0)
      continue;
    box mark = marker_box(other);
    if (overlap(own, mark) || (lines && misleads(q, other)) ||
        (lines && other->cluster != q->cluster && line_crosses(q, mark)))
      return false;
    if (k != i && other->placed &&
        (overlap(own, label_box(other)) || (lines && (line_crosses(q, label_box(other)) || line_crosses(other, own)))))
      return false;
  }
  return true;
}

/* Tries places around a point, near ones first. */
static bool place_number(plot *p, size_t i, bool lines) {
  static const double distances[] = {13, 18, 24, 32, 42, 54, 68, 84, 104, 128, 156, 190, 230};
  enum { ANGLES = 32 };
  const double turn = 2.0 * 3.14159265358979;
  point *q = &p->points[i];
  for (size_t d = 0; d < sizeof distances / sizeof *distances; d++)
    for (int a = 0; a < ANGLES; a++) {
      double across = distances[d] + (label_width(q->number) - DIGIT) / 2.0;
      q->label_x = q->x + across * cos(turn * a / (double)ANGLES);
      q->label_y = q->y - distances[d] * sin(turn * a / (double)ANGLES);
      q->far = d > 0;
      if (is_free(p, i, lines))
        return true;
    }
  return false;
}

/* Joins what touches, directly or through others. */
static void find_clusters(plot *p) {
  for (size_t i = 0; i < p->n; i++)
    p->points[i].cluster = i;
  for (size_t i = 0; i < p->n; i++)
    for (size_t k = 0; k < i; k++) {
      size_t from = p->points[i].cluster, to = p->points[k].cluster;
      if (from == to || p->points[i].number == 0 || p->points[k].number == 0 ||
          !overlap(marker_box(&p->points[i]), marker_box(&p->points[k])))
        continue;
      for (size_t j = 0; j < p->n; j++)
        if (p->points[j].cluster == from)
          p->points[j].cluster = to;
    }
}

/* Lists cluster c from top to bottom. Returns the number of its points. */
static size_t list_cluster(const plot *p, size_t c, size_t *members) {
  size_t n = 0;
  for (size_t i = 0; i < p->n; i++) {
    if (p->points[i].cluster != c || p->points[i].number == 0)
      continue;
    size_t at = n++;
    for (; at > 0 && p->points[members[at - 1]].y > p->points[i].y; at--)
      members[at] = members[at - 1];
    members[at] = i;
  }
  return n;
}

/* Places the numbers of `members` (n, indices from top to bottom) below each other, `offset` beside their middle. */
static bool place_column(plot *p, const size_t *members, size_t n, double offset, bool lines) {
  double x = 0.0, y = 0.0, half = (double)(n - 1) * COLUMN_ROW / 2.0;
  for (size_t i = 0; i < n; i++) {
    x += p->points[members[i]].x / (double)n;
    y += p->points[members[i]].y / (double)n;
  }
  y = fmax(fmin(y, p->bottom - half - COLUMN_ROW), PLOT_TOP + half + COLUMN_ROW);
  bool ok = true;
  for (size_t i = 0; i < n; i++) {
    point *q = &p->points[members[i]];
    q->label_x = x + offset + (offset > 0.0 ? half : -half) * 0.3; /* a high column stands off: its lines are flatter */
    q->label_y = y - half + (double)i * COLUMN_ROW;
    q->far = true;
    ok = ok && is_free(p, members[i], lines);
  }
  for (size_t i = 0; i < n; i++)
    p->points[members[i]].placed = ok;
  return ok;
}

/* Around a crowd of points, numbers would be a crowd as well: they go into columns beside it. */
static bool place_columns(plot *p) {
  static const double offsets[] = {26, -26, 36, -36, 52, -52, 72, -72, 96, -96, 124, -124, 160, -160};
  size_t *members = calloc(p->n + 1, sizeof *members);
  if (members == NULL)
    return false;
  find_clusters(p);
  for (size_t c = 0; c < p->n; c++) {
    size_t n = list_cluster(p, c, members);
    bool placed = n <= CROWD;
    for (int lines = 1; lines >= 0; lines--)
      for (size_t o = 0; !placed && o < sizeof offsets / sizeof *offsets; o++)
        placed = place_column(p, members, n, offsets[o], lines == 1);
  }
  free(members);
  return true;
}

/* False when memory is short. */
static bool place_numbers(plot *p) {
  for (size_t i = 0; i < p->n; i++) {
    point *q = &p->points[i];
    if (q->number == 0)
      continue;
    q->x = plot_x(p, log10(intensity(q->kernel)));
    q->y = plot_y(p, log10(bench_kernel_gop_s(q->kernel)));
  }
  if (!place_columns(p))
    return false;
  for (size_t i = 0; i < p->n; i++) {
    point *q = &p->points[i];
    if (q->number == 0 || q->placed)
      continue;
    q->placed = place_number(p, i, true) || place_number(p, i, false);
    if (q->placed)
      continue;
    q->label_x = q->x; /* hundreds of kernels in one place: the numbers overlap, the list still has them */
    q->label_y = q->y;
    q->far = false;
  }
  return true;
}

bool plot_init(plot *p, const bench_result *r) {
  const bench_device *d = &r->device;
  *p = (plot){
      .result = r, .bandwidth = rate_of(d->read_gb_s), .int8 = rate_of(d->int8_gop_s), .f32 = rate_of(d->f32_gflop_s)};
  if (!choose_points(p))
    return false;
  int room = p->list_height - PLOT_FOOT;
  p->bottom = room < PLOT_TOP + PLOT_LOWEST    ? PLOT_TOP + PLOT_LOWEST
              : room > PLOT_TOP + PLOT_HIGHEST ? PLOT_TOP + PLOT_HIGHEST
                                               : room;
  choose_axes(p);
  if (place_numbers(p))
    return true;
  plot_finish(p);
  return false;
}

void plot_finish(plot *p) {
  free(p->points);
  *p = (plot){0};
}
