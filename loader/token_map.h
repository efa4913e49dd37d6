/*
 * token_map.h: the tables that tokenizers look things up in: a text's token, and a pair's merge.
 *
 * All are filled once and then only read.
 */
#ifndef HN_TOKEN_MAP_H
#define HN_TOKEN_MAP_H

#include "../runtime/error.h"

/* The texts of all tokens in one piece of memory. */
typedef struct token_texts {
  char *bytes;
  size_t *start; /* (n + 1) */
  uint32_t n;
} token_texts;

static inline const char *token_text(const token_texts *texts, int32_t id, size_t *length) {
  *length = texts->start[id + 1] - texts->start[id];
  return texts->bytes + texts->start[id];
}

void token_texts_finish(token_texts *texts);

/*
 * The hash of a text, sum of (byte + 1) * K^(bytes behind it) modulo 2^64, so that it can be built from either end.
 */
#define TEXT_HASH_FACTOR UINT64_C(0x9E3779B97F4A7C15)
uint64_t text_hash(const char *text, size_t length);

typedef struct token_slot {
  uint32_t hash;    /* the mixed hash's upper half: most misses end here */
  uint32_t id_plus; /* id + 1; 0: empty */
} token_slot;

typedef struct token_map { /* from texts to ids, open addressing */
  token_slot *slots;
  size_t mask;
} token_map;

/* Room for n texts. Errors: OUT_OF_MEMORY. */
hn_status token_map_init(token_map *map, uint32_t n, hn_error *err);
void token_map_finish(token_map *map);

/* Adds a token; of equal texts the first stays. No more than were announced. */
void token_map_add(token_map *map, const token_texts *texts, int32_t id);

/* The id of a text whose text_hash is hash; -1: none. */
int32_t token_map_find_hashed(const token_map *map, const token_texts *texts, const char *text, size_t length,
                              uint64_t hash);
int32_t token_map_find(const token_map *map, const token_texts *texts, const char *text, size_t length);

typedef struct pair_merge {
  uint64_t key;  /* left << 32 | right */
  uint32_t rank; /* the lower is merged first */
  int32_t id;    /* what the two become */
} pair_merge;

typedef struct pair_map { /* from two neighbours to their merge */
  pair_merge *slots;
  size_t mask;
} pair_map;

/* Room for n pairs. Errors: OUT_OF_MEMORY. */
hn_status pair_map_init(pair_map *map, size_t n, hn_error *err);
void pair_map_finish(pair_map *map);

/* Adds a merge; of equal pairs the last stays. No more than were announced. */
void pair_map_add(pair_map *map, int32_t left, int32_t right, uint32_t rank, int32_t id);

#define PAIR_EMPTY UINT64_MAX /* no pair of ids, which are below 2^31 */

static inline uint64_t pair_hash(uint64_t key) {
  key *= UINT64_C(0xD6E8FEB86659FD93);
  return key ^ key >> 32;
}

/* NULL: the two do not merge. */
static inline const pair_merge *pair_map_find(const pair_map *map, int32_t left, int32_t right) {
  uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
  for (size_t at = (size_t)pair_hash(key) & map->mask;; at = (at + 1) & map->mask) {
    const pair_merge *slot = &map->slots[at];
    if (slot->key == key)
      return slot;
    if (slot->key == PAIR_EMPTY)
      return NULL;
  }
}

#endif
