/*
 * gguf.h: reads GGUF files, versions 2 and 3, little endian.
 *
 * A file is mapped and its header parsed once; every count, length, offset and type is checked before it is used, so
 * that after gguf_open succeeds all accessors are safe. Format: the GGUF specification in the ggml project's docs.
 */
#ifndef HN_GGUF_H
#define HN_GGUF_H

#include "../runtime/error.h"

typedef enum gguf_type { /* metadata value types, numbered as in the file */
  GGUF_UINT8 = 0, GGUF_INT8 = 1, GGUF_UINT16 = 2, GGUF_INT16 = 3, GGUF_UINT32 = 4, GGUF_INT32 = 5, GGUF_FLOAT32 = 6,
  GGUF_BOOL = 7, GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_UINT64 = 10, GGUF_INT64 = 11, GGUF_FLOAT64 = 12,
} gguf_type;

typedef struct gguf_str { /* not terminated; points into the mapping */
  const char *data;
  size_t len;
} gguf_str;

/* One metadata value. For a GGUF_ARRAY, elements start at `data` in the mapping, densely packed as in the file. */
typedef struct gguf_value {
  gguf_type type;
  gguf_type elem_type; /* arrays */
  uint64_t count;      /* arrays: number of elements; else 1 */
  const uint8_t *data; /* the value's first byte (strings: at the length; arrays: at the first element) */
  const uint8_t *end;  /* one past its last byte */
} gguf_value;

typedef struct gguf_kv {
  const char *key; /* terminated copy */
  gguf_value value;
} gguf_kv;

typedef struct gguf_tensor {
  const char *name; /* terminated copy */
  uint32_t type;    /* quant_type, see quant.h; always a known one */
  uint32_t n_dims;  /* 1 .. 4 */
  uint64_t dims[4]; /* innermost first; unused ones are 1; each >= 1 */
  uint64_t offset;  /* from the start of the file */
  uint64_t bytes;
  const uint8_t *data; /* in the mapping */
} gguf_tensor;

typedef struct gguf_file {
  char *path;       /* for messages */
  uint8_t *base;    /* the mapping, or the caller's memory */
  size_t size;
  bool mapped;
  uint32_t version; /* 2 or 3 */
  uint64_t alignment;
  gguf_kv *kv;
  size_t n_kv;
  gguf_tensor *tensors;
  size_t n_tensors;
  char *names; /* storage of keys and tensor names */
  void *index; /* gguf.c's own: sorted look-up tables */
} gguf_file;

/*
 * Opens and checks a file, mapped read-only. On failure *out is NULL. Errors: IO, FORMAT, UNSUPPORTED (big endian,
 * version, tensor type), OUT_OF_MEMORY; the message names the file, the byte offset and what was expected.
 */
hn_status gguf_open(const char *path, gguf_file **out, hn_error *err);

/* The same over memory that the caller keeps alive; name stands in messages. */
hn_status gguf_open_memory(const void *data, size_t size, const char *name, gguf_file **out, hn_error *err);

void gguf_close(gguf_file **file);

/* Lets the system take back the memory that holds a tensor's bytes: where they are needed again, they are read from the file again. */
void gguf_release(const gguf_file *file, const gguf_tensor *tensor);

/* NULL where there is none. */
const gguf_value *gguf_find(const gguf_file *file, const char *key);
const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name);

/* Elements of all tensors. */
uint64_t gguf_n_elements(const gguf_file *file);

/*
 * Typed reads. Return false where the value is absent (NULL), of another kind or out of the range of the result; *out is
 * then unchanged. Integers of all widths convert to each other where the value fits, floats from any float or integer.
 */
bool gguf_u32(const gguf_value *value, uint32_t *out);
bool gguf_i32(const gguf_value *value, int32_t *out);
bool gguf_u64(const gguf_value *value, uint64_t *out);
bool gguf_f32(const gguf_value *value, float *out);
bool gguf_bool(const gguf_value *value, bool *out);
bool gguf_string(const gguf_value *value, gguf_str *out);

/* Walks an array of strings: *cursor starts as value->data. False at the end. */
bool gguf_next_string(const gguf_value *array, const uint8_t **cursor, gguf_str *out);

/* Element i of an array of numbers. False when out of range or not convertible. */
bool gguf_array_i32(const gguf_value *array, uint64_t i, int32_t *out);
bool gguf_array_f32(const gguf_value *array, uint64_t i, float *out);

/* "uint32", "array" ... ; "?" for an unknown one. */
const char *gguf_type_name(gguf_type type);

#endif
