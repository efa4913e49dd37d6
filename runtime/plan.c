#include "plan.h"

#include <stdlib.h>

#include "../loader/quant.h"
#include "../shaders/shared.h"
#include "forward.h"
#include "gpu_upload.h"
#include "planes.h"

#define MAX_ACTIVATION_BYTES ((uint64_t)64 << 20) /* the batch shrinks until they fit */
#define MARGIN_BYTES ((uint64_t)512 << 20)        /* left for a desktop where no budget is given */
enum { MIN_BATCH = 16, OTHERS = 10 /* items that belong to no layer */ };

static uint64_t align(uint64_t bytes) {
  return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

/* ---- sizes ---- */

static uint64_t matrix_bytes(const gguf_tensor *tensor) {
  matrix m = matrix_of(tensor);
  planes p = planes_of(m.type, m.n_rows, m.n_cols / QUANT_GRANULE);
  uint64_t bytes = 0;
  for (int i = 0; i < N_PLANES; i++)
    bytes += p.n_tiles * p.tile_bytes[i];
  return align(bytes);
}

static uint64_t layer_bytes(const model_layer *layer) {
  uint64_t bytes = 0;
  for (int i = 0; i < N_LAYER_MATRICES; i++)
    bytes += matrix_bytes(layer->matrices[i]);
  for (int i = 0; i < N_LAYER_VECTORS; i++)
    bytes += layer->vectors[i] ? align(layer->vectors[i]->bytes) : 0;
  return bytes;
}

/* What forward_gpu.c allocates for n tokens: x, qkv, o, gate, up, q, q_d, and the quantized input of a matrix. */
static uint64_t activation_bytes(const model_config *c, uint64_t n) {
  uint64_t n_q = (uint64_t)c->n_heads * c->head_dim, n_kv = (uint64_t)c->n_kv_heads * c->head_dim;
  uint64_t widest = c->n_embd > c->n_ff ? c->n_embd : c->n_ff;
  widest = widest > n_q ? widest : n_q;
  uint64_t q8 = n * widest + 8 * n * (widest / ACT_BLOCK);
  uint64_t query = 4 * n * c->n_heads * (HEAD_WORDS(c->head_dim) + HEAD_SCALES(c->head_dim));
  return align(4 * n * (c->n_embd + n_q + 2 * n_kv + n_q + 2ull * c->n_ff) + query + q8);
}

static uint64_t logits_bytes(const model_config *c) {
  return align(4ull * FORWARD_ALL_MAX * c->n_vocab + 4);
}

/* A block of KV_BLOCK positions of one layer, keys and values. */
static uint64_t kv_block_bytes(const model_config *c, plan_kv kv) {
  return align(4ull * c->n_kv_heads * KV_HEAD_WORDS(kv == PLAN_KV_Q4_0, c->head_dim));
}

/* ---- what goes where ---- */

typedef struct sums {
  uint64_t layers, embedding, output, vectors; /* of weights */
  uint64_t activations, logits, kv_block; /* kv_block: of all layers */
  bool tied;
} sums;

static sums sum_up(const model_header *model, plan_kv kv, uint32_t n_batch) {
  const model_config *c = &model->config;
  const model_tensors *t = &model->tensors;
  sums s = {.output = matrix_bytes(t->output), .tied = t->tok_embd == t->output};
  for (uint32_t i = 0; i < c->n_layers; i++)
    s.layers += layer_bytes(&t->layers[i]);
  s.embedding = s.tied ? 0 : matrix_bytes(t->tok_embd);
  s.vectors = align(t->output_norm->bytes);
  s.activations = activation_bytes(c, n_batch);
  s.logits = logits_bytes(c);
  s.kv_block = c->n_layers * kv_block_bytes(c, kv);
  return s;
}

static uint32_t choose_batch(const model_config *c) {
  uint32_t n = MAX_BATCH;
  while (n > MIN_BATCH && activation_bytes(c, n) + logits_bytes(c) > MAX_ACTIVATION_BYTES)
    n /= 2;
  return n;
}

/* How many of n things of `each` bytes fit into `room`. */
static uint32_t that_fit(uint64_t room, uint64_t each, uint32_t n) {
  uint64_t fit = room / each;
  return fit < n ? (uint32_t)fit : n;
}

static void place(plan *p, const model_header *model, const sums *s, uint32_t n_ctx_wished) {
  const model_config *c = &model->config;
  uint64_t fixed = s->output + s->vectors + s->activations + s->logits, weights = fixed + s->layers;
  uint64_t room = p->budget_bytes > weights ? p->budget_bytes - weights : 0;
  uint32_t blocks_of_model = (c->n_ctx_train + KV_BLOCK - 1) / KV_BLOCK;
  uint64_t longest = (uint64_t)that_fit(room, s->kv_block, blocks_of_model) * KV_BLOCK;
  p->n_ctx_max = (uint32_t)(longest < c->n_ctx_train ? longest : c->n_ctx_train);
  p->n_ctx = n_ctx_wished ? n_ctx_wished : p->n_ctx_max ? p->n_ctx_max : (KV_BLOCK < c->n_ctx_train ? KV_BLOCK : c->n_ctx_train);
  p->n_blocks = (p->n_ctx + KV_BLOCK - 1) / KV_BLOCK;
  p->n_host_blocks = p->n_blocks - that_fit(room, s->kv_block, p->n_blocks);
  /* Layers leave, last first, only where no block of the cache is left on the device. */
  uint64_t device = weights;
  while (device > p->budget_bytes && p->n_host_layers < c->n_layers)
    device -= layer_bytes(&model->tensors.layers[c->n_layers - ++p->n_host_layers]);
}

/* ---- the items ---- */

static void add(plan *p, const char *name, int32_t layer, plan_heap heap, uint64_t bytes) {
  if (bytes == 0)
    return;
  p->items[p->n_items++] = (plan_item){name, layer, heap, align(bytes)};
  *(heap == PLAN_DEVICE ? &p->device_bytes : &p->host_bytes) += align(bytes);
}

static void add_layer(plan *p, const model_header *model, uint32_t i, plan_kv kv) {
  const model_layer *layer = &model->tensors.layers[i];
  plan_heap heap = i + p->n_host_layers < model->config.n_layers ? PLAN_DEVICE : PLAN_HOST;
  uint64_t block = kv_block_bytes(&model->config, kv);
  for (int m = 0; m < N_LAYER_MATRICES; m++)
    add(p, layer->matrices[m]->name, (int32_t)i, heap, matrix_bytes(layer->matrices[m]));
  for (int v = 0; v < N_LAYER_VECTORS; v++)
    if (layer->vectors[v])
      add(p, layer->vectors[v]->name, (int32_t)i, heap, layer->vectors[v]->bytes);
  add(p, "KV cache", (int32_t)i, PLAN_DEVICE, (p->n_blocks - p->n_host_blocks) * block);
  add(p, "KV cache, oldest", (int32_t)i, PLAN_HOST, p->n_host_blocks * block);
}

static void add_all(plan *p, const model_header *model, const sums *s, plan_kv kv) {
  const model_config *c = &model->config;
  const model_tensors *t = &model->tensors;
  add(p, t->output->name, -1, PLAN_DEVICE, s->output);
  add(p, t->output_norm->name, -1, PLAN_DEVICE, t->output_norm->bytes);
  for (uint32_t i = 0; i < c->n_layers; i++)
    add_layer(p, model, i, kv);
  add(p, "activations", -1, PLAN_DEVICE, s->activations);
  add(p, "logits", -1, PLAN_DEVICE, s->logits);
  if (!s->tied)
    add(p, t->tok_embd->name, -1, PLAN_HOST, s->embedding);
  add(p, "logits, read back", -1, PLAN_HOST, s->logits);
  add(p, "tokens and rotation", -1, PLAN_HOST, 4ull * p->n_batch * (1 + c->head_dim));
  add(p, "staging", -1, PLAN_HOST, STAGING_BYTES);
}

hn_status plan_init(const model_header *model, const plan_memory *memory, const plan_wish *wish, plan *out, hn_error *err) {
  const model_config *c = &model->config;
  *out = (plan){.n_batch = choose_batch(c)};
  if (wish->n_ctx > c->n_ctx_train)
    return hn_fail(err, HN_ERROR_ARGUMENT, "a context of %u tokens: the model was made for %u", (unsigned)wish->n_ctx, (unsigned)c->n_ctx_train);
  out->items = calloc((size_t)c->n_layers * ((size_t)N_LAYER_MATRICES + N_LAYER_VECTORS + 2) + OTHERS, sizeof *out->items);
  if (!out->items)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a plan");
  uint64_t free_bytes = memory->device_bytes > MARGIN_BYTES ? memory->device_bytes - MARGIN_BYTES : 0;
  out->budget_bytes = wish->budget_bytes ? wish->budget_bytes : free_bytes;
  if (out->budget_bytes > memory->device_bytes)
    out->budget_bytes = memory->device_bytes;
  sums s = sum_up(model, wish->kv, out->n_batch);
  place(out, model, &s, wish->n_ctx);
  add_all(out, model, &s, wish->kv);
  out->fits = out->device_bytes <= out->budget_bytes && out->host_bytes <= memory->host_bytes;
  return HN_OK;
}

void plan_finish(plan *p) {
  free(p->items);
  *p = (plan){0};
}
