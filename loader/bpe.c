/* bpe.c: see bpe.h. */
#include <stdlib.h>
#include <string.h>

#include "bpe.h"

enum {
  SHORT_WORD = 48,             /* symbols up to which looking through all pairs beats a heap */
  CACHE_MIN_TEXT = 512,        /* shorter texts repeat too little to pay for a cache */
  CACHE_TEXT_PER_WORD = 16,    /* bytes of text for each place in the cache ... */
  CACHE_MAX_WORDS = 1 << 14,   /* ... up to half a MiB, which stays near the processor */
  CACHE_MAX_WORD_LENGTH = 256, /* longer words hardly come again */
};
#define NO_LINK UINT32_MAX
#define MAX_SYMBOLS (UINT32_C(1) << 31)

/* ---- merging ---- */

/* The rank of merging symbols i and i + 1, with what they become; UINT32_MAX: they do not. */
static uint32_t pair_rank(const pair_map *merges, const int32_t *symbols, size_t i, int32_t *id) {
  const pair_merge *merge = pair_map_find(merges, symbols[i], symbols[i + 1]);
  if (merge == NULL)
    return UINT32_MAX;
  *id = merge->id;
  return merge->rank;
}

static size_t merge_short(const pair_map *merges, int32_t *symbols, size_t n) {
  uint32_t ranks[SHORT_WORD];
  int32_t ids[SHORT_WORD];
  for (size_t i = 0; i + 1 < n; i++)
    ranks[i] = pair_rank(merges, symbols, i, &ids[i]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++)
      if (ranks[i] < ranks[best])
        best = i;
    if (ranks[best] == UINT32_MAX)
      break;
    symbols[best] = ids[best];
    size_t behind = n - best - 2; /* symbols behind the pair */
    memmove(symbols + best + 1, symbols + best + 2, behind * sizeof *symbols);
    memmove(ranks + best, ranks + best + 1, behind * sizeof *ranks);
    memmove(ids + best, ids + best + 1, behind * sizeof *ids);
    n--;
    if (best + 1 < n)
      ranks[best] = pair_rank(merges, symbols, best, &ids[best]);
    if (best > 0)
      ranks[best - 1] = pair_rank(merges, symbols, best - 1, &ids[best - 1]);
  }
  return n;
}

static bool sooner(const bpe_candidate *a, const bpe_candidate *b) {
  return a->rank < b->rank || (a->rank == b->rank && a->at < b->at);
}

static void heap_push(bpe_candidate *heap, size_t *n, bpe_candidate candidate) {
  size_t at = (*n)++;
  while (at > 0 && sooner(&candidate, &heap[(at - 1) / 2])) {
    heap[at] = heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  heap[at] = candidate;
}

static bpe_candidate heap_pop(bpe_candidate *heap, size_t *n) {
  bpe_candidate first = heap[0], moving = heap[--*n];
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= *n)
      break;
    if (child + 1 < *n && sooner(&heap[child + 1], &heap[child]))
      child++;
    if (!sooner(&heap[child], &moving))
      break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = moving;
  return first;
}

static void push_pair(const pair_map *merges, bpe_work *work, size_t *n_heap, uint32_t left, uint32_t right) {
  const pair_merge *merge = pair_map_find(merges, work->symbols[left], work->symbols[right]);
  if (merge != NULL)
    heap_push(work->heap, n_heap,
              (bpe_candidate){merge->rank, left, work->symbols[left], work->symbols[right], merge->id});
}

static hn_status reserve_long(bpe_work *work, hn_error *err) {
  if (work->n <= work->long_capacity)
    return HN_OK;
  if (work->n > MAX_SYMBOLS || work->n > SIZE_MAX / (3 * sizeof *work->heap))
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "a word of %zu symbols is too long for the tokenizer", work->n);
  free(work->links);
  free(work->heap);
  work->long_capacity = 0;
  work->links = malloc(work->n * sizeof *work->links);
  /* At first a candidate per pair, and each merge, of which there are fewer than symbols, adds at most two. */
  work->heap = malloc(3 * work->n * sizeof *work->heap);
  if (work->links == NULL || work->heap == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory to merge a word of %zu symbols", work->n);
  work->long_capacity = work->n;
  return HN_OK;
}

static void merge_long(const pair_map *merges, bpe_work *work) {
  uint32_t n = (uint32_t)work->n;
  int32_t *symbols = work->symbols;
  bpe_link *links = work->links;
  size_t n_heap = 0;
  for (uint32_t i = 0; i < n; i++)
    links[i] = (bpe_link){i == 0 ? NO_LINK : i - 1, i + 1 == n ? NO_LINK : i + 1};
  for (uint32_t i = 0; i + 1 < n; i++)
    push_pair(merges, work, &n_heap, i, i + 1);
  while (n_heap > 0) {
    bpe_candidate c = heap_pop(work->heap, &n_heap);
    uint32_t left = c.at, right = links[left].next;
    /* A merged-away symbol is -1; a pair that changed since it was pushed has a newer candidate. */
    if (symbols[left] != c.left || right == NO_LINK || symbols[right] != c.right)
      continue;
    symbols[left] = c.id;
    symbols[right] = -1;
    uint32_t next = links[right].next, previous = links[left].previous;
    links[left].next = next;
    if (next != NO_LINK) {
      links[next].previous = left;
      push_pair(merges, work, &n_heap, left, next);
    }
    if (previous != NO_LINK)
      push_pair(merges, work, &n_heap, previous, left);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i < n; i++)
    if (symbols[i] >= 0)
      symbols[kept++] = symbols[i];
  work->n = kept;
}

hn_status bpe_merge(const pair_map *merges, bpe_work *work, hn_error *err) {
  if (work->n < 2)
    return HN_OK;
  if (work->n <= SHORT_WORD) {
    work->n = merge_short(merges, work->symbols, work->n);
    return HN_OK;
  }
  hn_status status = reserve_long(work, err);
  if (status == HN_OK)
    merge_long(merges, work);
  return status;
}

/* ---- work space and cache ---- */

void bpe_work_start(bpe_work *work, size_t text_length) {
  if (text_length < CACHE_MIN_TEXT)
    return;
  size_t n = 64;
  while (n < CACHE_MAX_WORDS && n * CACHE_TEXT_PER_WORD < text_length)
    n *= 2;
  work->words = calloc(n, sizeof *work->words);
  work->word_mask = n - 1;
}

void bpe_work_finish(bpe_work *work) {
  free(work->symbols);
  free(work->links);
  free(work->heap);
  free(work->words);
  *work = (bpe_work){0};
}

hn_status bpe_work_reserve(bpe_work *work, size_t n, hn_error *err) {
  if (n <= work->capacity)
    return HN_OK;
  size_t capacity = n < SIZE_MAX / 4 / sizeof *work->symbols ? n + n / 2 + 64 : 0;
  int32_t *symbols = capacity == 0 ? NULL : realloc(work->symbols, capacity * sizeof *symbols);
  if (symbols == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for a word of %zu symbols", n);
  work->symbols = symbols;
  work->capacity = capacity;
  return HN_OK;
}

bpe_word *bpe_word_place(bpe_work *work, const char *text, size_t length) {
  if (work->words == NULL || length > CACHE_MAX_WORD_LENGTH)
    return NULL;
  uint64_t hash = text_hash(text, length);
  return &work->words[(hash ^ hash >> 32) & work->word_mask];
}

bool bpe_word_is(const bpe_word *word, const char *text, size_t length) {
  return word->length == length && word->text != NULL && memcmp(word->text, text, length) == 0;
}

/* Makes room for n more; token_list_push's growth. */
static hn_status list_reserve(token_list *list, size_t n, hn_error *err) {
  if (list->capacity - list->n >= n)
    return HN_OK;
  size_t needed = list->n + n;
  size_t capacity = needed < list->n || needed > SIZE_MAX / 2 / sizeof *list->data ? 0 : needed + needed / 2 + 16;
  int32_t *data = capacity == 0 ? NULL : realloc(list->data, capacity * sizeof *data);
  if (data == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for %zu tokens", needed);
  list->data = data;
  list->capacity = capacity;
  return HN_OK;
}

hn_status token_list_push(token_list *list, int32_t id, hn_error *err) {
  hn_status status = list_reserve(list, 1, err);
  if (status == HN_OK)
    list->data[list->n++] = id;
  return status;
}

hn_status bpe_word_repeat(const bpe_word *word, token_list *out, hn_error *err) {
  hn_status status = list_reserve(out, word->n, err);
  if (status != HN_OK)
    return status;
  for (uint32_t i = 0; i < word->n; i++)
    out->data[out->n + i] = out->data[word->at + i];
  out->n += word->n;
  return HN_OK;
}

hn_status bpe_word_append(const bpe_work *work, bpe_word *place, const char *text, size_t length, token_list *out,
                          hn_error *err) {
  hn_status status = list_reserve(out, work->n, err);
  if (status != HN_OK)
    return status;
  if (place != NULL)
    *place = (bpe_word){text, (uint32_t)length, (uint32_t)work->n, out->n};
  if (work->n > 0)
    memcpy(out->data + out->n, work->symbols, work->n * sizeof *out->data);
  out->n += work->n;
  return HN_OK;
}

/* ---- byte-level ---- */

hn_status byte_bpe_read_merges(byte_bpe *bpe, const gguf_value *merges, const token_texts *written,
                               const token_map *by_name, hn_error *err) {
  if (merges == NULL || merges->type != GGUF_ARRAY || merges->elem_type != GGUF_STRING)
    return hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.merges is missing or no list of strings");
  if (merges->count > INT32_MAX)
    return hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.merges is too long");
  hn_status status = pair_map_init(&bpe->merges, (size_t)merges->count, err);
  if (status != HN_OK)
    return status;
  const uint8_t *cursor = merges->data;
  gguf_str merge;
  char *whole = NULL;
  size_t room = 0;
  for (uint32_t rank = 0; status == HN_OK && gguf_next_string(merges, &cursor, &merge); rank++) {
    /* A part never begins with the space: it is written as another character. */
    const char *space = merge.len < 3 ? NULL : memchr(merge.data + 1, ' ', merge.len - 2);
    if (space == NULL) {
      status = hn_fail(err, HN_ERROR_FORMAT, "tokenizer.ggml.merges: entry %u is no pair", (unsigned)rank);
      break;
    }
    size_t n_left = (size_t)(space - merge.data), n_right = merge.len - n_left - 1;
    int32_t left = token_map_find(by_name, written, merge.data, n_left);
    int32_t right = token_map_find(by_name, written, space + 1, n_right);
    if (left < 0 || right < 0)
      continue;
    if (merge.len > room) {
      char *larger = realloc(whole, merge.len);
      if (larger == NULL) {
        status = hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for a merge of %zu bytes", merge.len);
        break;
      }
      whole = larger;
      room = merge.len;
    }
    memcpy(whole, merge.data, n_left);
    memcpy(whole + n_left, space + 1, n_right);
    int32_t id = token_map_find(by_name, written, whole, n_left + n_right);
    if (id >= 0)
      pair_map_add(&bpe->merges, left, right, rank, id);
  }
  free(whole);
  return status;
}

typedef struct piece_job {
  const byte_bpe *bpe;
  bpe_work *work;
  token_list *out;
} piece_job;

static hn_status encode_piece(void *user, const char *text, size_t length, hn_error *err) {
  const piece_job *job = user;
  const byte_bpe *bpe = job->bpe;
  bpe_work *work = job->work;
  bpe_word *place = bpe_word_place(work, text, length);
  if (place != NULL && bpe_word_is(place, text, length))
    return bpe_word_repeat(place, job->out, err);
  hn_status status = bpe_work_reserve(work, length, err);
  if (status != HN_OK)
    return status;
  int32_t id =
      pretokenizer_traits_of(bpe->pre)->ignore_merges ? token_map_find(bpe->whole, bpe->bytes, text, length) : -1;
  work->n = 0;
  if (id >= 0) {
    work->symbols[work->n++] = id;
  } else {
    for (size_t i = 0; i < length; i++)
      if (bpe->byte_id[(uint8_t)text[i]] >= 0)
        work->symbols[work->n++] = bpe->byte_id[(uint8_t)text[i]];
    status = bpe_merge(&bpe->merges, work, err);
    if (status != HN_OK)
      return status;
  }
  return bpe_word_append(work, place, text, length, job->out, err);
}

hn_status byte_bpe_encode(const byte_bpe *bpe, bpe_work *work, const char *text, size_t length, token_list *out,
                          hn_error *err) {
  piece_job job = {bpe, work, out};
  return pretokenize(bpe->pre, text, length, encode_piece, &job, err);
}
