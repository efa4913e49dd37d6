/*
 * gguf_writer.h: builds a GGUF image in memory, or the header alone for those who write the data themselves; for tests. Every function
 * ends the program when memory runs out.
 */
#ifndef GGUF_WRITER_H
#define GGUF_WRITER_H

#include <stddef.h>
#include <stdint.h>

typedef struct gguf_writer {
  uint8_t *kv, *infos, *data; /* the three parts of a file, each grown as it is written */
  size_t kv_bytes, infos_bytes, data_bytes;
  uint64_t n_kv, n_tensors, tensor_bytes; /* the last: of all tensors so far, with what aligns them */
} gguf_writer;

void writer_u32(gguf_writer *w, const char *key, uint32_t value);
void writer_f32(gguf_writer *w, const char *key, float value);
void writer_bool(gguf_writer *w, const char *key, int value);
void writer_string(gguf_writer *w, const char *key, const char *value);
void writer_strings(gguf_writer *w, const char *key, const char *const *values, size_t n);
void writer_f32s(gguf_writer *w, const char *key, const float *values, size_t n);
void writer_i32s(gguf_writer *w, const char *key, const int32_t *values, size_t n);

/* A tensor of (n0, n1) elements, n0 innermost; n1 = 0: one dimension. Returns where its data begins, counted from the end of the header:
 * a multiple of 32. */
uint64_t writer_place(gguf_writer *w, const char *name, uint32_t type, uint64_t n0, uint64_t n1, uint64_t bytes);

/* The same with its data, for writer_finish. */
void writer_tensor(gguf_writer *w, const char *name, uint32_t type, uint64_t n0, uint64_t n1, const void *data,
                   size_t bytes);

/* What stands before the data in a file of version 3, malloc'ed. Frees the writer's parts. */
uint8_t *writer_header(gguf_writer *w, size_t *size);

/* The finished file, likewise. */
uint8_t *writer_finish(gguf_writer *w, size_t *size);

#endif
