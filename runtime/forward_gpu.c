#include "forward_gpu.h"

#include <stdlib.h>
#include <string.h>

#include "../loader/quant.h"
#include "sizes.h"
#include "weights_gpu.h"

typedef struct forward_gpu forward_gpu;

typedef struct sequence { /* tokens of a step that follow each other in one session */
  const forward_gpu *f;   /* the session, with its cache and parts of attention */
  uint32_t at;            /* the first of them in the step */
  kv_tokens tokens;
} sequence;

struct forward_gpu {
  forward base;
  const gpu_weights *weights;
  gpu_cmd *cmd;
  uint64_t wait_ns;
  plan plan;   /* of this session */
  arena arena; /* all that it allocates on the device and of the host for it */
  arena_place logits, readback; /* see logits_bytes */
  arena_place input, input_copy; /* see activations.input: the kernels read the device's copy */
  VkDeviceAddress x, qkv, o, gate, up, q, q_d; /* as in forward_cpu */
  VkDeviceAddress part_o, part_sums, counters; /* of attention */
  gpu_q8 a, h; /* h: of one token */
  layer_then *then; /* (n_layers): what a decode step does behind products; the device has it at then_at */
  VkDeviceAddress then_at;
  uint32_t recorded; /* the kept recording is a decode step for a context of so many blocks; 0: it is not */
  /* Of the current call: */
  const forward_step *step;
  sequence sequences[FORWARD_ALL_MAX]; /* (n_sequences): the step's tokens */
  uint32_t n_sequences;
};

/* ---- recording: each function ends with a barrier, but for those of a layer and the logits ---- */

static uint32_t q_width(const forward_gpu *f) {
  return f->weights->config.n_heads * f->weights->config.head_dim;
}

static uint32_t kv_width(const forward_gpu *f) {
  return f->weights->config.n_kv_heads * f->weights->config.head_dim;
}

static void copy_input(forward_gpu *f) {
  uint64_t bytes = input_bytes(&f->weights->config, f->step->n);
  gpu_cmd_copy(f->cmd, f->input.buffer, f->input.offset, f->input_copy.buffer, f->input_copy.offset, bytes);
  gpu_cmd_barrier(f->cmd);
}

static void embed(forward_gpu *f) {
  kernel_embed(f->cmd, &f->weights->kernels, &f->weights->tok_embd, f->input_copy.address, f->x, f->step->n);
  gpu_cmd_barrier(f->cmd);
}

static struct push_norm push_norm(const forward_gpu *f, VkDeviceAddress weight) {
  uint32_t n = f->weights->config.n_embd;
  return (struct push_norm){f->x, weight, f->a.q, f->a.d, f->a.sums, n, 1.0f / (float)n, f->weights->config.norm_eps};
}

static void norm(forward_gpu *f, VkDeviceAddress weight) {
  struct push_norm push = push_norm(f, weight);
  kernel_norm_quant(f->cmd, &f->weights->kernels, &push, f->step->n);
  gpu_cmd_barrier(f->cmd);
}

/* y = (residual +) w . a (+ bias) for n tokens; without the barrier */
static void multiply(forward_gpu *f, const gpu_matrix *w, gpu_q8 a, uint32_t n, VkDeviceAddress bias, VkDeviceAddress residual,
                     VkDeviceAddress y, uint32_t y_stride) {
  gpu_product p = {a, bias, residual, y, n, y_stride};
  const kernels *k = &f->weights->kernels;
  bool few = n <= FEW_TOKENS && kernels_batch_tokens(k, w->type) > 1;
  bool output = !kernels_has(k, KERNEL_MATMAT, w->type); /* all logits, of another type than the layers' */
  (n == 1 ? kernel_matvec : few || output ? kernel_matvec_batch : kernel_matmat)(f->cmd, k, w, &p);
}

static uint32_t n_device_blocks(const forward_gpu *f) {
  return f->plan.n_blocks - f->plan.n_host_blocks;
}

/* Where the cache of a layer is. */
typedef struct layer_cache {
  VkDeviceAddress device, host;
  uint32_t n_device_blocks;
} layer_cache;

static layer_cache cache_of(const forward_gpu *f, uint32_t layer) {
  const plan_layer *items = &f->plan.layers[layer];
  return (layer_cache){arena_at(&f->arena, items->cache_device).address, arena_at(&f->arena, items->cache_host).address,
                       n_device_blocks(f)};
}

/* From row `at` on, of rows as wide as that. */
static gpu_q8 q8_row(gpu_q8 a, uint32_t width, uint32_t at) {
  uint64_t blocks = (uint64_t)at * (width / ACT_BLOCK);
  return (gpu_q8){a.q + blocks * ACT_BLOCK, a.d + 4 * blocks, a.sums + 4 * blocks};
}

/* Of a sequence in a step of n tokens. */
static VkDeviceAddress positions(const forward_gpu *f, const sequence *s, uint32_t n) {
  return f->input_copy.address + 4ull * (n + s->at);
}

static VkDeviceAddress heads(const forward_gpu *f, const sequence *s) {
  return f->q + 4ull * s->at * f->weights->config.n_heads * HEAD_WORDS(f->weights->config.head_dim);
}

static VkDeviceAddress head_scales(const forward_gpu *f, const sequence *s) {
  return f->q_d + 4ull * s->at * f->weights->config.n_heads * HEAD_SCALES(f->weights->config.head_dim);
}

static struct push_rope_store rope_store(const forward_gpu *f, uint32_t layer, const sequence *s, uint32_t n) {
  const model_config *c = &f->weights->config;
  layer_cache cache = cache_of(s->f, layer);
  return (struct push_rope_store){positions(f, s, n), f->input_copy.address + 4ull * (2 * n + (uint64_t)s->at * c->head_dim),
                                  f->qkv + 4ull * s->at * (q_width(f) + 2 * kv_width(f)), heads(f, s), head_scales(f, s), cache.device, cache.host,
                                  c->n_heads, c->n_kv_heads, c->head_dim, cache.n_device_blocks};
}

/* Whether attention rounds the heads itself. */
static bool rounds(const forward_gpu *f) {
  return f->weights->config.head_dim % ACT_BLOCK == 0;
}

/* Without the barrier. */
static void attend_sequence(forward_gpu *f, uint32_t layer, const sequence *s) {
  const model_config *c = &f->weights->config;
  layer_cache cache = cache_of(s->f, layer);
  uint32_t n = s->tokens.n;
  gpu_q8 a = q8_row(f->a, q_width(f), s->at);
  VkDeviceAddress o = rounds(f) ? 0 : f->o + 4ull * s->at * q_width(f);
  struct push_attention push = {positions(f, s, f->step->n), heads(f, s), head_scales(f, s), cache.device, cache.host, o, a.q, a.d, a.sums,
                                s->f->part_o, s->f->part_sums, s->f->counters, c->n_heads, c->n_kv_heads, c->head_dim, cache.n_device_blocks, n,
                                kv_score_scale(f->plan.kv_type, c->head_dim)};
  bool few = n <= FEW_TOKENS && n * kv_blocks(s->tokens.end) <= s->f->plan.n_blocks;
  (few ? kernel_attention : kernel_attention_prompt)(f->cmd, &f->weights->kernels, f->plan.kv_type, &push, &s->tokens);
}

/* From q and the caches to q8 a. */
static void attend(forward_gpu *f, uint32_t layer) {
  for (uint32_t i = 0; i < f->n_sequences; i++)
    attend_sequence(f, layer, &f->sequences[i]);
  gpu_cmd_barrier(f->cmd);
  if (rounds(f))
    return;
  struct push_quantize quantize = {f->o, f->a.q, f->a.d, f->a.sums, f->step->n * (q_width(f) / ACT_BLOCK)};
  kernel_quantize(f->cmd, &f->weights->kernels, &quantize);
  gpu_cmd_barrier(f->cmd);
}

/* A product of q, k, v, or of several as one matrix. */
typedef struct qkv_product {
  const gpu_matrix *w; /* of no rows: it is part of the one before */
  uint32_t first_row;  /* among those of all three */
  VkDeviceAddress bias;
} qkv_product;

static qkv_product product_of_qkv(const forward_gpu *f, const gpu_layer *l, int m) {
  const uint32_t first_rows[] = {[WQ] = 0, [WK] = q_width(f), [WV] = q_width(f) + kv_width(f)};
  const int bias[] = {[WQ] = BQ, [WK] = BK, [WV] = BV};
  return (qkv_product){&l->joined[m], first_rows[m], l->vectors[bias[m]]};
}

static void attention(forward_gpu *f, uint32_t layer) {
  const gpu_layer *l = &f->weights->layers[layer];
  uint32_t n = f->step->n;
  norm(f, l->vectors[ATTN_NORM]);
  for (int m = WQ; m <= WV; m++) {
    qkv_product p = product_of_qkv(f, l, m);
    if (p.w->n_rows)
      multiply(f, p.w, f->a, n, p.bias, 0, f->qkv + 4ull * p.first_row, q_width(f) + 2 * kv_width(f));
  }
  gpu_cmd_barrier(f->cmd);
  for (uint32_t i = 0; i < f->n_sequences; i++) {
    struct push_rope_store rotate = rope_store(f, layer, &f->sequences[i], n);
    kernel_rope_store(f->cmd, &f->weights->kernels, f->plan.kv_type, &rotate, &f->sequences[i].tokens);
  }
  gpu_cmd_barrier(f->cmd);
  attend(f, layer);
  multiply(f, &l->matrices[WO], f->a, n, l->vectors[BO], f->x, f->x, f->weights->config.n_embd);
  gpu_cmd_barrier(f->cmd);
}

static void feed_forward(forward_gpu *f, uint32_t layer) {
  const model_config *c = &f->weights->config;
  const gpu_layer *l = &f->weights->layers[layer];
  uint32_t n = f->step->n;
  norm(f, l->vectors[FFN_NORM]);
  multiply(f, &l->matrices[W_GATE], f->a, n, 0, 0, f->gate, c->n_ff);
  multiply(f, &l->matrices[W_UP], f->a, n, 0, 0, f->up, c->n_ff);
  gpu_cmd_barrier(f->cmd);
  struct push_swiglu swiglu = {f->gate, f->up, f->a.q, f->a.d, f->a.sums, n * (c->n_ff / ACT_BLOCK)};
  kernel_swiglu_quant(f->cmd, &f->weights->kernels, &swiglu);
  gpu_cmd_barrier(f->cmd);
  multiply(f, &l->matrices[W_DOWN], f->a, n, 0, f->x, f->x, c->n_embd);
}

static uint64_t row_bytes(const forward_gpu *f, uint32_t rows) {
  return 4ull * rows * f->weights->config.n_vocab;
}

static void copy_logits(forward_gpu *f, uint64_t at, uint64_t bytes) {
  gpu_cmd_copy(f->cmd, f->logits.buffer, f->logits.offset + at, f->readback.buffer, f->readback.offset + at, bytes);
}

/* Of `rows` tokens from their normed q8 rows on; and the largest of one. */
static void logits(forward_gpu *f, gpu_q8 a, uint32_t rows) {
  uint32_t n_vocab = f->weights->config.n_vocab;
  uint64_t argmax_at = row_bytes(f, FORWARD_ALL_MAX);
  multiply(f, &f->weights->output, a, rows, 0, 0, f->logits.address, n_vocab);
  gpu_cmd_barrier(f->cmd);
  if (rows == 1) {
    struct push_argmax push = {f->logits.address, f->logits.address + argmax_at, n_vocab};
    kernel_argmax(f->cmd, &f->weights->kernels, &push);
    gpu_cmd_barrier(f->cmd);
    copy_logits(f, argmax_at, 4);
  }
  copy_logits(f, 0, row_bytes(f, rows));
}

/* Behind the layers of a prompt. */
static void prompt_logits(forward_gpu *f) {
  const forward_step *step = f->step;
  uint32_t skipped = step->want == FORWARD_ALL ? 0 : step->n - 1;
  norm(f, f->weights->output_norm);
  logits(f, q8_row(f->a, f->weights->config.n_embd, skipped), step->n - skipped);
}

/* ---- a decode step: one token, five dispatches a layer; recorded once and submitted again and again ---- */

/* Where the device has a part of f->then. */
static VkDeviceAddress then_at(const forward_gpu *f, const void *then) {
  return f->then_at + (uint64_t)((const uint8_t *)then - (const uint8_t *)f->then);
}

static void decode_qkv(forward_gpu *f, uint32_t layer) {
  const struct then_rope *then = &f->then[layer].rope;
  for (int m = WQ; m <= WV; m++) {
    qkv_product qkv = product_of_qkv(f, &f->weights->layers[layer], m);
    gpu_product p = {f->a, qkv.bias, 0, f->qkv + 4ull * qkv.first_row, 1, q_width(f) + 2 * kv_width(f)};
    if (!qkv.w->n_rows)
      continue;
    kernel_matvec_rope(f->cmd, &f->weights->kernels, qkv.w, &p, then, then_at(f, then), qkv.first_row, &f->sequences->tokens);
    gpu_cmd_barrier(f->cmd);
  }
}

/* x += w . in (+ bias), and the norm behind it. */
static void decode_add(forward_gpu *f, const gpu_matrix *w, gpu_q8 in, VkDeviceAddress bias, const struct then_norm *then) {
  gpu_product p = {in, bias, f->x, f->x, 1, f->weights->config.n_embd};
  kernel_matvec_norm(f->cmd, &f->weights->kernels, w, &p, then, then_at(f, then));
  gpu_cmd_barrier(f->cmd);
}

static void decode_gate_up(forward_gpu *f, const gpu_layer *l) {
  const kernels *k = &f->weights->kernels;
  uint32_t n_ff = f->weights->config.n_ff;
  if (l->joined[W_GATE].n_rows == 2 * n_ff) {
    kernel_matvec_swiglu(f->cmd, k, &l->joined[W_GATE], f->a, f->h, 1);
  } else { /* of two types */
    multiply(f, &l->matrices[W_GATE], f->a, 1, 0, 0, f->gate, n_ff);
    multiply(f, &l->matrices[W_UP], f->a, 1, 0, 0, f->up, n_ff);
    gpu_cmd_barrier(f->cmd);
    kernel_swiglu_quant(f->cmd, k, &(struct push_swiglu){f->gate, f->up, f->h.q, f->h.d, f->h.sums, n_ff / ACT_BLOCK});
  }
  gpu_cmd_barrier(f->cmd);
}

static void decode_layer(forward_gpu *f, uint32_t layer) {
  const gpu_layer *l = &f->weights->layers[layer];
  const layer_then *then = &f->then[layer];
  decode_qkv(f, layer);
  attend(f, layer);
  decode_add(f, &l->matrices[WO], f->a, l->vectors[BO], &then->ffn);
  decode_gate_up(f, l);
  decode_add(f, &l->matrices[W_DOWN], f->h, 0, &then->next);
}

/* The recording is for contexts of up to so many blocks: what attention starts for each, a third more at most than are filled. */
static uint32_t bucket_of(const forward_gpu *f, uint32_t n_blocks) {
  uint32_t bucket = 1;
  while (bucket < n_blocks)
    bucket += bucket / 3 + 1;
  return bucket < f->plan.n_blocks ? bucket : f->plan.n_blocks;
}

static hn_status record_decode(forward_gpu *f, uint32_t n_blocks, hn_error *err) {
  hn_status status = gpu_cmd_begin_kept(f->cmd, err);
  if (status)
    return status;
  f->sequences[0].tokens = (kv_tokens){1, 0, n_blocks * KV_BLOCK};
  copy_input(f);
  embed(f);
  norm(f, f->weights->layers[0].vectors[ATTN_NORM]);
  for (uint32_t i = 0; i < f->weights->config.n_layers; i++)
    decode_layer(f, i);
  logits(f, f->a, 1);
  return HN_OK;
}

/* An observer sees every step as it is recorded, and may have added commands of its own. */
static hn_status decode(forward_gpu *f, hn_error *err) {
  bool seen = f->cmd->observer.see && !f->cmd->observer.lets_replay;
  uint32_t n_blocks = bucket_of(f, kv_blocks(f->sequences[0].tokens.end));
  hn_status status;
  if (f->recorded == n_blocks && !seen) {
    status = gpu_cmd_submit_again(f->cmd, err);
  } else {
    f->recorded = 0;
    status = record_decode(f, n_blocks, err);
    if (!status)
      status = gpu_cmd_submit(f->cmd, err);
    f->recorded = status || seen ? 0 : n_blocks;
  }
  return status ? status : gpu_cmd_wait(f->cmd, f->wait_ns, err);
}

/* ---- the pass ---- */

/* Between a layer and what follows: what was recorded is handed in, so that a caller can cancel. */
static hn_status end_layer(forward_gpu *f, hn_error *err) {
  hn_status status = gpu_cmd_submit_wait(f->cmd, f->wait_ns, err);
  if (!status && atomic_load(f->step->cancel))
    return hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
  return status ? status : gpu_cmd_begin(f->cmd, err);
}

static hn_status run_layers(forward_gpu *f, hn_error *err) {
  uint32_t n_layers = f->weights->config.n_layers;
  hn_status status = gpu_cmd_begin(f->cmd, err);
  if (!status) {
    copy_input(f);
    embed(f);
  }
  for (uint32_t i = 0; i < n_layers && !status; i++) {
    attention(f, i);
    feed_forward(f, i);
    if (i + 1 < n_layers || f->step->want != FORWARD_CACHE)
      status = end_layer(f, err);
  }
  return status;
}

/* One piece without gaps for any number of tokens, so that one copy takes it to the device. */
static void write_input(const forward_gpu *f) {
  const forward_step *step = f->step;
  uint32_t *words = f->input.mapped, *positions = words + step->n;
  float *rotation = (float *)(void *)(positions + step->n);
  memcpy(words, step->ids, step->n * sizeof *step->ids);
  for (const sequence *s = f->sequences; s < f->sequences + f->n_sequences; s++) {
    for (uint32_t i = 0; i < s->tokens.n; i++)
      positions[s->at + i] = s->tokens.first + i;
    rope_fill(&f->weights->rope, s->tokens.first, s->tokens.n, rotation + (size_t)s->at * f->weights->config.head_dim);
  }
}

static hn_status prompt(forward_gpu *f, hn_error *err) {
  hn_status status = run_layers(f, err);
  if (status)
    return status;
  if (f->step->want != FORWARD_CACHE)
    prompt_logits(f);
  return gpu_cmd_submit_wait(f->cmd, f->wait_ns, err);
}

/* Of f->sequences. */
static hn_status run(forward_gpu *f, const forward_step *step, uint32_t n_sequences, hn_error *err) {
  f->step = step;
  f->n_sequences = n_sequences;
  if (atomic_load(step->cancel))
    return hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
  write_input(f);
  return step->n == 1 ? decode(f, err) : prompt(f, err);
}

static hn_status eval(forward *base, const forward_step *step, hn_error *err) {
  forward_gpu *f = (forward_gpu *)base;
  f->sequences[0] = (sequence){f, 0, {step->n, step->first, step->first + step->n}};
  hn_status status = run(f, step, 1, err);
  if (!status && step->want == FORWARD_LAST)
    memcpy(step->argmax, (const uint8_t *)f->readback.mapped + row_bytes(f, FORWARD_ALL_MAX), 4);
  return status;
}

/* By the first, which has room for the activations of all. */
static hn_status eval_together(forward *const *all, const forward_step *steps, uint32_t n, hn_error *err) {
  forward_gpu *f = (forward_gpu *)all[0];
  int32_t ids[FORWARD_ALL_MAX];
  for (uint32_t i = 0; i < n; i++) {
    f->sequences[i] = (sequence){(forward_gpu *)all[i], i, {1, steps[i].first, steps[i].first + 1}};
    ids[i] = steps[i].ids[0];
  }
  const forward_step step = {.ids = ids, .n = n, .want = FORWARD_ALL, .cancel = steps[0].cancel};
  hn_status status = run(f, &step, n, err);
  for (uint32_t i = 1; i < n && !status; i++)
    memcpy(all[i]->logits, f->base.logits + (size_t)i * f->weights->config.n_vocab, row_bytes(f, 1));
  return status;
}

/* ---- the KV cache, from and to the CPU: through the memory that logits are read back by ---- */

/* Where the cache has a block of a layer. */
static arena_place block_at(const forward_gpu *f, uint32_t layer, uint32_t block) {
  const plan_layer *items = &f->plan.layers[layer];
  bool first = block < n_device_blocks(f);
  arena_place place = arena_at(&f->arena, first ? items->cache_device : items->cache_host);
  place.offset += (first ? block : block - n_device_blocks(f)) * kv_block_bytes(&f->weights->config, f->plan.kv_type);
  return place;
}

/* One piece, to `readback` or from there. */
static hn_status move(forward_gpu *f, const gpu_buffer *from, uint64_t from_offset, const gpu_buffer *to, uint64_t to_offset, uint64_t bytes,
                      hn_error *err) {
  hn_status status = gpu_cmd_begin(f->cmd, err);
  if (status)
    return status;
  gpu_cmd_copy(f->cmd, from, from_offset, to, to_offset, bytes);
  return gpu_cmd_submit_wait(f->cmd, f->wait_ns, err);
}

/* Bytes on the device: to `out`, or from `in` where out is NULL. The first row of what is read back stays: the last logits. */
static hn_status transfer(forward_gpu *f, const arena_place *at, uint64_t bytes, uint8_t *out, const uint8_t *in, hn_error *err) {
  uint64_t kept = row_bytes(f, 1), room = logits_bytes(&f->weights->config) / 4 * 4 - kept;
  uint8_t *mapped = (uint8_t *)f->readback.mapped + kept;
  hn_status status = HN_OK;
  for (uint64_t done = 0; done < bytes && !status;) {
    uint64_t n = bytes - done < room ? bytes - done : room;
    if (in)
      memcpy(mapped, in + done, n);
    status = in ? move(f, f->readback.buffer, f->readback.offset + kept, at->buffer, at->offset + done, n, err)
                : move(f, at->buffer, at->offset + done, f->readback.buffer, f->readback.offset + kept, n, err);
    if (!status && out)
      memcpy(out + done, mapped, n);
    done += n;
  }
  return status;
}

static hn_status move_block(forward_gpu *f, uint32_t layer, uint32_t block, uint8_t *out, const uint8_t *in, hn_error *err) {
  arena_place at = block_at(f, layer, block);
  return transfer(f, &at, kv_block_bytes(&f->weights->config, f->plan.kv_type), out, in, err);
}

static hn_status read_kv(forward *base, uint32_t layer, uint32_t block, void *bytes, hn_error *err) {
  return move_block((forward_gpu *)base, layer, block, bytes, NULL, err);
}

static hn_status write_kv(forward *base, uint32_t layer, uint32_t block, const void *bytes, hn_error *err) {
  return move_block((forward_gpu *)base, layer, block, NULL, bytes, err);
}

/* ---- memory ---- */

static void destroy(forward *base) {
  forward_gpu *f = (forward_gpu *)base;
  gpu_cmd_destroy(&f->cmd);
  arena_finish(&f->arena);
  plan_finish(&f->plan);
  free(f->then);
  free(f);
}

/* What the model's budget has left. */
static hn_status make_plan(forward_gpu *f, const forward_params *params, hn_error *err) {
  const gpu_weights *w = f->weights;
  uint64_t device, host;
  gpu_device_bytes(w->device, &device, &host);
  for (uint32_t i = 0; i < w->arena.n; i++)
    *(w->arena.buffers[i].kind == GPU_MEMORY_DEVICE ? &device : &host) -= w->arena.buffers[i].allocated;
  plan_wish wish = {
      .budget_bytes = w->plan.shared ? 0 : w->plan.base.budget_bytes,
      .taken_device_bytes = device,
      .taken_host_bytes = host,
      .n_ctx = params->n_ctx ? params->n_ctx : w->plan.base.n_ctx,
      .n_batch = params->n_batch ? params->n_batch : w->plan.base.n_batch,
      .kv_type = w->plan.kv_type,
      .n_host_layers = (int32_t)w->plan.base.n_host_layers,
  };
  hn_status status = plan_init(w->model, &w->memory, &wish, &f->plan, err);
  return status ? status : plan_check(&f->plan, w->device->info.name, err);
}

static void point(forward_gpu *f) {
  activations a = activations_of(&f->weights->config, f->base.n_batch);
  arena_place scratch = arena_at(&f->arena, f->plan.activations);
  VkDeviceAddress at = scratch.address;
  f->x = at + a.x;
  f->qkv = at + a.qkv;
  f->o = at + a.o;
  f->gate = at + a.gate;
  f->up = at + a.up;
  f->q = at + a.q;
  f->q_d = at + a.q_d;
  f->part_o = arena_at(&f->arena, f->plan.parts).address;
  f->part_sums = f->part_o + 4ull * f->plan.n_blocks * q_width(f);
  f->counters = at + a.counters;
  f->a = (gpu_q8){at + a.a_q, at + a.a_d, at + a.a_sums};
  f->h = (gpu_q8){at + a.h_q, at + a.h_d, at + a.h_sums};
  f->then_at = at + a.then;
  f->logits = arena_at(&f->arena, f->plan.logits);
  f->readback = arena_at(&f->arena, f->plan.readback);
  f->input = arena_at(&f->arena, f->plan.input);
  f->input_copy = scratch;
  f->input_copy.offset += a.input;
  f->input_copy.address += a.input;
}

/* What a decode step does behind products, and counters of zero behind it. */
static hn_status write_then(forward_gpu *f, hn_error *err) {
  const model_config *c = &f->weights->config;
  activations a = activations_of(c, f->base.n_batch);
  uint64_t bytes = a.counters + counter_bytes(c) - a.then;
  arena_place to = arena_at(&f->arena, f->plan.activations);
  f->then = calloc(1, bytes);
  if (!f->then)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a session");
  for (uint32_t i = 0; i < c->n_layers; i++) {
    const gpu_layer *l = &f->weights->layers[i];
    VkDeviceAddress next = i + 1 < c->n_layers ? l[1].vectors[ATTN_NORM] : f->weights->output_norm;
    f->then[i].rope = (struct then_rope){rope_store(f, i, &(sequence){.f = f}, 1), f->counters};
    f->then[i].ffn = (struct then_norm){push_norm(f, l->vectors[FFN_NORM]), f->counters};
    f->then[i].next = (struct then_norm){push_norm(f, next), f->counters};
  }
  to.offset += a.then;
  return transfer(f, &to, bytes, NULL, (const uint8_t *)f->then, err);
}

hn_status forward_gpu_create(const gpu_weights *weights, const forward_params *params, forward **out, hn_error *err) {
  *out = NULL;
  forward_gpu *f = calloc(1, sizeof *f);
  if (!f)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a session");
  f->base = (forward){0, 0, NULL, eval, eval_together, read_kv, write_kv, destroy};
  f->weights = weights;
  f->wait_ns = gpu_wait_limit_ns(weights->device);
  pthread_mutex_lock(&weights->device->plan_lock);
  hn_status status = make_plan(f, params, err);
  if (!status)
    status = arena_init(weights->device, &f->plan, PLAN_SESSION, &f->arena, err);
  pthread_mutex_unlock(&weights->device->plan_lock);
  if (!status)
    status = gpu_cmd_create(weights->device, &f->cmd, err);
  if (!status) {
    f->base.n_ctx = f->plan.base.n_ctx;
    f->base.n_batch = f->plan.base.n_batch;
    point(f);
    status = write_then(f, err);
  }
  if (status) {
    destroy(&f->base);
    return status;
  }
  f->base.logits = f->readback.mapped;
  *out = &f->base;
  return HN_OK;
}

gpu_cmd *forward_gpu_cmd(forward *self) {
  return ((forward_gpu *)self)->cmd;
}
