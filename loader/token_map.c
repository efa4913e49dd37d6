/* token_map.c: see token_map.h. */
#include <stdlib.h>
#include <string.h>

#include "token_map.h"

void token_texts_finish(token_texts *texts) {
  free(texts->bytes);
  free(texts->start);
  *texts = (token_texts){0};
}

uint64_t text_hash(const char *text, size_t length) {
  uint64_t hash = 0;
  for (size_t i = 0; i < length; i++)
    hash = hash * TEXT_HASH_FACTOR + (uint8_t)text[i] + 1;
  return hash;
}

/* The polynomial's low bits depend on few bytes: spread them. */
static uint64_t mix(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= UINT64_C(0xD6E8FEB86659FD93);
  return hash ^ hash >> 32;
}

/* A power of two of at least twice n slots: chains stay short. 0: too many. */
static size_t table_size(size_t n, size_t slot_bytes) {
  size_t size = 16;
  while (size / 2 < n) {
    if (size > SIZE_MAX / 4 / slot_bytes)
      return 0;
    size *= 2;
  }
  return size;
}

hn_status token_map_init(token_map *map, uint32_t n, hn_error *err) {
  size_t size = table_size(n, sizeof *map->slots);
  map->slots = size == 0 ? NULL : calloc(size, sizeof *map->slots);
  if (map->slots == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for a table of %u tokens", (unsigned)n);
  map->mask = size - 1;
  return HN_OK;
}

void token_map_finish(token_map *map) {
  free(map->slots);
  *map = (token_map){0};
}

static bool slot_is(const token_slot *slot, const token_texts *texts, const char *text, size_t length, uint32_t hash) {
  if (slot->hash != hash)
    return false;
  size_t n;
  const char *known = token_text(texts, (int32_t)(slot->id_plus - 1), &n);
  return n == length && memcmp(known, text, n) == 0;
}

void token_map_add(token_map *map, const token_texts *texts, int32_t id) {
  size_t length;
  const char *text = token_text(texts, id, &length);
  uint64_t mixed = mix(text_hash(text, length));
  uint32_t upper = (uint32_t)(mixed >> 32);
  size_t at = (size_t)mixed & map->mask;
  while (map->slots[at].id_plus != 0) {
    if (slot_is(&map->slots[at], texts, text, length, upper))
      return;
    at = (at + 1) & map->mask;
  }
  map->slots[at] = (token_slot){upper, (uint32_t)id + 1};
}

int32_t token_map_find_hashed(const token_map *map, const token_texts *texts, const char *text, size_t length,
                              uint64_t hash) {
  uint64_t mixed = mix(hash);
  uint32_t upper = (uint32_t)(mixed >> 32);
  for (size_t at = (size_t)mixed & map->mask; map->slots[at].id_plus != 0; at = (at + 1) & map->mask)
    if (slot_is(&map->slots[at], texts, text, length, upper))
      return (int32_t)(map->slots[at].id_plus - 1);
  return -1;
}

int32_t token_map_find(const token_map *map, const token_texts *texts, const char *text, size_t length) {
  return token_map_find_hashed(map, texts, text, length, text_hash(text, length));
}

hn_status pair_map_init(pair_map *map, size_t n, hn_error *err) {
  size_t size = table_size(n, sizeof *map->slots);
  map->slots = size == 0 ? NULL : malloc(size * sizeof *map->slots);
  if (map->slots == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for a table of %zu merges", n);
  map->mask = size - 1;
  for (size_t i = 0; i < size; i++)
    map->slots[i] = (pair_merge){PAIR_EMPTY, 0, 0};
  return HN_OK;
}

void pair_map_finish(pair_map *map) {
  free(map->slots);
  *map = (pair_map){0};
}

void pair_map_add(pair_map *map, int32_t left, int32_t right, uint32_t rank, int32_t id) {
  uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
  size_t at = (size_t)pair_hash(key) & map->mask;
  while (map->slots[at].key != PAIR_EMPTY && map->slots[at].key != key)
    at = (at + 1) & map->mask;
  map->slots[at] = (pair_merge){key, rank, id};
}
