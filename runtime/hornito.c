/* hornito.c: contexts and models, the public objects. Sessions: session.c. Text: text.c. */
#include "hornito.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../loader/quant.h"
#include "gpu_info.h"
#include "model_object.h"
#include "variants.h"

const char *hn_version(void) {
  return HORNITO_VERSION;
}

/* ---- contexts ---- */

hn_status hn_context_create(const hn_context_params *params, hn_context **out, hn_error *err) {
  *out = NULL;
  hn_context *self = calloc(1, sizeof *self);
  if (!self)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a context");
  if (params)
    self->logger = (hn_logger){params->log, params->log_user};
  hn_status status = gpu_instance_create(&self->logger, params && params->validation, &self->gpu, err);
  if (status)
    hn_context_destroy(&self);
  *out = self;
  return status;
}

void hn_context_destroy(hn_context **ctx) {
  if (!*ctx)
    return;
  gpu_instance_destroy(&(*ctx)->gpu);
  free(*ctx);
  *ctx = NULL;
}

size_t hn_context_n_devices(const hn_context *ctx) {
  return ctx->gpu->n_devices;
}

static hn_status check_device(const hn_context *ctx, size_t index, hn_error *err) {
  if (index >= ctx->gpu->n_devices)
    return hn_fail(err, HN_ERROR_ARGUMENT, "device %zu: there are %u", index, (unsigned)ctx->gpu->n_devices);
  return HN_OK;
}

hn_status hn_context_device(const hn_context *ctx, size_t index, hn_device_info *info, hn_error *err) {
  hn_status status = check_device(ctx, index, err);
  if (!status)
    *info = ctx->gpu->infos[index];
  return status;
}

hn_status hn_context_find_device(const hn_context *ctx, const char *device, int32_t *index, hn_error *err) {
  uint32_t found = 0;
  *index = -1;
  if (device && strcmp(device, "cpu") == 0)
    return HN_OK;
  hn_status status = gpu_instance_find(ctx->gpu, device, &found, err);
  if (!status)
    *index = (int32_t)found;
  return status;
}

hn_status hn_context_memory(const hn_context *ctx, size_t index, hn_memory *out, hn_error *err) {
  *out = (hn_memory){0};
  hn_status status = check_device(ctx, index, err);
  if (!status)
    gpu_info_memory(ctx->gpu->physical[index], &ctx->gpu->infos[index], out);
  return status;
}

static hn_status try_shaders(gpu_device *device, hn_self_test *out, hn_error *err) {
  kernels k;
  variants v;
  kernels_init(device, &k);
  hn_status status = variants_init(&k, spirv_modules, true, &v, err);
  if (!status)
    status = variants_try_all(&v, err);
  *out = (hn_self_test){.n_shaders = v.n_tried, .n_wrong = v.n_wrong, .n_matrix = v.n_matrix};
  snprintf(out->wrong, sizeof out->wrong, "%s", v.wrong);
  variants_finish(&v);
  kernels_finish(&k);
  return status;
}

hn_status hn_context_self_test(hn_context *ctx, size_t index, const char *cache_dir, hn_self_test *out, hn_error *err) {
  gpu_device *device = NULL;
  *out = (hn_self_test){0};
  hn_status status = check_device(ctx, index, err);
  if (!status)
    status = gpu_device_create(ctx->gpu, (uint32_t)index, cache_dir, &device, err);
  if (!status)
    status = try_shaders(device, out, err);
  gpu_device_destroy(&device);
  return status;
}

/* ---- models ---- */

/* A terminated copy of a string of the metadata, "" where there is none. NULL: out of memory. */
static char *copy_string(const gguf_value *value) {
  gguf_str text = {0};
  gguf_string(value, &text);
  char *copy = calloc(text.len + 1, 1);
  if (copy && text.len)
    memcpy(copy, text.data, text.len);
  return copy;
}

static hn_status read_strings(hn_model *self, hn_error *err) {
  static const char *const keys[] = {"general.architecture", "general.name", "tokenizer.ggml.model", "tokenizer.ggml.pre",
                                     "tokenizer.chat_template"};
  const char **const fields[] = {&self->info.architecture, &self->info.name, &self->info.tokenizer, &self->info.pre_tokenizer,
                                 &self->info.chat_template};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    self->strings[i] = copy_string(gguf_find(self->file, keys[i]));
    if (!self->strings[i])
      return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the metadata of %s", self->file->path);
    *fields[i] = self->strings[i];
  }
  self->info.chat_format = chat_format_name(chat_recognize(self->info.chat_template));
  return HN_OK;
}

/* What this version cannot run is noted in info; other failures are returned. */
static hn_status note_unsupported(hn_model *self, hn_status status, const hn_error *why, hn_error *err) {
  if (status == HN_ERROR_UNSUPPORTED) {
    if (!self->info.unsupported[0])
      snprintf(self->info.unsupported, sizeof self->info.unsupported, "%s", why->message);
    return HN_OK;
  }
  if (status && err)
    *err = *why;
  return status;
}

static hn_status read_header(hn_model *self, hn_error *err) {
  hn_error why = {0};
  self->info.bos_token = self->info.eos_token = -1;
  hn_status status = read_strings(self, err);
  if (!status)
    status = note_unsupported(self, model_check_architecture(self->file, &why), &why, err);
  if (!status)
    status = note_unsupported(self, tokenizer_create(self->file, &self->tok, &why), &why, err);
  if (!status && self->tok && self->file->n_tensors == 0)
    note_unsupported(self, hn_fail(&why, HN_ERROR_UNSUPPORTED, "%s holds no tensors: a vocabulary alone", self->file->path), &why, err);
  else if (!status && self->tok)
    status = note_unsupported(self, model_read(self->file, tokenizer_n_vocab(self->tok), &self->header, &why), &why, err);
  self->info.supported = !status && self->tok && !self->info.unsupported[0];
  return status;
}

static void fill_info(hn_model *self) {
  hn_model_info *info = &self->info;
  const model_config *c = &self->header.config;
  info->n_tensors = self->file->n_tensors;
  info->n_metadata = self->file->n_kv;
  info->file_bytes = self->file->size;
  info->rope_scaling = model_rope_name(c->rope.scaling);
  info->n_params = gguf_n_elements(self->file);
  if (self->tok) {
    info->n_vocab = tokenizer_n_vocab(self->tok);
    info->bos_token = tokenizer_bos(self->tok);
    info->eos_token = tokenizer_eos(self->tok);
    info->add_bos = tokenizer_add_bos(self->tok);
  }
  if (!info->supported)
    return;
  info->n_ctx_train = c->n_ctx_train;
  info->n_embd = c->n_embd;
  info->n_layers = c->n_layers;
  info->n_heads = c->n_heads;
  info->n_kv_heads = c->n_kv_heads;
  info->head_dim = c->head_dim;
  info->n_ff = c->n_ff;
  info->rope_theta = c->rope.theta;
  info->tied_output = self->header.tensors.output == self->header.tensors.tok_embd;
  info->weight_bytes = model_matrix_bytes(&self->header) - (info->tied_output ? 0 : self->header.tensors.tok_embd->bytes);
}

/* ---- plans ---- */

static hn_status check_plan(const hn_model *model, const hn_plan_params *params, hn_error *err) {
  if (!model->info.supported)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s", model->info.unsupported);
  if (params->kv_type != HN_KV_Q8_0 && params->kv_type != HN_KV_Q4_0)
    return hn_fail(err, HN_ERROR_ARGUMENT, "kv_type %d: expected HN_KV_Q8_0 or HN_KV_Q4_0", (int)params->kv_type);
  if (params->n_ctx > model->header.config.n_ctx_train && params->n_ctx != HN_CTX_MAX)
    return hn_fail(err, HN_ERROR_ARGUMENT, "a context of %u tokens: the model was trained for at most %u", (unsigned)params->n_ctx,
                   (unsigned)model->header.config.n_ctx_train);
  return HN_OK;
}

static uint32_t kv_type_of(const hn_plan_params *params) {
  return params->kv_type == HN_KV_Q4_0 ? QUANT_Q4_0 : QUANT_Q8_0;
}

uint32_t model_n_ctx(const hn_model *model, uint32_t n_ctx) {
  return n_ctx == HN_CTX_MAX ? model->header.config.n_ctx_train : n_ctx;
}

static plan_wish wish_of(const hn_model *model, const hn_plan_params *params) {
  return (plan_wish){.budget_bytes = params->vram_budget,
                     .n_ctx = model_n_ctx(model, params->n_ctx),
                     .n_sessions = params->n_sessions,
                     .kv_type = kv_type_of(params),
                     .n_host_layers = -1};
}

uint32_t model_kv_type(const hn_model *model) {
  return kv_type_of(&model->plan);
}

hn_status hn_model_plan(const hn_model *model, const hn_memory *memory, const hn_plan_params *params, hn_plan **out, hn_error *err) {
  static const hn_plan_params defaults;
  *out = NULL;
  params = params ? params : &defaults;
  hn_status status = check_plan(model, params, err);
  if (status)
    return status;
  plan *p = malloc(sizeof *p);
  if (!p)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a plan");
  plan_wish wish = wish_of(model, params);
  status = plan_init(&model->header, memory, &wish, p, err);
  if (status)
    free(p);
  else
    *out = &p->base;
  return status;
}

void hn_plan_destroy(hn_plan **plan_) {
  plan *p = (plan *)(void *)*plan_; /* base is its first member */
  if (!p)
    return;
  plan_finish(p);
  free(p);
  *plan_ = NULL;
}

const hn_plan *hn_model_get_plan(const hn_model *model) {
  return model->gpu ? &gpu_weights_plan(model->gpu)->base : NULL;
}

/* ---- loading ---- */

static hn_status load_weights(hn_model *self, const hn_model_params *params, hn_error *err) {
  int32_t device;
  hn_status status = check_plan(self, &params->plan, err);
  if (!status)
    status = hn_context_find_device(self->context, params->device, &device, err);
  if (status)
    return status;
  if (device < 0)
    return cpu_weights_create(&self->header, params->progress, params->progress_user, &self->cpu, err);
  status = gpu_device_create(self->context->gpu, (uint32_t)device, params->cache_dir, &self->device, err);
  if (status)
    return status;
  gpu_weights_params load = {.progress = params->progress,
                             .user = params->progress_user,
                             .tuning_dir = params->cache_dir,
                             .file = self->file,
                             .wish = wish_of(self, &params->plan)};
  return gpu_weights_create(self->device, &self->header, &load, &self->gpu, err);
}

hn_status hn_model_load(hn_context *ctx, const char *path, const hn_model_params *params, hn_model **out, hn_error *err) {
  static const hn_model_params defaults;
  *out = NULL;
  params = params ? params : &defaults;
  hn_model *self = calloc(1, sizeof *self);
  if (!self)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a model");
  self->context = ctx;
  self->plan = params->plan;
  hn_status status = gguf_open(path, &self->file, err);
  if (!status)
    status = read_header(self, err);
  if (!status) {
    fill_info(self);
    if (!params->header_only)
      status = load_weights(self, params, err);
  }
  if (status)
    hn_model_destroy(&self);
  *out = self;
  return status;
}

void hn_model_destroy(hn_model **model) {
  hn_model *self = *model;
  if (!self)
    return;
  cpu_weights_destroy(&self->cpu);
  gpu_weights_destroy(&self->gpu);
  gpu_device_destroy(&self->device);
  model_finish(&self->header);
  tokenizer_destroy(&self->tok);
  gguf_close(&self->file);
  for (size_t i = 0; i < sizeof self->strings / sizeof *self->strings; i++)
    free(self->strings[i]);
  free(self);
  *model = NULL;
}

void hn_model_get_info(const hn_model *model, hn_model_info *info) {
  *info = model->info;
}

hn_status hn_model_tensor(const hn_model *model, size_t index, hn_tensor_info *info, hn_error *err) {
  if (index >= model->file->n_tensors)
    return hn_fail(err, HN_ERROR_ARGUMENT, "tensor %zu: there are %zu", index, model->file->n_tensors);
  const gguf_tensor *t = &model->file->tensors[index];
  *info = (hn_tensor_info){.name = t->name, .type = quant_info(t->type).name, .n_dims = t->n_dims, .bytes = t->bytes, .offset = t->offset};
  memcpy(info->dims, t->dims, sizeof info->dims);
  return HN_OK;
}

static void write_value(const gguf_value *value, char *out, size_t size) {
  gguf_str text;
  uint64_t u;
  int32_t i;
  float f;
  bool b;
  if (value->type == GGUF_ARRAY)
    snprintf(out, size, "%llu x %s", (unsigned long long)value->count, gguf_type_name(value->elem_type));
  else if (gguf_string(value, &text))
    snprintf(out, size, "%.*s", (int)(text.len < size ? text.len : size), text.data);
  else if (gguf_bool(value, &b))
    snprintf(out, size, "%s", b ? "true" : "false");
  else if (gguf_u64(value, &u))
    snprintf(out, size, "%llu", (unsigned long long)u);
  else if (gguf_i32(value, &i))
    snprintf(out, size, "%d", (int)i);
  else if (gguf_f32(value, &f))
    snprintf(out, size, "%.9g", (double)f);
}

hn_status hn_model_metadata(const hn_model *model, size_t index, const char **key, const char **type, char *value, size_t value_size,
                            hn_error *err) {
  if (index >= model->file->n_kv)
    return hn_fail(err, HN_ERROR_ARGUMENT, "metadata entry %zu: there are %zu", index, model->file->n_kv);
  const gguf_kv *kv = &model->file->kv[index];
  *key = kv->key;
  *type = gguf_type_name(kv->value.type);
  if (value_size) {
    value[0] = 0;
    write_value(&kv->value, value, value_size);
  }
  return HN_OK;
}
