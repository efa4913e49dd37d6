#include "weights_cpu.h"

#include <stdlib.h>
#include <string.h>

#include "matrix.h"

enum { OTHERS = 4 }; /* tensors that belong to no layer */

typedef struct loading {
  cpu_weights *weights;
  hn_progress_fn progress;
  void *user;
  uint64_t done, total;
  hn_error *err;
} loading;

static void *own(loading *l, size_t bytes) {
  void *p = malloc(bytes);
  if (p)
    l->weights->owned[l->weights->n_owned++] = p;
  return p;
}

static hn_status out_of_memory(loading *l, const gguf_tensor *tensor) {
  return hn_fail(l->err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the tensor %s", tensor->name);
}

static hn_status load_vector(loading *l, const gguf_tensor *tensor, float **out) {
  *out = NULL;
  if (!tensor)
    return HN_OK;
  if (!(*out = own(l, tensor->bytes)))
    return out_of_memory(l, tensor);
  memcpy(*out, tensor->data, tensor->bytes);
  return HN_OK;
}

static hn_status load_matrix(loading *l, const gguf_tensor *tensor, cpu_matrix *out) {
  matrix m = matrix_of(tensor);
  *out = (cpu_matrix){.type = m.type, .n_rows = m.n_rows, .n_cols = m.n_cols, .blocks = tensor->data, .row_bytes = m.row_bytes};
  if (m.type != tensor->type) {
    uint8_t *blocks = own(l, m.row_bytes * m.n_rows);
    if (!blocks)
      return out_of_memory(l, tensor);
    for (uint32_t row = 0; row < m.n_rows; row++)
      matrix_row(&m, row, blocks + row * m.row_bytes);
    out->blocks = blocks;
  }
  l->done += tensor->bytes;
  if (l->progress && !l->progress(l->user, l->done, l->total))
    return hn_fail(l->err, HN_ERROR_CANCELLED, "loading was cancelled");
  return HN_OK;
}

static hn_status load_layer(loading *l, const model_layer *from, cpu_layer *to) {
  hn_status status = HN_OK;
  for (int i = 0; i < N_LAYER_VECTORS && !status; i++)
    status = load_vector(l, from->vectors[i], &to->vectors[i]);
  for (int i = 0; i < N_LAYER_MATRICES && !status; i++)
    status = load_matrix(l, from->matrices[i], &to->matrices[i]);
  return status;
}

static hn_status load(loading *l, const model_header *model) {
  cpu_weights *w = l->weights;
  const model_tensors *t = &model->tensors;
  float *freqs = NULL;
  hn_status status = load_vector(l, t->rope_freqs, &freqs);
  if (status)
    return status;
  rope_init(&model->config, freqs, &w->rope);
  status = load_vector(l, t->output_norm, &w->output_norm);
  if (!status)
    status = load_matrix(l, t->tok_embd, &w->tok_embd);
  if (!status && t->output != t->tok_embd)
    status = load_matrix(l, t->output, &w->output);
  else
    w->output = w->tok_embd;
  for (uint32_t i = 0; i < model->config.n_layers && !status; i++)
    status = load_layer(l, &t->layers[i], &w->layers[i]);
  return status;
}

hn_status cpu_weights_create(const model_header *model, hn_progress_fn progress, void *user, cpu_weights **out, hn_error *err) {
  *out = NULL;
  uint32_t n_layers = model->config.n_layers;
  cpu_weights *self = calloc(1, sizeof *self);
  if (self) {
    self->config = model->config;
    self->layers = calloc(n_layers, sizeof *self->layers);
    self->owned = calloc(n_layers * ((size_t)N_LAYER_MATRICES + N_LAYER_VECTORS) + OTHERS, sizeof *self->owned);
  }
  if (!self || !self->layers || !self->owned) {
    cpu_weights_destroy(&self);
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for %u layers", (unsigned)n_layers);
  }
  loading l = {.weights = self, .progress = progress, .user = user, .total = model_matrix_bytes(model), .err = err};
  hn_status status = load(&l, model);
  if (status)
    cpu_weights_destroy(&self);
  *out = self;
  return status;
}

void cpu_weights_destroy(cpu_weights **weights) {
  cpu_weights *self = *weights;
  if (!self)
    return;
  for (size_t i = 0; i < self->n_owned; i++)
    free(self->owned[i]);
  free(self->owned);
  free(self->layers);
  free(self);
  *weights = NULL;
}
