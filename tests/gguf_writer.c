#include "gguf_writer.h"

#include <stdlib.h>
#include <string.h>

enum { TYPE_U32 = 4, TYPE_I32 = 5, TYPE_F32 = 6, TYPE_BOOL = 7, TYPE_STRING = 8, TYPE_ARRAY = 9, ALIGNMENT = 32 };

static void append(uint8_t **part, size_t *bytes, const void *data, size_t n) {
  uint8_t *grown = realloc(*part, *bytes + n + 1);
  if (!grown)
    exit(99);
  if (n)
    memcpy(grown + *bytes, data, n);
  *part = grown;
  *bytes += n;
}

static void kv_bytes(gguf_writer *w, const void *data, size_t n) {
  append(&w->kv, &w->kv_bytes, data, n);
}

static void kv_text(gguf_writer *w, const char *text) {
  uint64_t n = strlen(text);
  kv_bytes(w, &n, 8);
  kv_bytes(w, text, (size_t)n);
}

static void kv_start(gguf_writer *w, const char *key, uint32_t type) {
  kv_text(w, key);
  kv_bytes(w, &type, 4);
  w->n_kv++;
}

static void array_start(gguf_writer *w, const char *key, uint32_t elem_type, size_t n) {
  uint64_t count = n;
  kv_start(w, key, TYPE_ARRAY);
  kv_bytes(w, &elem_type, 4);
  kv_bytes(w, &count, 8);
}

void writer_u32(gguf_writer *w, const char *key, uint32_t value) {
  kv_start(w, key, TYPE_U32);
  kv_bytes(w, &value, 4);
}

void writer_f32(gguf_writer *w, const char *key, float value) {
  kv_start(w, key, TYPE_F32);
  kv_bytes(w, &value, 4);
}

void writer_bool(gguf_writer *w, const char *key, int value) {
  uint8_t byte = value != 0;
  kv_start(w, key, TYPE_BOOL);
  kv_bytes(w, &byte, 1);
}

void writer_string(gguf_writer *w, const char *key, const char *value) {
  kv_start(w, key, TYPE_STRING);
  kv_text(w, value);
}

void writer_strings(gguf_writer *w, const char *key, const char *const *values, size_t n) {
  array_start(w, key, TYPE_STRING, n);
  for (size_t i = 0; i < n; i++)
    kv_text(w, values[i]);
}

void writer_f32s(gguf_writer *w, const char *key, const float *values, size_t n) {
  array_start(w, key, TYPE_F32, n);
  kv_bytes(w, values, n * sizeof *values);
}

void writer_i32s(gguf_writer *w, const char *key, const int32_t *values, size_t n) {
  array_start(w, key, TYPE_I32, n);
  kv_bytes(w, values, n * sizeof *values);
}

static size_t to_alignment(uint64_t bytes) {
  return (size_t)((ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT);
}

static void pad(uint8_t **part, size_t *bytes) {
  static const uint8_t zeros[ALIGNMENT];
  append(part, bytes, zeros, to_alignment(*bytes));
}

uint64_t writer_place(gguf_writer *w, const char *name, uint32_t type, uint64_t n0, uint64_t n1, uint64_t bytes) {
  uint64_t length = strlen(name), offset = w->tensor_bytes + to_alignment(w->tensor_bytes);
  uint32_t n_dims = n1 ? 2 : 1;
  append(&w->infos, &w->infos_bytes, &length, 8);
  append(&w->infos, &w->infos_bytes, name, (size_t)length);
  append(&w->infos, &w->infos_bytes, &n_dims, 4);
  append(&w->infos, &w->infos_bytes, &n0, 8);
  if (n1)
    append(&w->infos, &w->infos_bytes, &n1, 8);
  append(&w->infos, &w->infos_bytes, &type, 4);
  append(&w->infos, &w->infos_bytes, &offset, 8);
  w->n_tensors++;
  w->tensor_bytes = offset + bytes;
  return offset;
}

void writer_tensor(gguf_writer *w, const char *name, uint32_t type, uint64_t n0, uint64_t n1, const void *data,
                   size_t bytes) {
  writer_place(w, name, type, n0, n1, bytes);
  pad(&w->data, &w->data_bytes);
  append(&w->data, &w->data_bytes, data, bytes);
}

uint8_t *writer_header(gguf_writer *w, size_t *size) {
  uint8_t *file = NULL;
  uint32_t version = 3;
  *size = 0;
  append(&file, size, "GGUF", 4);
  append(&file, size, &version, 4);
  append(&file, size, &w->n_tensors, 8);
  append(&file, size, &w->n_kv, 8);
  append(&file, size, w->kv, w->kv_bytes);
  append(&file, size, w->infos, w->infos_bytes);
  pad(&file, size);
  free(w->kv);
  free(w->infos);
  free(w->data);
  *w = (gguf_writer){0};
  return file;
}

uint8_t *writer_finish(gguf_writer *w, size_t *size) {
  uint8_t *data = w->data;
  size_t data_bytes = w->data_bytes;
  w->data = NULL; /* not yet to be freed */
  uint8_t *file = writer_header(w, size);
  append(&file, size, data, data_bytes);
  free(data);
  return file;
}
