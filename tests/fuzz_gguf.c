/* fuzz_gguf.c: no file may crash the reader of GGUF files, hang it or make it hand out numbers that were not checked. */
#include <stdlib.h>

#include "../loader/gguf.h"
#include "../loader/model.h"
#include "../loader/quant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

/* Reads a tensor's first and last byte, and a value as everything it could be. */
static void touch_tensor(const gguf_tensor *t) {
  if (t->bytes == 0 || t->n_dims < 1 || t->n_dims > 4 || !quant_info(t->type).name)
    abort();
  sink = t->data[0];
  sink = t->data[t->bytes - 1];
}

static void touch_value(const gguf_value *v) {
  uint64_t u;
  int32_t i;
  float f;
  bool b;
  gguf_str s;
  gguf_u64(v, &u);
  gguf_i32(v, &i);
  gguf_f32(v, &f);
  gguf_bool(v, &b);
  if (gguf_string(v, &s) && s.len)
    sink = (uint8_t)s.data[s.len - 1];
  if (v->type != GGUF_ARRAY)
    return;
  if (v->count) {
    gguf_array_i32(v, v->count - 1, &i);
    gguf_array_f32(v, v->count - 1, &f);
  }
  const uint8_t *cursor = v->data;
  while (gguf_next_string(v, &cursor, &s))
    if (s.len)
      sink = (uint8_t)s.data[s.len - 1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gguf_file *file = NULL;
  if (gguf_open_memory(data, size, "fuzzed", &file, NULL) != HN_OK)
    return 0;
  for (size_t i = 0; i < file->n_kv; i++)
    touch_value(&file->kv[i].value);
  for (size_t i = 0; i < file->n_tensors; i++)
    touch_tensor(&file->tensors[i]);
  model_header header;
  if (model_read(file, 300, &header, NULL) == HN_OK)
    model_finish(&header);
  gguf_close(&file);
  return 0;
}
