#include "weights_gpu.h"

#include <stdlib.h>
#include <string.h>

#include "gpu_info.h"
#include "joined.h"
#include "upload_matrix.h"
#include "variants.h"

typedef struct loading {
  gpu_weights *weights;
  gpu_weights_params params;
  variants variants;
  gpu_upload upload;
  threads *pool;
  uint64_t done, total;
  hn_error *err;
} loading;

static hn_status load_vector(loading *l, const gguf_tensor *tensor, arena_place place) {
  return gpu_upload_bytes(&l->upload, tensor->data, tensor->bytes, place.buffer, place.offset, l->err);
}

/* ---- kernels: chosen before the first byte moves, since a self-test would wait for all that moves ---- */

static void want_kernels(loading *l, const kernel_id *ids, size_t n, const gguf_tensor *tensor) {
  for (size_t i = 0; i < n; i++)
    variants_want(&l->variants, ids[i], matrix_of(tensor).type);
}

/* What a decode step multiplies a matrix with. */
static kernel_id decode_kernel(const model_layer *layer, int m) {
  switch (m) {
  case WQ: case WK: case WV: return KERNEL_MATVEC_ROPE;
  case WO: case W_DOWN: return KERNEL_MATVEC_NORM;
  default: return joined_count(layer, W_GATE) == 2 ? KERNEL_MATVEC_SWIGLU : KERNEL_MATVEC;
  }
}

static hn_status choose_kernels(loading *l, const model_header *model) {
  static const kernel_id output[] = {KERNEL_REARRANGE, KERNEL_MATVEC, KERNEL_MATVEC_BATCH}, embedding[] = {KERNEL_REARRANGE, KERNEL_EMBED};
  const model_tensors *t = &model->tensors;
  variants_want_plain(&l->variants, l->weights->plan.kv_type);
  want_kernels(l, output, 3, t->output);
  want_kernels(l, embedding, 2, t->tok_embd);
  for (uint32_t i = 0; i < model->config.n_layers; i++)
    for (int m = 0; m < N_LAYER_MATRICES; m++) {
      const kernel_id product[] = {KERNEL_REARRANGE, KERNEL_MATVEC_BATCH, KERNEL_MATMAT, decode_kernel(&t->layers[i], m)};
      want_kernels(l, product, 4, t->layers[i].matrices[m]);
    }
  return variants_choose(&l->variants, l->pool, l->err);
}

/* ---- matrices ---- */

static hn_status tell_progress(loading *l) {
  if (l->params.progress && !l->params.progress(l->params.user, l->done, l->total))
    return hn_fail(l->err, HN_ERROR_CANCELLED, "loading was cancelled");
  return HN_OK;
}

static hn_status send_matrix(loading *l, const gguf_tensor *tensor, const matrix *from, const gpu_matrix *to) {
  uint32_t n_tiles = (from->n_rows + TILE_ROWS - 1) / TILE_ROWS;
  uint64_t before = l->done;
  for (uint32_t next = 0; next < n_tiles;) {
    hn_status status = upload_tiles(&l->upload, l->pool, &l->weights->kernels, from, to, &next, l->err);
    l->done = before + tensor->bytes * next / n_tiles;
    if (!status)
      status = tell_progress(l);
    if (status)
      return status;
  }
  if (l->params.file)
    gguf_release(l->params.file, tensor);
  return HN_OK;
}

static hn_status load_matrix(loading *l, const gguf_tensor *tensor, const hn_plan_item *item, gpu_matrix *out) {
  matrix m = matrix_of(tensor);
  *out = gpu_matrix_at(m.type, m.n_rows, m.n_cols / QUANT_GRANULE, arena_at(&l->weights->arena, item).address);
  return send_matrix(l, tensor, &m, out);
}

/* ---- the model ---- */

/* Those without an item follow the one before. */
static hn_status load_vectors(loading *l, const model_layer *from, const plan_layer *items, gpu_layer *to) {
  hn_status status = HN_OK;
  arena_place place = {0};
  for (int i = 0; i < N_LAYER_VECTORS && !status; i++) {
    if (!from->vectors[i])
      continue;
    if (items->vectors[i])
      place = arena_at(&l->weights->arena, items->vectors[i]);
    to->vectors[i] = place.address;
    status = load_vector(l, from->vectors[i], place);
    place.offset += from->vectors[i]->bytes;
    place.address += from->vectors[i]->bytes;
  }
  return status;
}

static void place_matrices(const loading *l, const model_layer *from, const plan_layer *items, gpu_layer *to) {
  for (int i = 0; i < N_LAYER_MATRICES; i++) {
    matrix first = matrix_of(from->matrices[i]);
    uint32_t count = joined_count(from, i), n_rows = 0;
    for (uint32_t j = 0; j < count; j++)
      n_rows += matrix_of(from->matrices[i + (int)j]).n_rows;
    if (count)
      to->joined[i] = gpu_matrix_at(first.type, n_rows, first.n_cols / QUANT_GRANULE, arena_at(&l->weights->arena, items->matrices[i]).address);
    for (uint32_t j = 0, row = 0; j < count; j++) {
      uint32_t n = matrix_of(from->matrices[i + (int)j]).n_rows;
      to->matrices[i + (int)j] = gpu_matrix_rows(&to->joined[i], row, n);
      row += n;
    }
  }
}

static hn_status load_layer(loading *l, const model_layer *from, const plan_layer *items, gpu_layer *to) {
  hn_status status = load_vectors(l, from, items, to);
  place_matrices(l, from, items, to);
  for (int i = 0; i < N_LAYER_MATRICES && !status; i++) {
    matrix m = matrix_of(from->matrices[i]);
    status = send_matrix(l, from->matrices[i], &m, &to->matrices[i]);
  }
  return status;
}

static hn_status load_embedding(loading *l, const model_tensors *t) {
  gpu_weights *w = l->weights;
  hn_status status = load_matrix(l, t->output, w->plan.output, &w->output);
  w->tok_embd = w->output;
  if (!status && t->tok_embd != t->output)
    status = load_matrix(l, t->tok_embd, w->plan.tok_embd, &w->tok_embd);
  return status;
}

static hn_status load_output_norm(loading *l, const model_tensors *t) {
  arena_place place = arena_at(&l->weights->arena, l->weights->plan.output_norm);
  l->weights->output_norm = place.address;
  return load_vector(l, t->output_norm, place);
}

static hn_status load(loading *l, const model_header *model) {
  gpu_weights *w = l->weights;
  const model_tensors *t = &model->tensors;
  float freqs[128]; /* the file's may lie at any address */
  if (t->rope_freqs)
    memcpy(freqs, t->rope_freqs->data, t->rope_freqs->bytes);
  rope_init(&model->config, t->rope_freqs ? freqs : NULL, &w->rope);
  hn_status status = arena_init(w->device, &w->plan, PLAN_MODEL, &w->arena, l->err);
  if (!status)
    status = variants_init(&w->kernels, spirv_modules, !l->params.trust, &l->variants, l->err);
  if (!status)
    status = threads_create(0, &l->pool, l->err);
  if (!status)
    status = choose_kernels(l, model);
  if (!status)
    status = gpu_upload_init(w->device, &l->upload, l->err);
  if (!status)
    status = tell_progress(l);
  if (!status)
    status = load_embedding(l, t);
  if (!status)
    status = load_output_norm(l, t);
  for (uint32_t i = 0; i < model->config.n_layers && !status; i++)
    status = load_layer(l, &t->layers[i], &w->plan.layers[i], &w->layers[i]);
  if (!status)
    status = gpu_upload_wait(&l->upload, l->err);
  gpu_upload_finish(&l->upload);
  threads_destroy(&l->pool);
  variants_finish(&l->variants);
  return status;
}

static hn_status make_plan(gpu_weights *self, const plan_wish *wish, hn_error *err) {
  const gpu_device *d = self->device;
  gpu_info_memory(d->physical, &d->info, &self->memory);
  hn_status status = plan_init(self->model, &self->memory, wish, &self->plan, err);
  if (!status)
    status = plan_check(&self->plan, d->info.name, err);
  if (!status)
    self->device->limit_bytes = self->plan.base.budget_bytes;
  return status;
}

hn_status gpu_weights_create(gpu_device *device, const model_header *model, const gpu_weights_params *params, gpu_weights **out,
                             hn_error *err) {
  *out = NULL;
  uint32_t n_layers = model->config.n_layers;
  gpu_weights *self = calloc(1, sizeof *self);
  if (self) {
    self->device = device;
    kernels_init(device, &self->kernels);
    self->kernels.kv_type = params->wish.kv_type;
    tuning_file_read(device, params->tuning_dir, spirv_modules, tuning_file_choice, &self->kernels.tuned);
    self->config = model->config;
    self->model = model;
    self->layers = calloc(n_layers, sizeof *self->layers);
  }
  if (!self || !self->layers) {
    gpu_weights_destroy(&self);
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for %u layers", (unsigned)n_layers);
  }
  loading l = {.weights = self, .params = *params, .total = model_matrix_bytes(model), .err = err};
  hn_status status = make_plan(self, &params->wish, err);
  if (!status)
    status = load(&l, model);
  if (status)
    gpu_weights_destroy(&self);
  *out = self;
  return status;
}

void gpu_weights_destroy(gpu_weights **weights) {
  gpu_weights *self = *weights;
  if (!self)
    return;
  arena_finish(&self->arena);
  plan_finish(&self->plan);
  kernels_finish(&self->kernels);
  free(self->layers);
  free(self);
  *weights = NULL;
}

const plan *gpu_weights_plan(const gpu_weights *weights) {
  return &weights->plan;
}
