/*
 * plot.h: where everything in a roofline's picture lies: axes, points, and the numbers beside the points. svg.c draws
 * it.
 */
#ifndef HN_BENCH_PLOT_H
#define HN_BENCH_PLOT_H

#include "result.h"

/* Pixels. */
#define PLOT_LEFT 84 /* room for the numbers and the title of the axis */
#define PLOT_TOP 84 /* for the title */
#define PLOT_WIDTH 680 /* of the plot alone */
#define PLOT_LOWEST 500 /* height of the plot at least; it grows with the list, to */
#define PLOT_HIGHEST 900 /* this at most: many kernels need room */
#define PLOT_RIGHT (PLOT_LEFT + PLOT_WIDTH)
#define PLOT_FOOT 64 /* below the plot: numbers and title of the axis */
#define LIST_ROW 17
#define LIST_SPACE 7 /* before a kernel's name in the list */

typedef struct point {
  const bench_kernel *kernel;
  size_t group;            /* of the kernel's module */
  size_t number;           /* from 1; 0: not drawn */
  double x, y;             /* pixels */
  double label_x, label_y; /* the middle of the number */
  bool placed, far;        /* the number has its place; it needs a line to its point */
  size_t cluster;          /* of points that touch: the index of one of them */
} point;

typedef struct plot {
  const bench_result *result;
  point *points; /* (n), sorted by group */
  size_t n;
  double x0, x1, y0, y1;       /* decades at the plot's edges */
  double bandwidth, int8, f32; /* GB/s, Gop/s, GFLOP/s; 0: not measured */
  double bottom;               /* of the plot, pixels */
  int list_height;             /* pixels from the picture's top to the list's end */
} plot;

/* Decides what is drawn and where. False, with nothing to free, when memory is short. */
bool plot_init(plot *p, const bench_result *r);
void plot_finish(plot *p);

/* Pixels of a decade. */
double plot_x(const plot *p, double decade);
double plot_y(const plot *p, double decade);

#endif
