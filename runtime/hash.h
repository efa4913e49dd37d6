/* hash.h: a 64-bit hash against damage, not against malice: FNV-1a over words of 8 bytes, then the bytes that are left. */
#ifndef HN_HASH_H
#define HN_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_BEGIN 14695981039346656037u

/* Goes on from `hash`, HASH_BEGIN at first. Every single byte that differs gives another hash; pieces count as cut. */
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t n) {
  const uint8_t *p = data;
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    hash = (hash ^ word) * 1099511628211u;
    hash ^= hash >> 32;
  }
  for (; n > 0; n--, p++)
    hash = (hash ^ *p) * 1099511628211u;
  return hash;
}

#endif
