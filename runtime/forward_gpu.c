#include "forward_gpu_object.h"

#include <string.h>

#include "../loader/quant.h"

/* ---- recording: each function ends with a barrier, but for those of a layer and the logits ---- */

static uint32_t kv_width(const forward_gpu *f) {
  return f->weights->config.n_kv_heads * f->weights->config.head_dim;
}

static void copy_input(forward_gpu *f) {
  uint64_t bytes = input_bytes(&f->weights->config, f->step.n);
  gpu_cmd_copy(f->cmd, f->input.buffer, f->input.offset, f->input_copy.buffer, f->input_copy.offset, bytes);
  gpu_cmd_barrier(f->cmd);
}

static void embed(forward_gpu *f) {
  kernel_embed(f->cmd, &f->weights->kernels, &f->weights->tok_embd, f->input_copy.address, f->x, f->step.n);
  gpu_cmd_barrier(f->cmd);
}

static struct push_norm push_norm(const forward_gpu *f, VkDeviceAddress weight) {
  uint32_t n = f->weights->config.n_embd;
  return (struct push_norm){f->x, weight, f->a.q, f->a.d, f->a.sums, n, 1.0f / (float)n, f->weights->config.norm_eps};
}

static void norm(forward_gpu *f, VkDeviceAddress weight) {
  struct push_norm push = push_norm(f, weight);
  kernel_norm_quant(f->cmd, &f->weights->kernels, &push, f->step.n);
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
  struct push_attention push = {positions(f, s, f->step.n), heads(f, s), head_scales(f, s), cache.device, cache.host, o, a.q, a.d, a.sums,
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
  struct push_quantize quantize = {f->o, f->a.q, f->a.d, f->a.sums, f->step.n * (q_width(f) / ACT_BLOCK)};
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
  uint32_t n = f->step.n;
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
  uint32_t n = f->step.n;
  norm(f, l->vectors[FFN_NORM]);
  multiply(f, &l->matrices[W_GATE], f->a, n, 0, 0, f->gate, c->n_ff);
  multiply(f, &l->matrices[W_UP], f->a, n, 0, 0, f->up, c->n_ff);
  gpu_cmd_barrier(f->cmd);
  struct push_swiglu swiglu = {f->gate, f->up, f->a.q, f->a.d, f->a.sums, n * (c->n_ff / ACT_BLOCK)};
  kernel_swiglu_quant(f->cmd, &f->weights->kernels, &swiglu);
  gpu_cmd_barrier(f->cmd);
  multiply(f, &l->matrices[W_DOWN], f->a, n, 0, f->x, f->x, c->n_embd);
}

static void copy_logits(forward_gpu *f, uint64_t at, uint64_t bytes) {
  gpu_cmd_copy(f->cmd, f->logits.buffer, f->logits.offset + at, f->readback.buffer, f->readback.offset + at, bytes);
}

/* Where the argmax lies behind the logits: of an evaluation, and on the host of each recorded step. */
static uint64_t argmax_at(const forward_gpu *f, uint32_t decode) {
  return row_bytes(f, FORWARD_ALL_MAX) + 4ull * decode;
}

/* Of `rows` tokens from their normed q8 rows on. */
static void multiply_output(forward_gpu *f, gpu_q8 a, uint32_t rows) {
  multiply(f, &f->weights->output, a, rows, 0, 0, f->logits.address, f->weights->config.n_vocab);
  gpu_cmd_barrier(f->cmd);
}

/* The largest of one. */
static void argmax(forward_gpu *f) {
  struct push_argmax push = {f->logits.address, f->logits.address + argmax_at(f, DECODE_GIVEN), f->weights->config.n_vocab};
  kernel_argmax(f->cmd, &f->weights->kernels, &push);
  gpu_cmd_barrier(f->cmd);
}

/* Both, and to the host. */
static void logits(forward_gpu *f, gpu_q8 a, uint32_t rows) {
  multiply_output(f, a, rows);
  if (rows == 1) {
    argmax(f);
    copy_logits(f, argmax_at(f, DECODE_GIVEN), 4);
  }
  copy_logits(f, 0, row_bytes(f, rows));
}

/* Behind the layers of a prompt. */
static void prompt_logits(forward_gpu *f) {
  const forward_step *step = &f->step;
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

/* Where a step of a token that the device chose has its input on the host. */
static uint64_t chosen_input_at(const forward_gpu *f, uint32_t decode) {
  return input_bytes(&f->weights->config, f->base.n_batch) + (decode - DECODE_CHOSEN) * input_bytes(&f->weights->config, 1);
}

/* All but the token, which is the argmax of the step before. */
static void copy_chosen_input(forward_gpu *f, uint32_t decode) {
  gpu_cmd_copy(f->cmd, f->input.buffer, f->input.offset + chosen_input_at(f, decode) + 4, f->input_copy.buffer, f->input_copy.offset + 4,
               input_bytes(&f->weights->config, 1) - 4);
  gpu_cmd_copy(f->cmd, f->logits.buffer, f->logits.offset + argmax_at(f, DECODE_GIVEN), f->input_copy.buffer, f->input_copy.offset, 4);
  gpu_cmd_barrier(f->cmd);
}

static void copy_chosen_argmax(forward_gpu *f, uint32_t decode) {
  gpu_cmd_copy(f->cmd, f->logits.buffer, f->logits.offset + argmax_at(f, DECODE_GIVEN), f->readback.buffer,
               f->readback.offset + argmax_at(f, decode), 4);
}

static hn_status record_decode(forward_gpu *f, uint32_t decode, uint32_t n_blocks, hn_error *err) {
  const bool chosen = decode >= DECODE_CHOSEN;
  hn_status status = gpu_cmd_begin_kept(f->cmd, decode, err);
  if (status)
    return status;
  f->sequences[0].tokens = (kv_tokens){1, 0, n_blocks * KV_BLOCK};
  if (chosen)
    copy_chosen_input(f, decode);
  else
    copy_input(f);
  embed(f);
  norm(f, f->weights->layers[0].vectors[ATTN_NORM]);
  for (uint32_t i = 0; i < f->weights->config.n_layers; i++)
    decode_layer(f, i);
  if (!chosen) {
    logits(f, f->a, 1);
    return HN_OK;
  }
  multiply_output(f, f->a, 1);
  argmax(f);
  copy_chosen_argmax(f, decode);
  return HN_OK;
}

/* An observer sees every step as it is recorded, and may have added commands of its own. */
static bool is_seen(const forward_gpu *f) {
  return f->cmd->observer.see && !f->cmd->observer.lets_replay;
}

/* Without waiting for it. */
static hn_status submit_decode(forward_gpu *f, uint32_t decode, hn_error *err) {
  uint32_t n_blocks = bucket_of(f, kv_blocks(f->sequences[0].tokens.end));
  if (f->recorded[decode] == n_blocks && !is_seen(f))
    return gpu_cmd_submit_again(f->cmd, decode, err);
  f->recorded[decode] = 0;
  hn_status status = record_decode(f, decode, n_blocks, err);
  if (!status)
    status = gpu_cmd_submit(f->cmd, err);
  f->recorded[decode] = status || is_seen(f) ? 0 : n_blocks;
  return status;
}

static hn_status decode(forward_gpu *f, hn_error *err) {
  hn_status status = submit_decode(f, DECODE_GIVEN, err);
  return status ? status : gpu_cmd_wait(f->cmd, f->wait_ns, err);
}

/* ---- the pass ---- */

static hn_status cancelled(hn_error *err) {
  return hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
}

/* Between a layer and what follows: what was recorded is handed in, so that a caller can cancel. */
static hn_status end_layer(forward_gpu *f, hn_error *err) {
  hn_status status = gpu_cmd_submit_wait(f->cmd, f->wait_ns, err);
  if (!status && atomic_load(f->step.cancel))
    return cancelled(err);
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
    if (i + 1 < n_layers || f->step.want != FORWARD_CACHE)
      status = end_layer(f, err);
  }
  return status;
}

/* One piece without gaps for any number of tokens, so that one copy takes it to the device. */
static void write_input(const forward_gpu *f, uint32_t *words) {
  const forward_step *step = &f->step;
  uint32_t *positions = words + step->n;
  float *rotation = (float *)(void *)(positions + step->n);
  if (step->ids)
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
  if (f->step.want != FORWARD_CACHE)
    prompt_logits(f);
  return gpu_cmd_submit_wait(f->cmd, f->wait_ns, err);
}

/* Of f->sequences. */
static hn_status run(forward_gpu *f, const forward_step *step, uint32_t n_sequences, hn_error *err) {
  f->step = *step;
  f->n_sequences = n_sequences;
  if (atomic_load(step->cancel))
    return cancelled(err);
  write_input(f, f->input.mapped);
  return step->n == 1 ? decode(f, err) : prompt(f, err);
}

hn_status forward_gpu_eval(forward *base, const forward_step *step, hn_error *err) {
  forward_gpu *f = (forward_gpu *)base;
  f->sequences[0] = (sequence){f, 0, {step->n, step->first, step->first + step->n}};
  hn_status status = run(f, step, 1, err);
  if (!status && step->want == FORWARD_LAST)
    memcpy(step->argmax, (const uint8_t *)f->readback.mapped + argmax_at(f, DECODE_GIVEN), 4);
  return status;
}

/* A step of the token that the one before chooses. */
static hn_status submit_chosen(forward_gpu *f, uint32_t decode, uint32_t position, hn_error *err) {
  f->step = (forward_step){.n = 1, .first = position};
  f->sequences[0] = (sequence){f, 0, {1, position, position + 1}};
  f->n_sequences = 1;
  write_input(f, (uint32_t *)(void *)((uint8_t *)f->input.mapped + chosen_input_at(f, decode)));
  return submit_decode(f, decode, err);
}

hn_status forward_gpu_follow(forward *base, uint32_t first, uint32_t n, const token_sink *to, hn_error *err) {
  forward_gpu *f = (forward_gpu *)base;
  const uint32_t most = is_seen(f) ? 1 : STEPS_UNDER_WAY; /* an observer sees one after the other */
  uint32_t sent = 0, done = 0;
  uint64_t before = f->cmd->submitted; /* each step is a submission */
  bool more = true;
  hn_status status = HN_OK;
  while (more && done < n && !status) {
    for (; sent < n && sent - done < most && !status; sent += !status)
      status = atomic_load(to->cancel) ? cancelled(err) : submit_chosen(f, DECODE_CHOSEN + sent % STEPS_UNDER_WAY, first + sent, err);
    if (!status)
      status = gpu_cmd_wait_for(f->cmd, before + done + 1, f->wait_ns, err);
    if (!status) {
      int32_t id;
      memcpy(&id, (const uint8_t *)f->readback.mapped + argmax_at(f, DECODE_CHOSEN + done % STEPS_UNDER_WAY), sizeof id);
      more = to->take(to->user, id);
      done++;
    }
  }
  if (sent == done || (status && status != HN_ERROR_CANCELLED))
    return status;
  hn_status rest = gpu_cmd_wait(f->cmd, f->wait_ns, err);
  return rest ? rest : status;
}

/* By the first, which has room for the activations of all. */
hn_status forward_gpu_eval_together(forward *const *all, const forward_step *steps, uint32_t n, hn_error *err) {
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

/* ---- what a decode step does behind products ---- */

void forward_gpu_fill_then(forward_gpu *f) {
  uint32_t n_layers = f->weights->config.n_layers;
  for (uint32_t i = 0; i < n_layers; i++) {
    const gpu_layer *l = &f->weights->layers[i];
    VkDeviceAddress next = i + 1 < n_layers ? l[1].vectors[ATTN_NORM] : f->weights->output_norm;
    f->then[i].rope = (struct then_rope){rope_store(f, i, &(sequence){.f = f}, 1), f->counters};
    f->then[i].ffn = (struct then_norm){push_norm(f, l->vectors[FFN_NORM]), f->counters};
    f->then[i].next = (struct then_norm){push_norm(f, next), f->counters};
  }
}
