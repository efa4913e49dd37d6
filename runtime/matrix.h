/* matrix.h: the rows of a tensor as the kernels read them: F32, F16 and BF16 become Q8_0 on the way. */
#ifndef HN_MATRIX_H
#define HN_MATRIX_H

#include "../loader/gguf.h"

typedef struct matrix {
  const gguf_tensor *tensor;
  uint32_t type; /* a quantized one */
  uint32_t n_rows, n_cols;
  size_t row_bytes; /* of rows of `type` */
} matrix;

matrix matrix_of(const gguf_tensor *tensor);

/* Row `row`: in the file's mapping, or converted into buffer (row_bytes). */
const uint8_t *matrix_row(const matrix *m, uint32_t row, uint8_t *buffer);

#endif
