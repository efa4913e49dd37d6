#include "forward_gpu.h"

#include <stdlib.h>
#include <string.h>

#include "../shaders/exact.h"
#include "weights_gpu.h"

typedef struct forward_gpu {
  forward base;
  const gpu_weights *weights;
  gpu_cmd *cmd;
  uint64_t wait_ns;
  forward_params params;
  gpu_buffer input;       /* written by the CPU: ids and rotation */
  gpu_buffer activations; /* what the addresses below point into */
  gpu_buffer logits, readback; /* (FORWARD_ALL_MAX, n_vocab) f32, then one word: the argmax */
  gpu_buffer cache;
  int32_t *ids;
  float *rotation;
  VkDeviceAddress ids_at, rotation_at;
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

static void embed(forward_gpu *f) {
  kernel_embed(f->cmd, &f->weights->kernels, &f->weights->tok_embd, f->ids_at, f->x, f->step->n);
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

/* Bytes of a layer's cache. */
static uint64_t cache_bytes(const forward_gpu *f) {
  const model_config *c = &f->weights->config;
  uint64_t n_blocks = (f->params.n_ctx + KV_BLOCK - 1) / KV_BLOCK;
  return 4 * n_blocks * c->n_kv_heads * KV_HEAD_WORDS(f->params.kv_type == QUANT_Q4_0, c->head_dim);
}

static void attention(forward_gpu *f, uint32_t layer) {
  const model_config *c = &f->weights->config;
  const gpu_layer *l = &f->weights->layers[layer];
  const kernels *k = &f->weights->kernels;
  VkDeviceAddress cache = f->cache.address + layer * cache_bytes(f);
  uint32_t n = f->step->n, stride = q_width(f) + 2 * kv_width(f);
  norm(f, l->vectors[ATTN_NORM]);
  multiply(f, &l->matrices[WQ], f->a, n, l->vectors[BQ], 0, f->qkv, stride);
  multiply(f, &l->matrices[WK], f->a, n, l->vectors[BK], 0, f->qkv + 4ull * q_width(f), stride);
  multiply(f, &l->matrices[WV], f->a, n, l->vectors[BV], 0, f->qkv + 4ull * (q_width(f) + kv_width(f)), stride);
  gpu_cmd_barrier(f->cmd);
  struct push_rope_store rotate = {f->qkv,     f->rotation_at, f->q, f->q_d, 0, cache, c->n_heads, c->n_kv_heads, c->head_dim, 0, f->step->first};
  kernel_rope_store(f->cmd, k, f->params.kv_type, &rotate, n);
  gpu_cmd_barrier(f->cmd);
  struct push_attention attend = {f->q,       f->q_d,        0,           cache, f->o,
                                  c->n_heads, c->n_kv_heads, c->head_dim, 0,     f->step->first, x_rsqrt((float)c->head_dim)};
  kernel_attention(f->cmd, k, f->params.kv_type, &attend, n);
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

static uint64_t logits_bytes(const forward_gpu *f, uint32_t rows) {
  return 4ull * rows * f->weights->config.n_vocab;
}

static void logits(forward_gpu *f) {
  const model_config *c = &f->weights->config;
  const forward_step *step = f->step;
  uint32_t skipped = step->want == FORWARD_ALL ? 0 : step->n - 1, rows = step->n - skipped;
  uint64_t argmax_at = logits_bytes(f, FORWARD_ALL_MAX);
  gpu_q8 a = {f->a.q + (uint64_t)skipped * c->n_embd, f->a.d + 4ull * skipped * (c->n_embd / ACT_BLOCK),
               f->a.sums + 4ull * skipped * (c->n_embd / ACT_BLOCK)};
  norm(f, f->weights->output_norm);
  multiply(f, &f->weights->output, a, rows, 0, 0, f->logits.address, c->n_vocab);
  gpu_cmd_barrier(f->cmd);
  if (step->want == FORWARD_LAST) {
    struct push_argmax push = {f->logits.address, f->logits.address + argmax_at, c->n_vocab};
    kernel_argmax(f->cmd, &f->weights->kernels, &push);
    gpu_cmd_barrier(f->cmd);
    gpu_cmd_copy(f->cmd, &f->logits, argmax_at, &f->readback, argmax_at, 4);
  }
  gpu_cmd_copy(f->cmd, &f->logits, 0, &f->readback, 0, logits_bytes(f, rows));
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
  if (!status)
    embed(f);
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
  memcpy(step->logits, from, logits_bytes(f, step->want == FORWARD_ALL ? step->n : 1));
  if (step->want == FORWARD_LAST)
    memcpy(step->argmax, from + logits_bytes(f, FORWARD_ALL_MAX), 4);
}

static hn_status eval(forward *base, const forward_step *step, hn_error *err) {
  forward_gpu *f = (forward_gpu *)base;
  f->step = step;
  if (atomic_load(step->cancel))
    return hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
  memcpy(f->ids, step->ids, step->n * sizeof *step->ids);
  rope_fill(&f->weights->rope, step->first, step->n, f->rotation);
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

/* ---- memory ---- */

static void destroy(forward *base) {
  forward_gpu *f = (forward_gpu *)base;
  gpu_buffer *buffers[] = {&f->input, &f->activations, &f->logits, &f->readback, &f->cache};
  gpu_cmd_destroy(&f->cmd);
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
    gpu_buffer_finish(f->weights->device, buffers[i]);
  free(f);
}

static uint64_t align16(uint64_t bytes) {
  return (bytes + 15) / 16 * 16;
}

static hn_status allocate_input(forward_gpu *f, hn_error *err) {
  uint64_t ids = align16(4ull * f->params.n_batch), rotation = 4ull * f->params.n_batch * f->weights->config.head_dim;
  hn_status status = gpu_buffer_init(f->weights->device, GPU_MEMORY_HOST, ids + rotation, "a batch's tokens", &f->input, err);
  if (status)
    return status;
  f->ids = f->input.mapped;
  f->rotation = (float *)(void *)((uint8_t *)f->input.mapped + ids);
  f->ids_at = f->input.address;
  f->rotation_at = f->input.address + ids;
  return HN_OK;
}

static hn_status allocate_activations(forward_gpu *f, hn_error *err) {
  const model_config *c = &f->weights->config;
  uint64_t n = f->params.n_batch, n_q = q_width(f), widest = c->n_embd > c->n_ff ? c->n_embd : c->n_ff;
  widest = widest > n_q ? widest : n_q;
  const struct {
    VkDeviceAddress *at;
    uint64_t bytes;
  } all[] = {
      {&f->x, 4 * n * c->n_embd},
      {&f->qkv, 4 * n * (n_q + 2ull * kv_width(f))},
      {&f->o, 4 * n * n_q},
      {&f->gate, 4 * n * c->n_ff},
      {&f->up, 4 * n * c->n_ff},
      {&f->q, 4 * n * c->n_heads * HEAD_WORDS(c->head_dim)},
      {&f->q_d, 4 * n * c->n_heads * HEAD_SCALES(c->head_dim)},
      {&f->a.q, n * widest},
      {&f->a.d, 4 * n * (widest / ACT_BLOCK)},
      {&f->a.sums, 4 * n * (widest / ACT_BLOCK)},
  };
  uint64_t bytes = 0;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    bytes += align16(all[i].bytes);
  hn_status status = gpu_buffer_init(f->weights->device, GPU_MEMORY_DEVICE, bytes, "activations", &f->activations, err);
  VkDeviceAddress at = f->activations.address;
  for (size_t i = 0; i < sizeof all / sizeof *all && !status; i++) {
    *all[i].at = at;
    at += align16(all[i].bytes);
  }
  return status;
}

static hn_status allocate(forward_gpu *f, hn_error *err) {
  gpu_device *device = f->weights->device;
  uint64_t results = logits_bytes(f, FORWARD_ALL_MAX) + 4;
  hn_status status = gpu_buffer_init(device, GPU_MEMORY_DEVICE, cache_bytes(f) * f->weights->config.n_layers,
                                     "the KV cache: a smaller context needs less", &f->cache, err);
  if (!status)
    status = allocate_activations(f, err);
  if (!status)
    status = gpu_buffer_init(device, GPU_MEMORY_DEVICE, results, "logits", &f->logits, err);
  if (!status)
    status = gpu_buffer_init(device, GPU_MEMORY_READBACK, results, "logits", &f->readback, err);
  if (!status)
    status = allocate_input(f, err);
  return status ? status : gpu_cmd_create(device, &f->cmd, err);
}

hn_status forward_gpu_create(const gpu_weights *weights, const forward_params *params, forward **out, hn_error *err) {
  *out = NULL;
  forward_gpu *f = calloc(1, sizeof *f);
  if (!f)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a session");
  f->base = (forward){eval, destroy};
  f->weights = weights;
  f->params = *params;
  f->wait_ns = gpu_wait_limit_ns(weights->device);
  hn_status status = allocate(f, err);
  if (status) {
    destroy(&f->base);
    return status;
  }
  *out = &f->base;
  return HN_OK;
}

gpu_cmd *forward_gpu_cmd(forward *self) {
  return ((forward_gpu *)self)->cmd;
}

const gpu_buffer *forward_gpu_cache(const forward *self) {
  return &((const forward_gpu *)self)->cache;
}
