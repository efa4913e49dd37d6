#include "gguf_value.h"

#include <math.h>
#include <string.h>

uint64_t gguf_little_endian(const uint8_t *p, size_t n) {
  uint64_t value = 0;
  for (size_t i = 0; i < n; i++)
    value |= (uint64_t)p[i] << (8 * i);
  return value;
}

size_t gguf_scalar_size(gguf_type type) {
  switch (type) {
  case GGUF_UINT8:
  case GGUF_INT8:
  case GGUF_BOOL:
    return 1;
  case GGUF_UINT16:
  case GGUF_INT16:
    return 2;
  case GGUF_UINT32:
  case GGUF_INT32:
  case GGUF_FLOAT32:
    return 4;
  case GGUF_UINT64:
  case GGUF_INT64:
  case GGUF_FLOAT64:
    return 8;
  default:
    return 0;
  }
}

const char *gguf_type_name(gguf_type type) {
  static const char *const names[] = {"uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                      "bool",  "string", "array",  "uint64", "int64",  "float64"};
  return (unsigned)type < sizeof names / sizeof *names ? names[type] : "?";
}

typedef struct number {
  enum { NO_NUMBER, UNSIGNED, SIGNED, FLOAT } kind; /* SIGNED: negative ones alone */
  uint64_t u;
  int64_t i;
  double f;
} number;

static number load_number(gguf_type type, const uint8_t *p) {
  size_t size = gguf_scalar_size(type);
  if (size == 0 || type == GGUF_BOOL)
    return (number){.kind = NO_NUMBER};
  uint64_t bits = gguf_little_endian(p, size);
  if (type == GGUF_FLOAT32) {
    float f;
    memcpy(&f, p, sizeof f);
    return (number){.kind = FLOAT, .f = (double)f};
  }
  if (type == GGUF_FLOAT64) {
    double f;
    memcpy(&f, p, sizeof f);
    return (number){.kind = FLOAT, .f = f};
  }
  bool is_signed = type == GGUF_INT8 || type == GGUF_INT16 || type == GGUF_INT32 || type == GGUF_INT64;
  uint64_t sign = UINT64_C(1) << (size * 8 - 1);
  if (!is_signed || !(bits & sign))
    return (number){.kind = UNSIGNED, .u = bits, .f = (double)bits};
  int64_t i = -(int64_t)((~bits & (sign - 1))) - 1;
  return (number){.kind = SIGNED, .i = i, .f = (double)i};
}

static number value_number(const gguf_value *value) {
  return value ? load_number(value->type, value->data) : (number){.kind = NO_NUMBER};
}

static bool number_i32(number n, int32_t *out) {
  if (n.kind == UNSIGNED && n.u <= INT32_MAX)
    *out = (int32_t)n.u;
  else if (n.kind == SIGNED && n.i >= INT32_MIN)
    *out = (int32_t)n.i;
  else
    return false;
  return true;
}

bool gguf_u64(const gguf_value *value, uint64_t *out) {
  number n = value_number(value);
  if (n.kind != UNSIGNED)
    return false;
  *out = n.u;
  return true;
}

bool gguf_u32(const gguf_value *value, uint32_t *out) {
  uint64_t wide;
  if (!gguf_u64(value, &wide) || wide > UINT32_MAX)
    return false;
  *out = (uint32_t)wide;
  return true;
}

bool gguf_i32(const gguf_value *value, int32_t *out) {
  return number_i32(value_number(value), out);
}

static bool number_f32(number n, float *out) {
  if (n.kind == NO_NUMBER || !isfinite(n.f) || n.f > 3.4028234663852886e38 || n.f < -3.4028234663852886e38)
    return false;
  *out = (float)n.f;
  return true;
}

bool gguf_f32(const gguf_value *value, float *out) {
  return number_f32(value_number(value), out);
}

bool gguf_bool(const gguf_value *value, bool *out) {
  if (!value || value->type != GGUF_BOOL)
    return false;
  *out = value->data[0] != 0;
  return true;
}

bool gguf_string(const gguf_value *value, gguf_str *out) {
  if (!value || value->type != GGUF_STRING)
    return false;
  *out = (gguf_str){(const char *)value->data + 8, (size_t)gguf_little_endian(value->data, 8)};
  return true;
}

bool gguf_next_string(const gguf_value *array, const uint8_t **cursor, gguf_str *out) {
  if (array->type != GGUF_ARRAY || array->elem_type != GGUF_STRING || *cursor >= array->end)
    return false;
  *out = (gguf_str){(const char *)*cursor + 8, (size_t)gguf_little_endian(*cursor, 8)};
  *cursor += 8 + out->len;
  return true;
}

static number array_number(const gguf_value *array, uint64_t i) {
  if (!array || array->type != GGUF_ARRAY || i >= array->count)
    return (number){.kind = NO_NUMBER};
  return load_number(array->elem_type, array->data + i * gguf_scalar_size(array->elem_type));
}

bool gguf_array_i32(const gguf_value *array, uint64_t i, int32_t *out) {
  return number_i32(array_number(array, i), out);
}

bool gguf_array_f32(const gguf_value *array, uint64_t i, float *out) {
  return number_f32(array_number(array, i), out);
}
