/* spm.c: see spm.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spm.h"
#include "token_type.h"
#include "utf8.h"

enum {
  MAX_MERGED_BYTES = 256, /* longer tokens are never the result of a merge; bounds the work of deriving merges */
};

typedef struct derived {
  float score;
  int32_t id, left, right;
} derived;

typedef struct derived_list {
  derived *data;
  size_t n, capacity;
} derived_list;

static bool takes_part(uint8_t type) {
  return type == TOKEN_NORMAL || type == TOKEN_USER_DEFINED;
}

static bool push(derived_list *list, derived merge) {
  if (list->n == list->capacity) {
    size_t capacity = list->capacity == 0 ? 1024 : list->capacity * 2;
    derived *data = capacity > SIZE_MAX / 2 / sizeof *data ? NULL : realloc(list->data, capacity * sizeof *data);
    if (data == NULL)
      return false;
    list->data = data;
    list->capacity = capacity;
  }
  list->data[list->n++] = merge;
  return true;
}

static int by_rank(const void *a, const void *b) {
  const derived *x = a, *y = b;
  if (x->score != y->score)
    return x->score > y->score ? -1 : 1;
  if (x->id != y->id)
    return x->id < y->id ? -1 : 1;
  if (x->left != y->left)
    return x->left < y->left ? -1 : 1;
  return x->right < y->right ? -1 : x->right > y->right;
}

/* All ways to cut token id into two others. Hashes of all beginnings and ends are built in two passes. */
static bool derive(const spm *s, const uint8_t *types, const float *scores, int32_t id, derived_list *list) {
  size_t length;
  const char *text = token_text(s->written, id, &length);
  if (length < 2 || length > MAX_MERGED_BYTES || !takes_part(types[id]))
    return true;
  if (token_map_find(s->by_name, s->written, text, length) != id)
    return true; /* the same text twice: the first counts */
  uint64_t ends[MAX_MERGED_BYTES + 1], factor = 1, hash = 0;
  ends[length] = 0;
  for (size_t i = length; i-- > 0;) {
    ends[i] = ends[i + 1] + factor * ((uint64_t)(uint8_t)text[i] + 1);
    factor *= TEXT_HASH_FACTOR;
  }
  for (size_t i = 1; i < length; i++) {
    hash = hash * TEXT_HASH_FACTOR + (uint8_t)text[i - 1] + 1;
    if (((uint8_t)text[i] & 0xC0) == 0x80)
      continue;
    int32_t left = token_map_find_hashed(s->by_name, s->written, text, i, hash);
    if (left < 0 || !takes_part(types[left]))
      continue;
    int32_t right = token_map_find_hashed(s->by_name, s->written, text + i, length - i, ends[i]);
    if (right >= 0 && takes_part(types[right]) && !push(list, (derived){scores[id], id, left, right}))
      return false;
  }
  return true;
}

/* U+2581 behind another character. */
static bool has_inner_space(const char *text, size_t length) {
  bool other = false;
  for (size_t at = 0; at < length;) {
    bool space = length - at >= SPM_SPACE_BYTES && memcmp(text + at, SPM_SPACE, SPM_SPACE_BYTES) == 0;
    if (space && other)
      return true;
    other = other || !space;
    at += space ? SPM_SPACE_BYTES : 1;
  }
  return false;
}

static void find_single(spm *s, const uint8_t *types) {
  for (int byte = 0; byte < 128; byte++) {
    char c = (char)byte;
    s->ascii[byte] = token_map_find(s->by_name, s->written, &c, 1);
  }
  s->space = token_map_find(s->by_name, s->written, SPM_SPACE, SPM_SPACE_BYTES);
  s->all_bytes = true;
  for (unsigned byte = 0; byte < 256; byte++) {
    char name[8];
    int n = snprintf(name, sizeof name, "<0x%02X>", byte);
    s->byte_id[byte] = token_map_find(s->by_name, s->written, name, (size_t)n);
    s->all_bytes = s->all_bytes && s->byte_id[byte] >= 0;
  }
  s->unknown = -1;
  for (uint32_t i = 0; i < s->written->n && s->unknown < 0; i++)
    if (types[i] == TOKEN_UNKNOWN)
      s->unknown = (int32_t)i;
}

hn_status spm_init(spm *s, const token_texts *written, const token_map *by_name, const uint8_t *types,
                   const float *scores, hn_error *err) {
  *s = (spm){.written = written, .by_name = by_name, .add_space = true};
  find_single(s, types);
  derived_list list = {0};
  hn_status status = HN_OK;
  for (uint32_t i = 0; i < written->n; i++)
    if (!derive(s, types, scores, (int32_t)i, &list)) {
      status = hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for the tokenizer's merges");
      goto done;
    }
  if (list.n > INT32_MAX) {
    status = hn_fail(err, HN_ERROR_UNSUPPORTED, "the vocabulary has too many merges (%zu)", list.n);
    goto done;
  }
  status = pair_map_init(&s->merges, list.n, err);
  if (status != HN_OK)
    goto done;
  if (list.n > 0)
    qsort(list.data, list.n, sizeof *list.data, by_rank);
  s->words_apart = s->space >= 0;
  for (size_t i = 0; i < list.n; i++) {
    const derived *d = &list.data[i];
    pair_map_add(&s->merges, d->left, d->right, (uint32_t)i, d->id);
    size_t length;
    const char *text = token_text(written, d->id, &length);
    s->words_apart = s->words_apart && !has_inner_space(text, length);
  }
done:
  free(list.data);
  return status;
}

void spm_finish(spm *s) {
  pair_map_finish(&s->merges);
}

/* ---- encoding ---- */

/* A run of what has no token is one unknown token. */
static void push_unknown(const spm *s, bpe_work *work) {
  if (s->unknown >= 0 && (work->n == 0 || work->symbols[work->n - 1] != s->unknown))
    work->symbols[work->n++] = s->unknown;
}

static void push_character(const spm *s, bpe_work *work, const char *text, size_t length) {
  int32_t id;
  if (length == 1)
    id = *text == ' ' ? s->space : s->ascii[(uint8_t)*text];
  else
    id = token_map_find(s->by_name, s->written, text, length);
  if (id >= 0) {
    work->symbols[work->n++] = id;
    return;
  }
  if (!s->all_bytes) {
    push_unknown(s, work);
    return;
  }
  bool space = length == 1 && *text == ' ';
  const char *bytes = space ? SPM_SPACE : text;
  for (size_t i = 0; i < (space ? SPM_SPACE_BYTES : length); i++)
    work->symbols[work->n++] = s->byte_id[(uint8_t)bytes[i]];
}

static hn_status encode_word(const spm *s, bpe_work *work, const char *text, size_t length, bool space_before,
                             token_list *out, hn_error *err) {
  bpe_word *place = space_before ? NULL : bpe_word_place(work, text, length);
  if (place != NULL && bpe_word_is(place, text, length))
    return bpe_word_repeat(place, out, err);
  if (length > SIZE_MAX / 8)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "a text of %zu bytes is too long for the tokenizer", length);
  /* A space that is no token becomes three bytes' tokens; any other byte at most one. */
  hn_status status = bpe_work_reserve(work, (length + 1) * (s->space >= 0 ? 1 : SPM_SPACE_BYTES), err);
  if (status != HN_OK)
    return status;
  work->n = 0;
  if (space_before)
    push_character(s, work, " ", 1);
  for (size_t at = 0, used; at < length; at += used) {
    used = utf8_lead_length(text[at]);
    push_character(s, work, text + at, used);
  }
  status = bpe_merge(&s->merges, work, err);
  if (status != HN_OK)
    return status;
  return bpe_word_append(work, place, text, length, out, err);
}

/* Where the word that begins at `at` ends: before the next space that follows something else. */
static size_t word_end(const char *text, size_t length, size_t at) {
  size_t end = at;
  while (end < length && text[end] == ' ')
    end++;
  for (;;) {
    const char *space = end < length ? memchr(text + end, ' ', length - end) : NULL;
    if (space == NULL)
      return length;
    end = (size_t)(space - text);
    /* U+2581 in the text itself is a space as well, and may merge with this one. */
    bool run = end - at >= SPM_SPACE_BYTES && memcmp(space - SPM_SPACE_BYTES, SPM_SPACE, SPM_SPACE_BYTES) == 0;
    if (!run)
      return end;
    while (end < length && text[end] == ' ')
      end++;
  }
}

hn_status spm_encode(const spm *s, bpe_work *work, const char *text, size_t length, token_list *out, hn_error *err) {
  if (length == 0)
    return HN_OK;
  if (!s->words_apart)
    return encode_word(s, work, text, length, s->add_space, out, err);
  hn_status status = HN_OK;
  for (size_t at = 0, end; status == HN_OK && at < length; at = end) {
    end = word_end(text, length, at);
    status = encode_word(s, work, text + at, end - at, at == 0 && s->add_space, out, err);
  }
  return status;
}
