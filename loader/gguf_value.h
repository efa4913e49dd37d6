/* gguf_value.h: how metadata values lie in a GGUF file; for gguf.c and gguf_value.c alone. */
#ifndef HN_GGUF_VALUE_H
#define HN_GGUF_VALUE_H

#include "gguf.h"

/* n <= 8 bytes as an unsigned integer. */
uint64_t gguf_little_endian(const uint8_t *p, size_t n);

/* Bytes of a value; 0 for strings, arrays and unknown types. */
size_t gguf_scalar_size(gguf_type type);

#endif
