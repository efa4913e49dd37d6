#include "forward_cpu.h"

#include <stdlib.h>
#include <string.h>

#include "../shaders/exact.h"
#include "../shaders/shared.h"
#include "sizes.h"
#include "threads.h"
#include "weights_cpu.h"

enum { ROW_GRAIN = 16, BLOCK_GRAIN = 16 };

typedef struct forward_cpu {
  forward base;
  const cpu_weights *weights;
  threads *pool;
  cpu_heads heads;
  cpu_cache *caches; /* (n_layers); in them `device` alone */
  float *rotation;   /* (n_batch, head_dim / 2) pairs */
  float *x;          /* (n_batch, n_embd) the residual stream */
  float *qkv;        /* (n_batch, n_heads + 2 n_kv_heads, head_dim) */
  float *o;          /* (n_batch, n_heads, head_dim) */
  float *gate, *up;  /* (n_batch, n_ff) */
  cpu_query q;
  cpu_q8 a; /* (n_batch) rows of the widest input of a matrix */
  /* what the loops of the current call work on */
  const forward_step *step;
  const cpu_layer *layer;
  const cpu_cache *cache;
  const float *norm;
} forward_cpu;

/* ---- loops over tokens, heads, blocks, rows ---- */

static void embed_tokens(void *arg, uint32_t begin, uint32_t end) {
  forward_cpu *f = arg;
  for (uint32_t t = begin; t < end; t++)
    cpu_embed(&f->weights->tok_embd, f->step->ids[t], f->x + (size_t)t * f->weights->config.n_embd);
}

static void norm_tokens(void *arg, uint32_t begin, uint32_t end) {
  forward_cpu *f = arg;
  const model_config *c = &f->weights->config;
  for (uint32_t t = begin; t < end; t++)
    cpu_norm_quant(f->x + (size_t)t * c->n_embd, f->norm, c->n_embd, 1.0f / (float)c->n_embd, c->norm_eps, f->a, t);
}

static void rope_tokens(void *arg, uint32_t begin, uint32_t end) {
  forward_cpu *f = arg;
  const cpu_heads *h = &f->heads;
  for (uint32_t t = begin; t < end; t++)
    cpu_rope_store(h, f->qkv + (size_t)t * (h->n_heads + 2 * h->n_kv_heads) * h->head_dim, f->rotation + (size_t)t * h->head_dim,
                   f->step->first + t, t, f->q, f->cache);
}

static void attention_heads(void *arg, uint32_t begin, uint32_t end) {
  forward_cpu *f = arg;
  const cpu_heads *h = &f->heads;
  for (uint32_t i = begin; i < end; i++) {
    uint32_t token = i / h->n_heads, head = i % h->n_heads;
    cpu_attention(h, f->q, token, head, f->cache, f->step->first + token + 1, f->o + (size_t)i * h->head_dim);
  }
}

static void quantize_blocks(void *arg, uint32_t begin, uint32_t end) {
  forward_cpu *f = arg;
  cpu_quantize(f->o, begin, end, f->a);
}

static void swiglu_blocks(void *arg, uint32_t begin, uint32_t end) {
  forward_cpu *f = arg;
  cpu_swiglu_quant(f->gate, f->up, begin, end, f->a);
}

static void matmul_rows(void *arg, uint32_t begin, uint32_t end) {
  cpu_matmul(arg, begin, end);
}

/* y = (residual +) w . f->a (+ bias) for n tokens */
static void multiply(forward_cpu *f, const cpu_matrix *w, cpu_q8 x, uint32_t n, const float *bias, const float *residual, float *y,
                     uint32_t y_stride) {
  cpu_product p = {.w = w, .x = x, .n_tokens = n, .bias = bias, .residual = residual, .y = y, .y_stride = y_stride};
  threads_run(f->pool, w->n_rows, ROW_GRAIN, matmul_rows, &p);
}

/* ---- the pass ---- */

static void attention(forward_cpu *f) {
  const cpu_layer *l = f->layer;
  const cpu_heads *h = &f->heads;
  uint32_t n = f->step->n, n_embd = f->weights->config.n_embd, stride = (h->n_heads + 2 * h->n_kv_heads) * h->head_dim;
  float *k = f->qkv + (size_t)h->n_heads * h->head_dim, *v = k + (size_t)h->n_kv_heads * h->head_dim;
  f->norm = l->vectors[ATTN_NORM];
  threads_run(f->pool, n, 1, norm_tokens, f);
  multiply(f, &l->matrices[WQ], f->a, n, l->vectors[BQ], NULL, f->qkv, stride);
  multiply(f, &l->matrices[WK], f->a, n, l->vectors[BK], NULL, k, stride);
  multiply(f, &l->matrices[WV], f->a, n, l->vectors[BV], NULL, v, stride);
  threads_run(f->pool, n, 1, rope_tokens, f);
  threads_run(f->pool, n * h->n_heads, 1, attention_heads, f);
  threads_run(f->pool, n * h->n_heads * h->head_dim / ACT_BLOCK, BLOCK_GRAIN, quantize_blocks, f);
  multiply(f, &l->matrices[WO], f->a, n, l->vectors[BO], f->x, f->x, n_embd);
}

static void feed_forward(forward_cpu *f) {
  const cpu_layer *l = f->layer;
  uint32_t n = f->step->n, n_embd = f->weights->config.n_embd, n_ff = f->weights->config.n_ff;
  f->norm = l->vectors[FFN_NORM];
  threads_run(f->pool, n, 1, norm_tokens, f);
  multiply(f, &l->matrices[W_GATE], f->a, n, NULL, NULL, f->gate, n_ff);
  multiply(f, &l->matrices[W_UP], f->a, n, NULL, NULL, f->up, n_ff);
  threads_run(f->pool, n * (n_ff / ACT_BLOCK), BLOCK_GRAIN, swiglu_blocks, f);
  multiply(f, &l->matrices[W_DOWN], f->a, n, NULL, f->x, f->x, n_embd);
}

static void logits(forward_cpu *f) {
  const model_config *c = &f->weights->config;
  const forward_step *step = f->step;
  uint32_t skipped = step->want == FORWARD_ALL ? 0 : step->n - 1;
  cpu_q8 x = f->a;
  x.q += (size_t)skipped * c->n_embd;
  x.d += (size_t)skipped * (c->n_embd / ACT_BLOCK);
  x.sums += (size_t)skipped * (c->n_embd / 16);
  f->norm = f->weights->output_norm;
  threads_run(f->pool, step->n, 1, norm_tokens, f);
  multiply(f, &f->weights->output, x, step->n - skipped, NULL, NULL, f->base.logits, c->n_vocab);
  if (step->want == FORWARD_LAST)
    *step->argmax = cpu_argmax(f->base.logits, c->n_vocab);
}

static hn_status eval(forward *base, const forward_step *step, hn_error *err) {
  forward_cpu *f = (forward_cpu *)base;
  f->step = step;
  rope_fill(&f->weights->rope, step->first, step->n, f->rotation);
  threads_run(f->pool, step->n, 1, embed_tokens, f);
  for (uint32_t i = 0; i < f->weights->config.n_layers; i++) {
    if (atomic_load(step->cancel))
      return hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
    f->layer = &f->weights->layers[i];
    f->cache = &f->caches[i];
    attention(f);
    feed_forward(f);
  }
  if (step->want != FORWARD_CACHE)
    logits(f);
  return HN_OK;
}

/* One after the other: here, what a token costs is arithmetic. */
static hn_status eval_together(forward *const *all, const forward_step *steps, uint32_t n, hn_error *err) {
  hn_status status = HN_OK;
  for (uint32_t i = 0; i < n && !status; i++)
    status = eval(all[i], &steps[i], err);
  return status;
}

/* ---- the KV cache ---- */

static uint8_t *block_at(const forward_cpu *f, uint32_t layer, uint32_t block) {
  const cpu_cache *c = &f->caches[layer];
  return (uint8_t *)c->device + block * kv_block_bytes(&f->weights->config, c->type);
}

static hn_status read_kv(forward *base, uint32_t layer, uint32_t block, void *bytes, hn_error *err) {
  const forward_cpu *f = (forward_cpu *)base;
  (void)err;
  memcpy(bytes, block_at(f, layer, block), kv_block_bytes(&f->weights->config, f->caches[layer].type));
  return HN_OK;
}

static hn_status write_kv(forward *base, uint32_t layer, uint32_t block, const void *bytes, hn_error *err) {
  const forward_cpu *f = (forward_cpu *)base;
  (void)err;
  memcpy(block_at(f, layer, block), bytes, kv_block_bytes(&f->weights->config, f->caches[layer].type));
  return HN_OK;
}

/* ---- memory ---- */

static void destroy(forward *base) {
  forward_cpu *f = (forward_cpu *)base;
  threads_destroy(&f->pool);
  for (uint32_t i = 0; f->caches && i < f->weights->config.n_layers; i++)
    free(f->caches[i].device);
  void *all[] = {f->caches, f->rotation, f->x, f->qkv, f->o, f->gate, f->up, f->q.q, f->q.d, f->a.q, f->a.d, f->a.sums, f->base.logits};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    free(all[i]);
  free(f);
}

static uint32_t max_u32(uint32_t a, uint32_t b) {
  return a > b ? a : b;
}

static bool allocate_caches(forward_cpu *f, const forward_params *params) {
  uint32_t n_blocks = kv_blocks(params->n_ctx);
  size_t bytes = n_blocks * kv_block_bytes(&f->weights->config, params->kv_type);
  f->caches = calloc(f->weights->config.n_layers, sizeof *f->caches);
  for (uint32_t i = 0; f->caches && i < f->weights->config.n_layers; i++) {
    f->caches[i] = (cpu_cache){.type = params->kv_type, .n_device_blocks = n_blocks, .device = malloc(bytes)};
    if (!f->caches[i].device)
      return false;
  }
  return f->caches != NULL;
}

static bool allocate_activations(forward_cpu *f, size_t n) {
  const model_config *c = &f->weights->config;
  const cpu_heads *h = &f->heads;
  size_t q_width = (size_t)h->n_heads * h->head_dim, widest = max_u32(max_u32(c->n_embd, c->n_ff), (uint32_t)q_width);
  f->rotation = malloc(n * h->head_dim * sizeof(float));
  f->x = malloc(n * c->n_embd * sizeof(float));
  f->qkv = malloc(n * (q_width + 2 * (size_t)h->n_kv_heads * h->head_dim) * sizeof(float));
  f->o = malloc(n * q_width * sizeof(float));
  f->gate = malloc(n * c->n_ff * sizeof(float));
  f->up = malloc(n * c->n_ff * sizeof(float));
  f->q.q = malloc(n * h->n_heads * HEAD_WORDS(h->head_dim) * 4);
  f->q.d = malloc(n * h->n_heads * HEAD_SCALES(h->head_dim) * sizeof(float));
  f->a.q = malloc(n * widest);
  f->a.d = malloc(n * (widest / ACT_BLOCK) * sizeof(float));
  f->a.sums = malloc(n * (widest / 16) * sizeof(int16_t));
  f->base.logits = malloc(sizeof(float) * FORWARD_ALL_MAX * c->n_vocab);
  return f->base.logits && f->rotation && f->x && f->qkv && f->o && f->gate && f->up && f->q.q && f->q.d && f->a.q && f->a.d && f->a.sums;
}

hn_status forward_cpu_create(const cpu_weights *weights, const forward_params *params, forward **out, hn_error *err) {
  *out = NULL;
  forward_cpu *f = calloc(1, sizeof *f);
  if (!f)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a session");
  const model_config *c = &weights->config;
  f->base = (forward){params->n_ctx, params->n_batch, NULL, eval, eval_together, NULL, read_kv, write_kv, destroy};
  f->weights = weights;
  f->heads = (cpu_heads){c->n_heads, c->n_kv_heads, c->head_dim};
  hn_status status = HN_OK;
  if (!allocate_caches(f, params) || !allocate_activations(f, params->n_batch))
    status = hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a context of %u tokens; a smaller one needs less",
                     (unsigned)params->n_ctx);
  if (!status)
    status = threads_create(params->n_threads, &f->pool, err);
  if (status) {
    destroy(&f->base);
    return status;
  }
  *out = &f->base;
  return HN_OK;
}
