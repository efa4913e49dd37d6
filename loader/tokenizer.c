/* tokenizer.c: see tokenizer.h. Creation, the tokens' properties, and which code does what. */
#include <stdlib.h>
#include <string.h>

#include "bpe.h"
#include "nfc.h"
#include "spm.h"
#include "tokenizer.h"
#include "tokenizer_marked.h"
#include "utf8.h"
#include "vocabulary.h"

typedef enum tokenizer_kind { KIND_BYTE_BPE, KIND_SPM } tokenizer_kind;

struct tokenizer {
  tokenizer_kind kind;
  vocabulary vocab;
  special_list specials;
  pretokenizer *pre; /* KIND_BYTE_BPE */
  byte_bpe bpe;      /* KIND_BYTE_BPE */
  spm spm;           /* KIND_SPM */
  int32_t bos, eos;
  bool add_bos;
  uint8_t *ends; /* (n_vocab) 1: ends an answer */
};

/* Special tokens that end an answer in the models that have them, whatever the metadata says. */
static const char *const end_names[] = {
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "</s>", "<end_of_turn>", "<|end|>",
};

/* ---- creation ---- */

/* A token's id in the metadata. -1 or 2^32 - 1, which some files have, and no entry: fallback. */
static hn_status read_id(const tokenizer *tok, const gguf_file *file, const char *key, int32_t fallback, int32_t *id,
                         hn_error *err) {
  const gguf_value *value = gguf_find(file, key);
  int32_t number;
  uint32_t unsigned_number;
  *id = fallback;
  if (value == NULL || (gguf_u32(value, &unsigned_number) && unsigned_number == UINT32_MAX))
    return HN_OK;
  if (!gguf_i32(value, &number) || number < -1 || number >= (int32_t)tok->vocab.written.n)
    return hn_fail(err, HN_ERROR_FORMAT, "%s is no token's id", key);
  if (number >= 0)
    *id = number;
  return HN_OK;
}

static hn_status read_ends(tokenizer *tok, const gguf_file *file, hn_error *err) {
  static const char *const keys[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
  tok->ends = calloc(tok->vocab.written.n, 1);
  if (tok->ends == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for %u tokens", (unsigned)tok->vocab.written.n);
  if (tok->eos >= 0)
    tok->ends[tok->eos] = 1;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    int32_t id;
    hn_status status = read_id(tok, file, keys[i], -1, &id, err);
    if (status != HN_OK)
      return status;
    if (id >= 0)
      tok->ends[id] = 1;
  }
  for (size_t i = 0; i < sizeof end_names / sizeof *end_names; i++) {
    int32_t id = tokenizer_find(tok, end_names[i], strlen(end_names[i]));
    /* In some vocabularies such a text is a piece of ordinary text as well. */
    if (id >= 0 && vocabulary_is_marked(tok->vocab.types[id]))
      tok->ends[id] = 1;
  }
  return HN_OK;
}

static hn_status read_special_ids(tokenizer *tok, const gguf_file *file, hn_error *err) {
  /* SentencePiece models number these the same; files of that kind may leave them out. */
  bool usual = tok->kind == KIND_SPM && tok->vocab.written.n > 2 && tok->vocab.types[1] == TOKEN_CONTROL &&
               tok->vocab.types[2] == TOKEN_CONTROL;
  hn_status status = read_id(tok, file, "tokenizer.ggml.bos_token_id", usual ? 1 : -1, &tok->bos, err);
  if (status == HN_OK)
    status = read_id(tok, file, "tokenizer.ggml.eos_token_id", usual ? 2 : -1, &tok->eos, err);
  if (status != HN_OK)
    return status;
  tok->add_bos = tok->kind == KIND_SPM || pretokenizer_traits_of(tok->pre)->add_bos;
  gguf_bool(gguf_find(file, "tokenizer.ggml.add_bos_token"), &tok->add_bos);
  tok->add_bos = tok->add_bos && tok->bos >= 0;
  return read_ends(tok, file, err);
}

static hn_status create_byte_bpe(tokenizer *tok, const gguf_file *file, hn_error *err) {
  gguf_str pre = {"default", 7};
  gguf_string(gguf_find(file, "tokenizer.ggml.pre"), &pre);
  hn_status status = pretokenizer_create(pre.data, pre.len, &tok->pre, err);
  if (status != HN_OK)
    return status;
  status = vocabulary_init(&tok->vocab, file, true, err);
  if (status != HN_OK)
    return status;
  byte_bpe *bpe = &tok->bpe;
  bpe->bytes = &tok->vocab.bytes;
  bpe->whole = &tok->vocab.whole;
  bpe->pre = tok->pre;
  for (unsigned byte = 0; byte < 256; byte++) {
    char c = (char)(uint8_t)byte;
    bpe->byte_id[byte] = token_map_find(bpe->whole, bpe->bytes, &c, 1);
  }
  return byte_bpe_read_merges(bpe, gguf_find(file, "tokenizer.ggml.merges"), &tok->vocab.written, &tok->vocab.by_name,
                              err);
}

static hn_status create_spm(tokenizer *tok, const gguf_file *file, hn_error *err) {
  hn_status status = vocabulary_init(&tok->vocab, file, false, err);
  if (status != HN_OK)
    return status;
  const vocabulary *v = &tok->vocab;
  status = spm_init(&tok->spm, &v->written, &v->by_name, v->types, v->scores, err);
  gguf_bool(gguf_find(file, "tokenizer.ggml.add_space_prefix"), &tok->spm.add_space);
  return status;
}

hn_status tokenizer_create(const gguf_file *file, tokenizer **out, hn_error *err) {
  *out = NULL;
  gguf_str model = {"", 0};
  gguf_string(gguf_find(file, "tokenizer.ggml.model"), &model);
  bool byte_level = model.len == 4 && memcmp(model.data, "gpt2", 4) == 0;
  bool sentencepiece = model.len == 5 && memcmp(model.data, "llama", 5) == 0;
  if (!byte_level && !sentencepiece)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "unknown tokenizer \"%.*s\"; known ones: gpt2, llama",
                   (int)(model.len < 64 ? model.len : 64), model.data);
  tokenizer *tok = calloc(1, sizeof *tok);
  if (tok == NULL)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for the tokenizer");
  tok->kind = byte_level ? KIND_BYTE_BPE : KIND_SPM;
  hn_status status = byte_level ? create_byte_bpe(tok, file, err) : create_spm(tok, file, err);
  if (status == HN_OK)
    status = vocabulary_specials(&tok->vocab, &tok->specials, err);
  if (status == HN_OK)
    status = read_special_ids(tok, file, err);
  if (status != HN_OK)
    tokenizer_destroy(&tok);
  *out = tok;
  return status;
}

void tokenizer_destroy(tokenizer **tok) {
  if (tok == NULL || *tok == NULL)
    return;
  tokenizer *t = *tok;
  vocabulary_finish(&t->vocab);
  special_list_finish(&t->specials);
  pretokenizer_destroy(&t->pre);
  pair_map_finish(&t->bpe.merges);
  spm_finish(&t->spm);
  free(t->ends);
  free(t);
  *tok = NULL;
}

/* ---- properties ---- */

static bool is_id(const tokenizer *tok, int32_t id) {
  return id >= 0 && (uint32_t)id < tok->vocab.written.n;
}

uint32_t tokenizer_n_vocab(const tokenizer *tok) {
  return tok->vocab.written.n;
}

int32_t tokenizer_bos(const tokenizer *tok) {
  return tok->bos;
}

int32_t tokenizer_eos(const tokenizer *tok) {
  return tok->eos;
}

bool tokenizer_add_bos(const tokenizer *tok) {
  return tok->add_bos;
}

bool tokenizer_is_end(const tokenizer *tok, int32_t id) {
  return is_id(tok, id) && tok->ends[id] != 0;
}

bool tokenizer_is_special(const tokenizer *tok, int32_t id) {
  return is_id(tok, id) && (tok->vocab.types[id] == TOKEN_CONTROL || tok->vocab.types[id] == TOKEN_UNKNOWN);
}

const char *tokenizer_token_bytes(const tokenizer *tok, int32_t id, size_t *length) {
  *length = 0;
  return is_id(tok, id) ? token_text(&tok->vocab.bytes, id, length) : NULL;
}

int32_t tokenizer_find(const tokenizer *tok, const char *name, size_t length) {
  return token_map_find(&tok->vocab.by_name, &tok->vocab.written, name, length);
}

/* ---- encoding ---- */

/* The tokens of a stretch without special tokens. */
static hn_status encode_stretch(const tokenizer *tok, const char *text, size_t length, token_list *out, hn_error *err) {
  bpe_work work = {0};
  char *normal = NULL;
  hn_status status = HN_OK;
  if (tok->kind == KIND_SPM) {
    bpe_work_start(&work, length);
    status = spm_encode(&tok->spm, &work, text, length, out, err);
    goto done;
  }
  if (pretokenizer_traits_of(tok->pre)->nfc) {
    size_t n;
    status = nfc_normalize(text, length, &normal, &n, err);
    if (status != HN_OK)
      goto done;
    text = normal != NULL ? normal : text;
    length = n;
  }
  bpe_work_start(&work, length);
  status = byte_bpe_encode(&tok->bpe, &work, text, length, out, err);
done:
  bpe_work_finish(&work);
  free(normal);
  return status;
}

static hn_status encode_valid(const tokenizer *tok, const char *text, size_t length, bool parse_special,
                              const uint8_t *marker, token_list *out, hn_error *err) {
  size_t n_before = out->n;
  hn_status status = HN_OK;
  for (size_t at = 0; status == HN_OK && at < length;) {
    special_match match = {length, 0, -1};
    bool found = special_find(&tok->specials, text, length, at, parse_special, marker, &match);
    if (match.start > at)
      status = encode_stretch(tok, text + at, match.start - at, out, err);
    if (status == HN_OK && found)
      status = token_list_push(out, match.id, err);
    at = match.start + match.length;
  }
  if (status != HN_OK)
    out->n = n_before;
  return status;
}

hn_status tokenizer_encode(const tokenizer *tok, const char *text, size_t length, bool parse_special, token_list *out,
                           hn_error *err) {
  char *repaired = NULL;
  if (!utf8_valid(text, length)) {
    hn_status status = utf8_repair(text, length, &repaired, &length, err);
    if (status != HN_OK)
      return status;
    text = repaired;
  }
  hn_status status = encode_valid(tok, text, length, parse_special, NULL, out, err);
  free(repaired);
  return status;
}

hn_status tokenizer_encode_marked(const tokenizer *tok, const char *text, size_t length, const uint8_t *marker,
                                  token_list *out, hn_error *err) {
  return encode_valid(tok, text, length, false, marker, out, err);
}

/* ---- decoding ---- */

typedef struct text_sink {
  char *out;
  size_t n, capacity;
  bool full; /* something did not fit, and all behind it is dropped */
} text_sink;

static void put(text_sink *sink, const char *text, size_t length) {
  sink->full = sink->full || sink->capacity - sink->n < length;
  if (sink->full)
    return;
  memcpy(sink->out + sink->n, text, length);
  sink->n += length;
}

/* Writes what is decided of the pending bytes; at the end of the text all of them are. */
static void settle(hn_text_stream *stream, bool at_end, text_sink *sink) {
  while (stream->n_pending > 0) {
    size_t used;
    utf8_kind kind = utf8_next((const char *)stream->pending, stream->n_pending, &used);
    if (kind == UTF8_CUT && !at_end)
      return;
    if (kind == UTF8_WHOLE)
      put(sink, (const char *)stream->pending, used);
    else
      put(sink, utf8_replacement, UTF8_REPLACEMENT_BYTES);
    stream->n_pending = (uint8_t)(stream->n_pending - used);
    memmove(stream->pending, stream->pending + used, stream->n_pending);
  }
}

size_t tokenizer_stream(const tokenizer *tok, hn_text_stream *stream, int32_t id, char *out, size_t capacity) {
  text_sink sink = {out, 0, capacity, false};
  if (stream->n_pending >= sizeof stream->pending)
    stream->n_pending = 0; /* not a stream of ours */
  if (id == -1)
    settle(stream, true, &sink);
  if (!is_id(tok, id) || tokenizer_is_special(tok, id))
    return sink.n;
  size_t length, at = 0;
  const char *bytes = token_text(&tok->vocab.bytes, id, &length);
  if (!stream->started && length > 0) {
    stream->started = true;
    if (tok->kind == KIND_SPM && tok->spm.add_space && bytes[0] == ' ')
      at = 1;
  }
  for (; at < length && !sink.full; at++) {
    stream->pending[stream->n_pending++] = (uint8_t)bytes[at];
    settle(stream, false, &sink);
  }
  return sink.n;
}
