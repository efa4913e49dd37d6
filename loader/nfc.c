/*
 * nfc.c: see nfc.h.
 *
 * A text is a row of inert characters, which normalization neither changes nor joins to what precedes them, and of
 * stretches of others. Each stretch, with the inert character before it (its marks may join that), is normalized alone.
 */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "nfc.h"
#include "utf8.h"

enum {
  MAX_DECOMPOSED = 8,  /* code points of one character's canonical decomposition; Unicode needs 4 */
  MAX_UTF8_GROWTH = 3, /* form C of UTF-8 is at most three times as long (Unicode annex 15) */
  N_CLASSES = 256,     /* canonical combining classes */
};

typedef struct stretch { /* work space for the decomposed code points */
  int32_t *points, *sorted;
  size_t n, capacity;
} stretch;

/* Below U+0300 nothing joins what precedes it and all is composed; the ideographs never take part. */
static bool inert(uint32_t c) {
  return c < 0x300 || (c >= 0x4E00 && c <= 0x9FFF);
}

static bool reserve(stretch *s, size_t n) {
  if (n <= s->capacity)
    return true;
  size_t capacity = n + n / 2 + 64;
  if (n > SIZE_MAX / 16)
    return false;
  int32_t *points = realloc(s->points, capacity * sizeof *points);
  if (points != NULL)
    s->points = points;
  int32_t *sorted = realloc(s->sorted, capacity * sizeof *sorted);
  if (sorted != NULL)
    s->sorted = sorted;
  if (points == NULL || sorted == NULL)
    return false;
  s->capacity = capacity;
  return true;
}

static unsigned combining_class(int32_t c) {
  return (unsigned)utf8proc_get_property(c)->combining_class & (N_CLASSES - 1);
}

/* Sorts marks from .. to by class, equal ones in their order: a counting sort. */
static void sort_marks(stretch *s, size_t from, size_t to) {
  size_t place[N_CLASSES + 1] = {0};
  for (size_t i = from; i < to; i++)
    place[combining_class(s->points[i]) + 1]++;
  for (size_t k = 1; k <= N_CLASSES; k++)
    place[k] += place[k - 1];
  for (size_t i = from; i < to; i++)
    s->sorted[place[combining_class(s->points[i])]++] = s->points[i];
  memcpy(s->points + from, s->sorted, (to - from) * sizeof *s->points);
}

static void sort_all_marks(stretch *s) {
  for (size_t i = 0; i < s->n;) {
    size_t end = i;
    bool ordered = true;
    unsigned last = 0;
    for (; end < s->n; end++) {
      unsigned class = combining_class(s->points[end]);
      if (class == 0)
        break;
      ordered = ordered && class >= last;
      last = class;
    }
    if (!ordered)
      sort_marks(s, i, end);
    i = end + 1;
  }
}

static bool decompose(stretch *s, const char *text, size_t length) {
  s->n = 0;
  for (size_t at = 0, used; at < length; at += used) {
    used = utf8_lead_length(text[at]);
    if (!reserve(s, s->n + MAX_DECOMPOSED))
      return false;
    int32_t c = (int32_t)utf8_decode(text + at, used);
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(c, s->points + s->n, MAX_DECOMPOSED, UTF8PROC_DECOMPOSE, &boundary);
    if (n < 1 || n > MAX_DECOMPOSED) {
      s->points[s->n] = c;
      n = 1;
    }
    s->n += (size_t)n;
  }
  return true;
}

/* Appends the normalized stretch to out; returns its bytes. SIZE_MAX: no memory. */
static size_t normalize_stretch(stretch *s, const char *text, size_t length, char *out) {
  if (!decompose(s, text, length))
    return SIZE_MAX;
  sort_all_marks(s);
  utf8proc_ssize_t n = utf8proc_normalize_utf32(s->points, (utf8proc_ssize_t)s->n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  size_t bytes = 0;
  for (utf8proc_ssize_t i = 0; i < n; i++)
    bytes += utf8_encode((uint32_t)s->points[i], out + bytes);
  return bytes;
}

static bool all_inert(const char *text, size_t length) {
  for (size_t at = 0, used; at < length; at += used) {
    used = utf8_lead_length(text[at]);
    if ((uint8_t)text[at] >= 0xCC && !inert(utf8_decode(text + at, used)))
      return false;
  }
  return true;
}

hn_status nfc_normalize(const char *text, size_t length, char **out, size_t *out_length, hn_error *err) {
  *out = NULL;
  *out_length = length;
  if (all_inert(text, length))
    return HN_OK;
  char *copy = length > SIZE_MAX / 2 / MAX_UTF8_GROWTH ? NULL : malloc(length * MAX_UTF8_GROWTH);
  if (copy == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory to normalize %zu bytes of text", length);
  stretch s = {0};
  size_t n = 0;
  bool fits = true;
  for (size_t at = 0; fits && at < length;) {
    size_t used = utf8_lead_length(text[at]), end = at + used;
    /* From this character on, take in all that is not inert. */
    while (end < length) {
      size_t next = utf8_lead_length(text[end]);
      if (inert(utf8_decode(text + end, next)))
        break;
      end += next;
    }
    if (end == at + used && inert(utf8_decode(text + at, used))) {
      memcpy(copy + n, text + at, used);
      n += used;
    } else {
      size_t bytes = normalize_stretch(&s, text + at, end - at, copy + n);
      fits = bytes != SIZE_MAX;
      n += fits ? bytes : 0;
    }
    at = end;
  }
  free(s.points);
  free(s.sorted);
  if (!fits) {
    free(copy);
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory to normalize %zu bytes of text", length);
  }
  *out = copy;
  *out_length = n;
  return HN_OK;
}
