/*
 * svg.h: the roofline of a device as a picture, each kernel a numbered point with its name in a list beside the plot
 * (Williams, Waterman, Patterson: Roofline, 2009). Plain SVG 1.1 without scripts, styles or fonts of its own.
 */
#ifndef HN_BENCH_SVG_H
#define HN_BENCH_SVG_H

#include <stdio.h>

#include "file.h"
#include "result.h"

/* Writes the picture. False when memory is short; failures of `out` are the caller's to ask for. */
bool bench_svg_write(FILE *out, const bench_result *r);

/* The same to a file, all or nothing. False, with a message, when that fails. */
bool bench_svg_save(const char *path, const bench_result *r, char message[BENCH_MESSAGE]);

#endif
