#include "forward_gpu.h"

#include <stdlib.h>
#include <string.h>

#include "../loader/quant.h"
#include "sizes.h"
#include "weights_gpu.h"

typedef struct forward_gpu {
  forward base;
  const gpu_weights *weights;
  gpu_cmd *cmd;
  uint64_t wait_ns;
  plan plan;   /* of this session */
  arena arena; /* all that it allocates on the device and of the host for it */
  arena_place logits, readback; /* see logits_bytes */
  arena_place input, input_copy; /* see activations.input: the kernels read the device's copy */
  VkDeviceAddress x, qkv, o, gate, up, q, q_d; /* as in forward_cpu */
  gpu_q8 a;
  const forward_step *step; /* of the current call */
} forward_gpu;

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

static void norm(forward_gpu *f, VkDeviceAddress weight) {
  uint32_t n = f->weights->config.n_embd;
  struct push_norm push = {f->x, weight, f->a.q, f->a.d, f->a.sums, n, 1.0f / (float)n, f->weights->config.norm_eps};
  kernel_norm_quant(f->cmd, &f->weights->kernels, &push, f->step->n);
  gpu_cmd_barrier(f->cmd);
}

/* y = (residual +) w . a (+ bias) for n tokens; without the barrier */
static void multiply(forward_gpu *f, const gpu_matrix *w, gpu_q8 a, uint32_t n, VkDeviceAddress bias, VkDeviceAddress residual,
                     VkDeviceAddress y, uint32_t y_stride) {
  gpu_product p = {a, bias, residual, y, n, y_stride};
  if (n == 1)
    kernel_matvec(f->cmd, &f->weights->kernels, w, &p);
  else
    kernel_matmat(f->cmd, &f->weights->kernels, w, &p);
}

static void attention(forward_gpu *f, uint32_t layer) {
  const model_config *c = &f->weights->config;
  const gpu_layer *l = &f->weights->layers[layer];
  const kernels *k = &f->weights->kernels;
  const plan_layer *items = &f->plan.layers[layer];
  VkDeviceAddress device = arena_at(&f->arena, items->cache_device).address, host = arena_at(&f->arena, items->cache_host).address;
  uint32_t n_device_blocks = f->plan.n_blocks - f->plan.n_host_blocks;
  uint32_t n = f->step->n, stride = q_width(f) + 2 * kv_width(f);
  norm(f, l->vectors[ATTN_NORM]);
  multiply(f, &l->matrices[WQ], f->a, n, l->vectors[BQ], 0, f->qkv, stride);
  multiply(f, &l->matrices[WK], f->a, n, l->vectors[BK], 0, f->qkv + 4ull * q_width(f), stride);
  multiply(f, &l->matrices[WV], f->a, n, l->vectors[BV], 0, f->qkv + 4ull * (q_width(f) + kv_width(f)), stride);
  gpu_cmd_barrier(f->cmd);
  VkDeviceAddress positions = f->input_copy.address + 4ull * n, rotation = positions + 4ull * n;
  kv_tokens tokens = {n, f->step->first, f->step->first + n};
  struct push_rope_store rotate = {positions, rotation, f->qkv, f->q, f->q_d, device, host, c->n_heads, c->n_kv_heads, c->head_dim, n_device_blocks};
  kernel_rope_store(f->cmd, k, f->plan.kv_type, &rotate, &tokens);
  gpu_cmd_barrier(f->cmd);
  struct push_attention attend = {positions, f->q, f->q_d, device, host, f->o, c->n_heads, c->n_kv_heads, c->head_dim, n_device_blocks,
                                  kv_score_scale(f->plan.kv_type, c->head_dim)};
  kernel_attention(f->cmd, k, f->plan.kv_type, &attend, &tokens);
  gpu_cmd_barrier(f->cmd);
  struct push_quantize quantize = {f->o, f->a.q, f->a.d, f->a.sums, n * (q_width(f) / ACT_BLOCK)};
  kernel_quantize(f->cmd, k, &quantize);
  gpu_cmd_barrier(f->cmd);
  multiply(f, &l->matrices[WO], f->a, n, l->vectors[BO], f->x, f->x, c->n_embd);
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

static void logits(forward_gpu *f) {
  const model_config *c = &f->weights->config;
  const forward_step *step = f->step;
  uint32_t skipped = step->want == FORWARD_ALL ? 0 : step->n - 1, rows = step->n - skipped;
  uint64_t argmax_at = row_bytes(f, FORWARD_ALL_MAX);
  gpu_q8 a = {f->a.q + (uint64_t)skipped * c->n_embd, f->a.d + 4ull * skipped * (c->n_embd / ACT_BLOCK),
               f->a.sums + 4ull * skipped * (c->n_embd / ACT_BLOCK)};
  norm(f, f->weights->output_norm);
  multiply(f, &f->weights->output, a, rows, 0, 0, f->logits.address, c->n_vocab);
  gpu_cmd_barrier(f->cmd);
  if (step->want == FORWARD_LAST) {
    struct push_argmax push = {f->logits.address, f->logits.address + argmax_at, c->n_vocab};
    kernel_argmax(f->cmd, &f->weights->kernels, &push);
    gpu_cmd_barrier(f->cmd);
    copy_logits(f, argmax_at, 4);
  }
  copy_logits(f, 0, row_bytes(f, rows));
}

/* ---- the pass ---- */

/* Between a layer and what follows. That of a prompt is handed in, so that a caller can cancel. */
static hn_status end_layer(forward_gpu *f, hn_error *err) {
  if (f->step->n == 1) {
    gpu_cmd_barrier(f->cmd);
    return HN_OK;
  }
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

static void read_results(const forward_gpu *f) {
  const forward_step *step = f->step;
  const uint8_t *from = f->readback.mapped;
  memcpy(step->logits, from, row_bytes(f, step->want == FORWARD_ALL ? step->n : 1));
  if (step->want == FORWARD_LAST)
    memcpy(step->argmax, from + row_bytes(f, FORWARD_ALL_MAX), 4);
}

/* One piece without gaps for any number of tokens, so that one copy takes it to the device. */
static void write_input(const forward_gpu *f) {
  const forward_step *step = f->step;
  uint32_t *words = f->input.mapped, *positions = words + step->n;
  memcpy(words, step->ids, step->n * sizeof *step->ids);
  for (uint32_t i = 0; i < step->n; i++)
    positions[i] = step->first + i;
  rope_fill(&f->weights->rope, step->first, step->n, (float *)(void *)(positions + step->n));
}

static hn_status eval(forward *base, const forward_step *step, hn_error *err) {
  forward_gpu *f = (forward_gpu *)base;
  f->step = step;
  if (atomic_load(step->cancel))
    return hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
  write_input(f);
  hn_status status = run_layers(f, err);
  if (status)
    return status;
  if (step->want != FORWARD_CACHE)
    logits(f);
  status = gpu_cmd_submit_wait(f->cmd, f->wait_ns, err);
  if (!status && step->want != FORWARD_CACHE)
    read_results(f);
  return status;
}

/* ---- the KV cache, from and to the CPU: through the memory that logits are read back by ---- */

/* Where the cache has a block of a layer. */
static arena_place block_at(const forward_gpu *f, uint32_t layer, uint32_t block) {
  const plan_layer *items = &f->plan.layers[layer];
  uint32_t n_device_blocks = f->plan.n_blocks - f->plan.n_host_blocks;
  bool first = block < n_device_blocks;
  arena_place place = arena_at(&f->arena, first ? items->cache_device : items->cache_host);
  place.offset += (first ? block : block - n_device_blocks) * kv_block_bytes(&f->weights->config, f->plan.kv_type);
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

/* A block of a layer: to `out`, or from `in` where out is NULL. */
static hn_status move_block(forward_gpu *f, uint32_t layer, uint32_t block, uint8_t *out, const uint8_t *in, hn_error *err) {
  uint64_t bytes = kv_block_bytes(&f->weights->config, f->plan.kv_type), room = logits_bytes(&f->weights->config) / 4 * 4;
  arena_place at = block_at(f, layer, block);
  const arena_place *via = &f->readback;
  hn_status status = HN_OK;
  for (uint64_t done = 0; done < bytes && !status;) {
    uint64_t n = bytes - done < room ? bytes - done : room;
    if (in)
      memcpy(via->mapped, in + done, n);
    status = in ? move(f, via->buffer, via->offset, at.buffer, at.offset + done, n, err)
                : move(f, at.buffer, at.offset + done, via->buffer, via->offset, n, err);
    if (!status && out)
      memcpy(out + done, via->mapped, n);
    done += n;
  }
  return status;
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
  f->a = (gpu_q8){at + a.a_q, at + a.a_d, at + a.a_sums};
  f->logits = arena_at(&f->arena, f->plan.logits);
  f->readback = arena_at(&f->arena, f->plan.readback);
  f->input = arena_at(&f->arena, f->plan.input);
  f->input_copy = scratch;
  f->input_copy.offset += a.input;
  f->input_copy.address += a.input;
}

hn_status forward_gpu_create(const gpu_weights *weights, const forward_params *params, forward **out, hn_error *err) {
  *out = NULL;
  forward_gpu *f = calloc(1, sizeof *f);
  if (!f)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a session");
  f->base = (forward){0, 0, eval, read_kv, write_kv, destroy};
  f->weights = weights;
  f->wait_ns = gpu_wait_limit_ns(weights->device);
  pthread_mutex_lock(&weights->device->plan_lock);
  hn_status status = make_plan(f, params, err);
  if (!status)
    status = arena_init(weights->device, &f->plan, PLAN_SESSION, &f->arena, err);
  pthread_mutex_unlock(&weights->device->plan_lock);
  if (!status)
    status = gpu_cmd_create(weights->device, &f->cmd, err);
  if (status) {
    destroy(&f->base);
    return status;
  }
  f->base.n_ctx = f->plan.base.n_ctx;
  f->base.n_batch = f->plan.base.n_batch;
  point(f);
  *out = &f->base;
  return HN_OK;
}

gpu_cmd *forward_gpu_cmd(forward *self) {
  return ((forward_gpu *)self)->cmd;
}
