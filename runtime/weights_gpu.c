#include "weights_gpu.h"

#include <stdlib.h>
#include <string.h>

#include "gpu_info.h"
#include "gpu_upload.h"
#include "threads.h"
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

static hn_status load_vector(loading *l, const gguf_tensor *tensor, const hn_plan_item *item, VkDeviceAddress *out) {
  arena_place place = arena_at(&l->weights->arena, item);
  *out = place.address;
  return item ? gpu_upload_bytes(&l->upload, tensor->data, tensor->bytes, place.buffer, place.offset, l->err) : HN_OK;
}

/* ---- matrices: tiles are rearranged by all threads into the staging buffer, plane behind plane ---- */

typedef struct tiles {
  matrix matrix;
  planes planes;
  uint32_t first;          /* the first tile of the batch */
  uint8_t *out[N_PLANES];  /* where its planes go */
  uint8_t *rows;           /* (n) scratch rows */
} tiles;

static void write_tiles(void *arg, uint32_t begin, uint32_t end) {
  const tiles *t = arg;
  for (uint32_t i = begin; i < end; i++) {
    uint8_t *out[N_PLANES];
    for (int p = 0; p < N_PLANES; p++)
      out[p] = t->out[p] + i * t->planes.tile_bytes[p];
    planes_write_tile(&t->matrix, t->first + i, out, t->rows + i * t->matrix.row_bytes);
  }
}

static uint64_t sum_planes(const planes *p) {
  uint64_t sum = 0;
  for (int i = 0; i < N_PLANES; i++)
    sum += p->tile_bytes[i];
  return sum;
}

/* n tiles from t->first on, to the buffer whose planes begin at `offsets`. */
static hn_status send_tiles(loading *l, tiles *t, uint32_t n, const uint64_t offsets[N_PLANES], const gpu_buffer *to) {
  gpu_upload_part parts[N_PLANES];
  uint64_t at = 0;
  for (int p = 0; p < N_PLANES; p++) {
    uint64_t bytes = t->planes.tile_bytes[p];
    parts[p] = (gpu_upload_part){.from = at, .to = offsets[p] + t->first * bytes, .bytes = n * bytes};
    t->out[p] = (uint8_t *)l->upload.staging.mapped + at;
    at += n * bytes;
  }
  threads_run(l->pool, n, 1, write_tiles, t);
  return gpu_upload_send(&l->upload, to, parts, N_PLANES, l->err);
}

static hn_status send_matrix(loading *l, tiles *t, const uint64_t offsets[N_PLANES], const gpu_buffer *to) {
  uint64_t per_batch = STAGING_BYTES / sum_planes(&t->planes), left = t->planes.n_tiles;
  if (per_batch == 0)
    return hn_fail(l->err, HN_ERROR_UNSUPPORTED, "rows of %u weights are too long", (unsigned)t->matrix.n_cols);
  uint32_t n = (uint32_t)(per_batch < left ? per_batch : left);
  t->rows = malloc(n * t->matrix.row_bytes);
  if (!t->rows)
    return hn_fail(l->err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the tensor %s", t->matrix.tensor->name);
  hn_status status = HN_OK;
  for (t->first = 0; left && !status; t->first += n, left -= n) {
    n = (uint32_t)(n < left ? n : left);
    status = send_tiles(l, t, n, offsets, to);
  }
  free(t->rows);
  return status;
}

static hn_status load_matrix(loading *l, const gguf_tensor *tensor, const hn_plan_item *item, gpu_matrix *out) {
  tiles t = {.matrix = matrix_of(tensor)};
  arena_place place = arena_at(&l->weights->arena, item);
  uint64_t offsets[N_PLANES], end = place.offset;
  t.planes = planes_of(t.matrix.type, t.matrix.n_rows, t.matrix.n_cols / QUANT_GRANULE);
  for (int p = 0; p < N_PLANES; p++) {
    offsets[p] = end;
    end += t.planes.n_tiles * t.planes.tile_bytes[p];
  }
  hn_status status = send_matrix(l, &t, offsets, place.buffer);
  if (status)
    return status;
  *out = (gpu_matrix){.type = t.matrix.type, .n_rows = t.matrix.n_rows, .n_granules = t.matrix.n_cols / QUANT_GRANULE};
  for (int p = 0; p < N_PLANES; p++)
    out->planes[p] = t.planes.tile_bytes[p] ? place.buffer->address + offsets[p] : 0;
  l->done += tensor->bytes;
  if (l->params.progress && !l->params.progress(l->params.user, l->done, l->total))
    return hn_fail(l->err, HN_ERROR_CANCELLED, "loading was cancelled");
  return HN_OK;
}

static hn_status load_product(loading *l, const gguf_tensor *tensor, const hn_plan_item *item, gpu_matrix *out) {
  hn_status status = load_matrix(l, tensor, item, out);
  if (!status)
    status = variants_add(&l->variants, KERNEL_MATVEC, out->type, l->err);
  if (!status)
    status = variants_add(&l->variants, KERNEL_MATMAT, out->type, l->err);
  return status;
}

/* ---- the model ---- */

static hn_status load_layer(loading *l, const model_layer *from, const plan_layer *items, gpu_layer *to) {
  hn_status status = HN_OK;
  for (int i = 0; i < N_LAYER_VECTORS && !status; i++)
    status = load_vector(l, from->vectors[i], items->vectors[i], &to->vectors[i]);
  for (int i = 0; i < N_LAYER_MATRICES && !status; i++)
    status = load_product(l, from->matrices[i], items->matrices[i], &to->matrices[i]);
  return status;
}

static hn_status load_embedding(loading *l, const model_tensors *t) {
  gpu_weights *w = l->weights;
  hn_status status = load_product(l, t->output, w->plan.output, &w->output);
  w->tok_embd = w->output;
  if (!status && t->tok_embd != t->output)
    status = load_matrix(l, t->tok_embd, w->plan.tok_embd, &w->tok_embd);
  return status ? status : variants_add(&l->variants, KERNEL_EMBED, w->tok_embd.type, l->err);
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
    status = variants_add_plain(&l->variants, l->err);
  if (!status)
    status = threads_create(0, &l->pool, l->err);
  if (!status)
    status = gpu_upload_init(w->device, &l->upload, l->err);
  if (!status)
    status = load_embedding(l, t);
  if (!status)
    status = load_vector(l, t->output_norm, w->plan.output_norm, &w->output_norm);
  for (uint32_t i = 0; i < model->config.n_layers && !status; i++)
    status = load_layer(l, &t->layers[i], &w->plan.layers[i], &w->layers[i]);
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
