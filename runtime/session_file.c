/* session_file.c: sessions in files.
 *
 * Little-endian: a header; the tokens (int32), the logits of the last one (f32, where there are some) and a zero where these are an odd
 * number of words; layer after layer the blocks of the KV cache that the tokens fill (layout: shaders/shared.h; positions behind the last token
 * are zero); and a hash of all that. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../loader/quant.h"
#include "../shaders/shared.h"
#include "hash.h"
#include "kernels_cpu.h"
#include "new_file.h"
#include "session_object.h"
#include "sizes.h"

#define MAGIC "hnsession"
enum {
  VERSION = 1,       /* of this file and of the blocks in it: a change of either is another */
  N_SAMPLES = 8,     /* of a tensor's data, evenly spread, which tell models apart */
  SAMPLE_BYTES = 64
};

typedef struct file_header {
  char magic[12];
  uint32_t version;
  uint64_t model; /* hash of its header and of samples of its weights */
  uint64_t bytes; /* of the whole file */
  uint32_t kv_type, n_tokens, n_logits; /* n_logits: 0 or n_vocab */
  uint32_t reserved;
  uint64_t hash; /* of the header, with 0 here */
} file_header;

static uint64_t hash_model(const hn_model *model) {
  const gguf_file *file = model->file;
  uint64_t first = file->size, hash = HASH_BEGIN;
  for (size_t i = 0; i < file->n_tensors; i++)
    first = file->tensors[i].offset < first ? file->tensors[i].offset : first;
  hash = hash_bytes(hash, file->base, first);
  for (size_t i = 0; i < file->n_tensors; i++) {
    const gguf_tensor *t = &file->tensors[i];
    size_t n = t->bytes < SAMPLE_BYTES ? t->bytes : SAMPLE_BYTES;
    for (uint64_t k = 0; k < N_SAMPLES; k++)
      hash = hash_bytes(hash, t->data + (t->bytes - n) / (N_SAMPLES - 1) * k, n);
  }
  return hash;
}

/* Tokens and logits, as 32-bit words. */
static size_t n_words(const file_header *h) {
  return ((size_t)h->n_tokens + h->n_logits + 1) / 2 * 2;
}

static file_header describe(const hn_session *self, uint32_t n_tokens, uint32_t n_logits) {
  const model_config *c = &self->model->header.config;
  file_header h = {.magic = MAGIC, .version = VERSION, .model = hash_model(self->model), .kv_type = model_kv_type(self->model),
                   .n_tokens = n_tokens, .n_logits = n_logits};
  h.bytes = sizeof h + 4ull * n_words(&h) + (uint64_t)c->n_layers * kv_blocks(n_tokens) * kv_block_bytes(c, h.kv_type) + 8;
  h.hash = hash_bytes(HASH_BEGIN, &h, sizeof h);
  return h;
}

/* ---- writing ---- */

typedef struct writer {
  new_file file;
  uint64_t hash;
} writer;

static void put(writer *w, const void *data, size_t n) { /* the stream keeps what goes wrong */
  w->hash = hash_bytes(w->hash, data, n);
  fwrite(data, 1, n, w->file.stream);
}

/* Zeroes what a block has for positions n and later: they may hold what was forgotten. */
static void clear_rows(const model_config *c, uint32_t kv_type, uint32_t n, uint8_t *block) {
  uint32_t q4 = kv_type == QUANT_Q4_0;
  size_t row = 4 * KV_ROW_WORDS(q4, c->head_dim), scales = 4 * KV_SCALE_WORDS(q4, c->head_dim), head = 4 * KV_HEAD_WORDS(q4, c->head_dim);
  for (uint32_t i = 0; i < c->n_kv_heads; i++) {
    uint8_t *keys = block + i * head, *values = keys + KV_BLOCK * row;
    memset(keys + n * row, 0, (KV_BLOCK - n) * row);
    memset(values + n * row, 0, (KV_BLOCK - n) * row);
    memset(values + KV_BLOCK * row + n * scales, 0, (KV_BLOCK - n) * scales);
  }
}

static hn_status put_cache(hn_session *self, writer *w, uint8_t *block, hn_error *err) {
  const model_config *c = &self->model->header.config;
  uint32_t n_blocks = kv_blocks(self->n_past), kv_type = model_kv_type(self->model);
  for (uint32_t layer = 0; layer < c->n_layers; layer++)
    for (uint32_t i = 0; i < n_blocks; i++) {
      hn_status status = self->forward->read_kv(self->forward, layer, i, block, err);
      if (status) {
        self->lost = true;
        return status;
      }
      if (ferror(w->file.stream))
        return HN_OK; /* new_file_commit tells */
      if (i + 1 == n_blocks && self->n_past % KV_BLOCK)
        clear_rows(c, kv_type, self->n_past % KV_BLOCK, block);
      put(w, block, kv_block_bytes(c, kv_type));
    }
  return HN_OK;
}

static hn_status check_usable(const hn_session *self, hn_error *err) {
  return self->lost ? hn_fail(err, HN_ERROR_DEVICE_LOST, "the device stopped answering before; load the model again") : HN_OK;
}

hn_status hn_session_save(hn_session *session, const char *path, hn_error *err) {
  writer w = {.hash = HASH_BEGIN};
  uint32_t n_logits = session->last ? session->model->info.n_vocab : 0;
  hn_status status = check_usable(session, err);
  if (status)
    return status;
  file_header header = describe(session, session->n_past, n_logits);
  uint8_t *block = malloc(kv_block_bytes(&session->model->header.config, header.kv_type));
  uint32_t *words = calloc(n_words(&header) + 1, sizeof *words);
  if (!block || !words)
    status = hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the session in %s", path);
  else
    status = new_file_create(path, 0600, &w.file, err);
  if (!status) {
    memcpy(words, session->tokens, 4ull * session->n_past);
    if (n_logits)
      memcpy(words + session->n_past, session->last, 4ull * n_logits);
    put(&w, &header, sizeof header);
    put(&w, words, 4 * n_words(&header));
    status = put_cache(session, &w, block, err);
  }
  if (!status) {
    fwrite(&w.hash, sizeof w.hash, 1, w.file.stream);
    status = new_file_commit(&w.file, err);
  }
  new_file_abandon(&w.file);
  free(block);
  free(words);
  return status;
}

/* ---- reading: once for the hash, then for the session ---- */

typedef struct reader {
  FILE *stream;
  const char *path;
  uint64_t hash;
  file_header header;
  int32_t *words; /* n_words */
  uint8_t *block;
} reader;

static hn_status get(reader *r, void *out, size_t n, hn_error *err) {
  if (n > 0 && fread(out, 1, n, r->stream) != n)
    return hn_fail(err, HN_ERROR_IO, "%s cannot be read", r->path);
  r->hash = hash_bytes(r->hash, out, n);
  return HN_OK;
}

static hn_status check_header(const hn_session *self, const reader *r, hn_error *err) {
  file_header h = r->header;
  struct stat info;
  if (memcmp(h.magic, MAGIC, sizeof MAGIC) != 0)
    return hn_fail(err, HN_ERROR_FORMAT, "%s is no saved session", r->path);
  if (h.version != VERSION)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s is a session of version %u: this one reads %d", r->path, (unsigned)h.version, VERSION);
  h.hash = 0;
  if (hash_bytes(HASH_BEGIN, &h, sizeof h) != r->header.hash)
    return hn_fail(err, HN_ERROR_FORMAT, "%s is damaged: the hash of its header is another", r->path);
  file_header want = describe(self, h.n_tokens, h.n_logits);
  if (h.model != want.model)
    return hn_fail(err, HN_ERROR_ARGUMENT, "%s is a session of another model", r->path);
  if (h.kv_type != want.kv_type)
    return hn_fail(err, HN_ERROR_ARGUMENT, "%s is a session with another type of KV cache", r->path);
  if (h.n_tokens > self->n_ctx)
    return hn_fail(err, HN_ERROR_CONTEXT_FULL, "%s has %u tokens: the context holds %u", r->path, (unsigned)h.n_tokens, (unsigned)self->n_ctx);
  if (fstat(fileno(r->stream), &info) || (h.n_logits && h.n_logits != self->model->info.n_vocab) || h.bytes != want.bytes ||
      (uint64_t)info.st_size != want.bytes)
    return hn_fail(err, HN_ERROR_FORMAT, "%s is damaged: its size is not what its header says", r->path);
  return HN_OK;
}

static hn_status get_cache(hn_session *self, reader *r, bool store, hn_error *err) {
  const model_config *c = &self->model->header.config;
  uint32_t n_blocks = kv_blocks(r->header.n_tokens);
  hn_status status = HN_OK;
  for (uint32_t layer = 0; layer < c->n_layers && !status; layer++)
    for (uint32_t i = 0; i < n_blocks && !status; i++) {
      status = get(r, r->block, kv_block_bytes(c, r->header.kv_type), err);
      if (!status && store)
        status = self->forward->write_kv(self->forward, layer, i, r->block, err);
    }
  return status;
}

/* All of the file, whose header was checked; with store, into the session. */
static hn_status get_all(hn_session *self, reader *r, bool store, hn_error *err) {
  file_header header;
  uint64_t stored = 0, hash;
  rewind(r->stream);
  r->hash = HASH_BEGIN;
  hn_status status = get(r, &header, sizeof header, err);
  if (!status && memcmp(&header, &r->header, sizeof header) != 0)
    status = hn_fail(err, HN_ERROR_FORMAT, "%s changes while it is read", r->path);
  if (!status)
    status = get(r, r->words, 4 * n_words(&r->header), err);
  if (!status)
    status = get_cache(self, r, store, err);
  hash = r->hash;
  if (!status)
    status = get(r, &stored, sizeof stored, err);
  if (!status && stored != hash)
    status = hn_fail(err, HN_ERROR_FORMAT, "%s is damaged: its hash is another", r->path);
  return status;
}

static hn_status check_tokens(const hn_session *self, const reader *r, hn_error *err) {
  for (uint32_t i = 0; i < r->header.n_tokens; i++)
    if (r->words[i] < 0 || (uint32_t)r->words[i] >= self->model->info.n_vocab)
      return hn_fail(err, HN_ERROR_FORMAT, "%s is damaged: token %u is none of the model's", r->path, (unsigned)i);
  return HN_OK;
}

static void forget_all(hn_session *self, bool usable) {
  self->n_past = 0;
  self->last = NULL;
  self->argmax = -1;
  self->lost = !usable;
}

static void take(hn_session *self, const reader *r) {
  self->n_past = r->header.n_tokens;
  memcpy(self->tokens, r->words, 4ull * r->header.n_tokens);
  self->last = NULL;
  self->argmax = -1;
  if (r->header.n_logits == 0)
    return;
  memcpy(self->forward->logits, r->words + r->header.n_tokens, 4ull * r->header.n_logits);
  self->last = self->forward->logits;
  self->argmax = cpu_argmax(self->last, r->header.n_logits);
}

static hn_status load(hn_session *self, reader *r, hn_error *err) {
  hn_status status = get(r, &r->header, sizeof r->header, err);
  if (status)
    return hn_fail(err, HN_ERROR_FORMAT, "%s is no saved session", r->path);
  status = check_header(self, r, err);
  if (status)
    return status;
  r->words = malloc(4 * n_words(&r->header) + 1);
  r->block = malloc(kv_block_bytes(&self->model->header.config, r->header.kv_type));
  if (!r->words || !r->block)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the session in %s", r->path);
  status = get_all(self, r, false, err);
  if (!status)
    status = check_tokens(self, r, err);
  if (status)
    return status;
  status = get_all(self, r, true, err);
  if (!status)
    status = check_tokens(self, r, err);
  if (status) /* the cache holds parts of two sessions */
    forget_all(self, status == HN_ERROR_IO || status == HN_ERROR_FORMAT);
  else
    take(self, r);
  return status;
}

/* Not a pipe or a device: they may never answer. */
static hn_status open_file(reader *r, hn_error *err) {
  struct stat info;
  int fd = open(r->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  bool regular = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  r->stream = regular ? fdopen(fd, "rb") : NULL;
  if (r->stream)
    return HN_OK;
  int reason = errno;
  if (fd >= 0)
    close(fd);
  return hn_fail(err, HN_ERROR_IO, "%s cannot be opened: %s", r->path, fd >= 0 && !regular ? "it is no regular file" : strerror(reason));
}

hn_status hn_session_load(hn_session *session, const char *path, hn_error *err) {
  reader r = {.path = path, .hash = HASH_BEGIN};
  hn_status status = check_usable(session, err);
  if (status)
    return status;
  status = open_file(&r, err);
  if (status)
    return status;
  status = load(session, &r, err);
  fclose(r.stream);
  free(r.words);
  free(r.block);
  return status;
}
