#include "forward_gpu_object.h"

#include <stdlib.h>
#include <string.h>

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
  forward_gpu_fill_then(f);
  to.offset += a.then;
  return transfer(f, &to, bytes, NULL, (const uint8_t *)f->then, err);
}

hn_status forward_gpu_create(const gpu_weights *weights, const forward_params *params, forward **out, hn_error *err) {
  *out = NULL;
  forward_gpu *f = calloc(1, sizeof *f);
  if (!f)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a session");
  f->base = (forward){0, 0, NULL, forward_gpu_eval, forward_gpu_eval_together, forward_gpu_follow, read_kv, write_kv, destroy};
  f->weights = weights;
  f->wait_ns = gpu_wait_limit_ns(weights->device);
  pthread_mutex_lock(&weights->device->plan_lock);
  hn_status status = make_plan(f, params, err);
  if (!status)
    status = arena_init(weights->device, &f->plan, PLAN_SESSION, &f->arena, err);
  pthread_mutex_unlock(&weights->device->plan_lock);
  if (!status)
    status = gpu_cmd_create(weights->device, N_DECODES, &f->cmd, err);
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
