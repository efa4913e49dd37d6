/*
 * pretokenize.c: see pretokenize.h.
 *
 * The expressions are those of the models' own tokenizers, with \p{L}, \p{N} and \s spelled out: so the pieces depend
 * neither on PCRE2's Unicode version nor on its idea of white space (which takes in U+180E).
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>
#include <string.h>

#include "pretokenize.h"

enum {
  MAX_STAGES = 4,
  HEAP_LIMIT_KIB = 256 * 1024, /* of PCRE2's interpreter; its need grows with the longest piece alone */
  MATCH_LIMIT_BASE = 10000000, /* PCRE2's own default ... */
  MATCH_LIMIT_PER_BYTE = 64,   /* ... and more for a long run of spaces, which is gone through several times */
  PLACES_PER_MATCH = 1,        /* no groups */
};

/* Inside a character class: the white space of Unicode; letters and numbers, with those that came with versions
 * 15, 15.1 and 16. The ASCII ranges are for speed. */
#define SPACES "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define LETTERS                                                                                                        \
  "a-zA-Z\\p{L}\\x{1c89}\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{105c0}-\\x{105f3}"                          \
  "\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}\\x{10ec2}-\\x{10ec4}\\x{1123f}\\x{11240}"                                \
  "\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}\\x{113d3}"                       \
  "\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}\\x{1342f}"                                \
  "\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}\\x{16d40}-\\x{16d6c}\\x{18cff}"                     \
  "\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}"                                \
  "\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"

#define NUMBERS                                                                                                        \
  "0-9\\p{N}\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}"                      \
  "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}"                               \
  "\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}"

/* Numbers of Unicode 17: the Digits step of the SmolLM tokenizer goes by the newer tables. */
#define DIGITS NUMBERS "\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}"

#define GPT2_WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?[" LETTERS "]+| ?[" NUMBERS "]+| ?[^" SPACES LETTERS NUMBERS "]+"
#define GPT2 GPT2_WORDS "|[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+"

/* Each digit alone, and GPT-2's rule on what lies between: to it, spaces before a digit end the text. */
#define SMOLLM                                                                                                         \
  "[" DIGITS "]|'s|'t|'re|'ve|'m|'ll|'d| ?[" LETTERS "]+| ?[^" SPACES LETTERS DIGITS "]+"                              \
  "|[" SPACES "]+(?=[" DIGITS "])|[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+"

#define LLAMA3_FAMILY(numbers)                                                                                         \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n" LETTERS NUMBERS "]?[" LETTERS "]+|[" NUMBERS "]" numbers                     \
  "| ?[^" SPACES LETTERS NUMBERS "]+[\\r\\n]*|[" SPACES "]*[\\r\\n]+|[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+"

typedef struct kind {
  const char *stages[MAX_STAGES]; /* each cuts the pieces of the one before; what none matches is a piece too */
  pretokenizer_traits traits;
} kind;

enum { KIND_GPT2, KIND_DEFAULT, KIND_LLAMA3, KIND_LLAMA3_MERGING, KIND_SMOLLM, KIND_QWEN2, KIND_QWEN2_AS_IS };

static const kind kinds[] = {
    [KIND_GPT2] = {{GPT2}, {0}},
    [KIND_DEFAULT] = {{"[\\p{P}$+<=>^~|]+", GPT2_WORDS "|[" SPACES "]+(?![^" SPACES "])", "[" NUMBERS "]+",
                       "[0-9][0-9][0-9]"},
                      {0}},
    [KIND_LLAMA3] = {{LLAMA3_FAMILY("{1,3}")}, {.ignore_merges = true, .add_bos = true}},
    [KIND_LLAMA3_MERGING] = {{LLAMA3_FAMILY("{1,3}")}, {0}},
    [KIND_SMOLLM] = {{SMOLLM}, {0}},
    [KIND_QWEN2] = {{LLAMA3_FAMILY("")}, {.nfc = true}},
    [KIND_QWEN2_AS_IS] = {{LLAMA3_FAMILY("")}, {0}},
};

static const struct {
  const char *name;
  int kind;
} names[] = {
    {"default", KIND_DEFAULT},
    {"gpt-2", KIND_GPT2},
    {"gpt2", KIND_GPT2},
    {"phi-2", KIND_GPT2},
    {"mpt", KIND_GPT2},
    {"olmo", KIND_GPT2},
    {"llama-bpe", KIND_LLAMA3},
    {"llama3", KIND_LLAMA3},
    {"llama-v3", KIND_LLAMA3},
    {"falcon3", KIND_LLAMA3},
    {"pixtral", KIND_LLAMA3},
    {"dbrx", KIND_LLAMA3_MERGING},
    {"smaug-bpe", KIND_LLAMA3_MERGING},
    {"smollm", KIND_SMOLLM},
    {"starcoder", KIND_SMOLLM},
    {"refact", KIND_SMOLLM},
    {"command-r", KIND_SMOLLM},
    {"codeshell", KIND_SMOLLM},
    {"qwen2", KIND_QWEN2},
    {"deepseek-r1-qwen", KIND_QWEN2_AS_IS},
    {"stablelm2", KIND_QWEN2_AS_IS},
};

struct pretokenizer {
  const kind *kind;
  int n_stages;
  pcre2_code *codes[MAX_STAGES];
  bool fast[MAX_STAGES]; /* PCRE2 made machine code of it */
};

static const kind *find_kind(const char *name, size_t length) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strlen(names[i].name) == length && memcmp(names[i].name, name, length) == 0)
      return &kinds[names[i].kind];
  return NULL;
}

static hn_status compile(const char *pattern, pcre2_code **code, bool *fast, hn_error *err) {
  int error;
  PCRE2_SIZE at;
  *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);
  if (*code == NULL && error == PCRE2_ERROR_HEAP_FAILED)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for the pre-tokenizer");
  if (*code == NULL)
    return hn_fail(err, HN_ERROR_UNSUPPORTED,
                   "this PCRE2 cannot run the pre-tokenizer (error %d); is Unicode built in?", error);
  /* Where machine code may not be written at run time, the interpreter does the same more slowly. */
  *fast = pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE) == 0;
  return HN_OK;
}

hn_status pretokenizer_create(const char *name, size_t length, pretokenizer **out, hn_error *err) {
  *out = NULL;
  const kind *found = find_kind(name, length);
  if (found == NULL)
    return hn_fail(
        err, HN_ERROR_UNSUPPORTED,
        "unknown pre-tokenizer \"%.*s\"; known ones: default, gpt-2, llama-bpe, smollm, qwen2 and those with "
        "the same rules",
        (int)(length < 64 ? length : 64), name);
  pretokenizer *pre = calloc(1, sizeof *pre);
  if (pre == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for the pre-tokenizer");
  pre->kind = found;
  while (pre->n_stages < MAX_STAGES && found->stages[pre->n_stages] != NULL) {
    int i = pre->n_stages;
    hn_status status = compile(found->stages[i], &pre->codes[i], &pre->fast[i], err);
    if (status != HN_OK) {
      pretokenizer_destroy(&pre);
      return status;
    }
    pre->n_stages++;
  }
  *out = pre;
  return HN_OK;
}

void pretokenizer_destroy(pretokenizer **pre) {
  if (pre == NULL || *pre == NULL)
    return;
  for (int i = 0; i < MAX_STAGES; i++)
    pcre2_code_free((*pre)->codes[i]);
  free(*pre);
  *pre = NULL;
}

const pretokenizer_traits *pretokenizer_traits_of(const pretokenizer *pre) {
  return &pre->kind->traits;
}

typedef struct run { /* one call of pretokenize */
  const pretokenizer *pre;
  pcre2_match_context *context;
  pcre2_match_data *data;
  pretokenizer_fn fn;
  void *user;
} run;

/* The first match at or behind `from`. *found false: none. */
static hn_status next_match(const run *r, int stage, const char *text, size_t length, size_t from, size_t *start,
                            size_t *end, bool *found, hn_error *err) {
  const pcre2_code *code = r->pre->codes[stage];
  PCRE2_SPTR subject = (PCRE2_SPTR)text;
  int count = PCRE2_ERROR_JIT_STACKLIMIT;
  if (r->pre->fast[stage])
    count = pcre2_jit_match(code, subject, length, from, PCRE2_NO_UTF_CHECK, r->data, r->context);
  if (count == PCRE2_ERROR_JIT_STACKLIMIT)
    count = pcre2_match(code, subject, length, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, r->data, r->context);
  *found = count >= 0;
  if (count == PCRE2_ERROR_NOMATCH)
    return HN_OK;
  if (count == PCRE2_ERROR_NOMEMORY)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory to cut %zu bytes of text", length);
  if (count < 0)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "the pre-tokenizer gives up on this text (PCRE2 error %d)", count);
  const PCRE2_SIZE *places = pcre2_get_ovector_pointer(r->data);
  *start = places[0];
  *end = places[1];
  if (*end <= *start)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "the pre-tokenizer found an empty piece");
  return HN_OK;
}

/* One level for each stage, MAX_STAGES at most. */
static hn_status cut(const run *r, int stage, const char *text, size_t length, hn_error *err) {
  if (length == 0)
    return HN_OK;
  if (stage == r->pre->n_stages)
    return r->fn(r->user, text, length, err);
  for (size_t at = 0; at < length;) {
    size_t start = length, end = length;
    bool found;
    hn_status status = next_match(r, stage, text, length, at, &start, &end, &found, err);
    if (status == HN_OK && start > at)
      status = cut(r, stage + 1, text + at, start - at, err);
    if (status == HN_OK && found)
      status = cut(r, stage + 1, text + start, end - start, err);
    if (status != HN_OK)
      return status;
    at = end;
  }
  return HN_OK;
}

hn_status pretokenize(const pretokenizer *pre, const char *text, size_t length, pretokenizer_fn fn, void *user,
                      hn_error *err) {
  hn_status status = HN_OK;
  run r = {pre, pcre2_match_context_create(NULL), pcre2_match_data_create(PLACES_PER_MATCH, NULL), fn, user};
  if (r.context == NULL || r.data == NULL) {
    status = hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory to cut %zu bytes of text", length);
    goto done;
  }
  uint64_t limit = (uint64_t)MATCH_LIMIT_BASE + (uint64_t)MATCH_LIMIT_PER_BYTE * length;
  pcre2_set_match_limit(r.context, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
  pcre2_set_heap_limit(r.context, HEAP_LIMIT_KIB);
  status = cut(&r, 0, text, length, err);
done:
  pcre2_match_data_free(r.data);
  pcre2_match_context_free(r.context);
  return status;
}
