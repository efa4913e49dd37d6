#include "matrix.h"

#include "../loader/quant.h"

static size_t bytes_of(uint32_t type, size_t n) {
  quant_type_info info = quant_info(type);
  return n / info.block_weights * info.block_bytes;
}

matrix matrix_of(const gguf_tensor *tensor) {
  uint32_t type = quant_is_quantized(tensor->type) ? tensor->type : QUANT_Q8_0;
  return (matrix){
      .tensor = tensor,
      .type = type,
      .n_rows = (uint32_t)tensor->dims[1],
      .n_cols = (uint32_t)tensor->dims[0],
      .row_bytes = bytes_of(type, tensor->dims[0]),
  };
}

const uint8_t *matrix_row(const matrix *m, uint32_t row, uint8_t *buffer) {
  uint32_t type = m->tensor->type;
  const uint8_t *data = m->tensor->data + row * bytes_of(type, m->n_cols);
  if (type == m->type)
    return data;
  size_t block = bytes_of(QUANT_Q8_0, 32);
  for (size_t i = 0; i < m->n_cols; i += 32) {
    float x[32];
    quant_dequantize(type, data + bytes_of(type, i), 32, x);
    quant_to_q8_0(x, 32, buffer + i / 32 * block);
  }
  return buffer;
}
