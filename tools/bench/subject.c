#include "subject.h"

#include <stdlib.h>
#include <string.h>

#include "../../loader/quant.h"
#include "../../loader/tokenizer.h"
#include "../../runtime/sizes.h"
#include "../../shaders/shared.h"

hn_status subject_open(const char *path, gguf_file **file, model_header *header, hn_error *err) {
  tokenizer *tok = NULL;
  hn_status status = gguf_open(path, file, err);
  if (!status)
    status = model_check_architecture(*file, err);
  if (!status)
    status = tokenizer_create(*file, &tok, err);
  if (!status)
    status = model_read(*file, tokenizer_n_vocab(tok), header, err);
  tokenizer_destroy(&tok);
  return status;
}

hn_status subject_init(gpu_device *device, const char *path, const subject_params *params, subject *out, hn_error *err) {
  *out = (subject){0};
  hn_status status = subject_open(path, &out->file, &out->header, err);
  gpu_weights_params load = params->weights;
  load.file = out->file;
  load.wish = (plan_wish){.n_ctx = params->n_ctx, .n_batch = params->n_batch, .kv_type = QUANT_Q8_0, .n_host_layers = -1};
  if (!status)
    status = gpu_weights_create(device, &out->header, &load, &out->weights, err);
  if (!status)
    status = forward_gpu_create(out->weights, &(forward_params){.n_ctx = params->n_ctx, .n_batch = params->n_batch}, &out->forward, err);
  if (!status) {
    out->n_ctx = out->forward->n_ctx;
    out->n_batch = out->forward->n_batch;
    out->cmd = forward_gpu_cmd(out->forward);
  }
  if (status)
    subject_finish(out);
  return status;
}

void subject_finish(subject *s) {
  if (s->forward)
    s->forward->destroy(s->forward);
  gpu_weights_destroy(&s->weights);
  model_finish(&s->header);
  gguf_close(&s->file);
  *s = (subject){0};
}

static hn_status eval_batch(subject *s, uint32_t first, uint32_t n, forward_want want, hn_error *err) {
  int32_t ids[MAX_BATCH], argmax;
  atomic_bool cancel = false;
  for (uint32_t i = 0; i < n; i++)
    ids[i] = (int32_t)((first + i) % s->header.config.n_vocab);
  forward_step step = {.ids = ids, .n = n, .first = first, .want = want, .argmax = &argmax, .cancel = &cancel};
  return s->forward->eval(s->forward, &step, err);
}

static hn_status check_range(const subject *s, uint32_t first, uint32_t n, hn_error *err) {
  if (n > 0 && first <= s->n_ctx && n <= s->n_ctx - first)
    return HN_OK;
  return hn_fail(err, HN_ERROR_ARGUMENT, "%u tokens from %u on: the context holds %u", (unsigned)n, (unsigned)first, (unsigned)s->n_ctx);
}

hn_status subject_eval(subject *s, uint32_t first, uint32_t n, hn_error *err) {
  hn_status status = check_range(s, first, n, err);
  for (uint32_t done = 0; done < n && !status;) {
    uint32_t batch = n - done < s->n_batch ? n - done : s->n_batch;
    status = eval_batch(s, first + done, batch, done + batch == n ? FORWARD_LAST : FORWARD_CACHE, err);
    done += batch;
  }
  return status;
}

hn_status subject_eval_all(subject *s, uint32_t first, uint32_t n, hn_error *err) {
  hn_status status = check_range(s, first, n, err);
  if (!status && (n > s->n_batch || n > FORWARD_ALL_MAX))
    status = hn_fail(err, HN_ERROR_ARGUMENT, "%u tokens are too many for a batch", (unsigned)n);
  return status ? status : eval_batch(s, first, n, FORWARD_ALL, err);
}

hn_status subject_fill_cache(subject *s, hn_error *err) {
  const model_config *c = &s->header.config;
  uint64_t bytes = kv_block_bytes(c, gpu_weights_plan(s->weights)->kv_type);
  uint32_t random = 1, n_blocks = kv_blocks(s->n_ctx);
  uint16_t *block = malloc(bytes);
  if (!block)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a block of the KV cache");
  for (size_t i = 0; i < bytes / 2; i++) {
    random = random * 1664525u + 1013904223u;
    block[i] = (uint16_t)(0x1800 | random >> 21); /* 2^-9 .. 2^-7 as f16, and valid codes */
  }
  hn_status status = HN_OK;
  for (uint32_t layer = 0; layer < c->n_layers; layer++)
    for (uint32_t i = 0; i < n_blocks && !status; i++)
      status = s->forward->write_kv(s->forward, layer, i, block, err);
  free(block);
  return status;
}
