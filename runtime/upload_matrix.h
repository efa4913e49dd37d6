/* upload_matrix.h: a matrix of a file into the planes of one on the device, which rearranges it: shaders/rearrange.comp. */
#ifndef HN_UPLOAD_MATRIX_H
#define HN_UPLOAD_MATRIX_H

#include "gpu_upload.h"
#include "kernels.h"
#include "matrix.h"
#include "threads.h"

/* Stages tiles of `from`, from *first on, as many as fit into a slot, and records their way into `to`, which has its type and shape;
 * *first becomes the tile that comes next. Threads of the pool copy, or convert. k: with rearrange of the type. The planes are there after
 * gpu_upload_wait. Errors: UNSUPPORTED (rows that are too long), those of gpu_upload_room. */
hn_status upload_tiles(gpu_upload *upload, threads *pool, const kernels *k, const matrix *from, const gpu_matrix *to, uint32_t *first,
                       hn_error *err);

#endif
