#include "kernels.h"

#include <stdio.h>
#include <string.h>

#include "../shaders/spirv.h"

static const char *const names[N_KERNELS] = {
    [KERNEL_NORM_QUANT] = "norm_quant", [KERNEL_QUANTIZE] = "quantize",   [KERNEL_SWIGLU_QUANT] = "swiglu_quant",
    [KERNEL_ROPE_STORE] = "rope_store", [KERNEL_ATTENTION] = "attention", [KERNEL_ARGMAX] = "argmax",
    [KERNEL_EMBED] = "embed",           [KERNEL_MATVEC] = "matvec",       [KERNEL_MATMAT] = "matmat",
};

static const spirv_module *find_module(kernel_id id, uint32_t type) {
  char name[64];
  if (id < KERNEL_EMBED)
    snprintf(name, sizeof name, "%s", names[id]);
  else
    snprintf(name, sizeof name, "%s_%s", names[id], quant_info(type).name);
  for (const spirv_module *m = spirv_modules; m->name; m++)
    if (strcmp(m->name, name) == 0)
      return m;
  return NULL;
}

hn_status kernels_add(kernels *k, kernel_id id, uint32_t type, hn_error *err) {
  gpu_pipeline *pipeline = &k->pipelines[id][type];
  if (pipeline->handle)
    return HN_OK;
  const spirv_module *m = find_module(id, type);
  if (!m)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "no shader %s for weights of type %s", names[id], quant_info(type).name);
  return gpu_pipeline_init(k->device, m->name, m->words, m->n_words, NULL, 0, pipeline, err);
}

hn_status kernels_init(gpu_device *device, kernels *out, hn_error *err) {
  hn_status status = HN_OK;
  *out = (kernels){.device = device};
  for (int id = 0; id < KERNEL_EMBED && !status; id++)
    status = kernels_add(out, (kernel_id)id, 0, err);
  if (status)
    kernels_finish(out);
  return status;
}

void kernels_finish(kernels *k) {
  for (int id = 0; k->device && id < N_KERNELS; id++)
    for (int type = 0; type <= QUANT_Q6_K; type++)
      gpu_pipeline_finish(k->device, &k->pipelines[id][type]);
  *k = (kernels){0};
}

/* ---- launches ---- */

static uint32_t groups(uint32_t n, uint32_t per_group) {
  return (n + per_group - 1) / per_group;
}

#define DISPATCH(id, type, x, y) gpu_cmd_dispatch(cmd, &k->pipelines[id][type], push, sizeof *push, x, y, 1)

void kernel_embed(gpu_cmd *cmd, const kernels *k, uint32_t type, const struct push_embed *push, uint32_t n_tokens) {
  DISPATCH(KERNEL_EMBED, type, groups(push->n_granules, 64), n_tokens);
}

void kernel_norm_quant(gpu_cmd *cmd, const kernels *k, const struct push_norm *push, uint32_t n_tokens) {
  DISPATCH(KERNEL_NORM_QUANT, 0, n_tokens, 1);
}

void kernel_quantize(gpu_cmd *cmd, const kernels *k, const struct push_quantize *push) {
  DISPATCH(KERNEL_QUANTIZE, 0, groups(push->n_blocks, 64), 1);
}

void kernel_swiglu_quant(gpu_cmd *cmd, const kernels *k, const struct push_swiglu *push) {
  DISPATCH(KERNEL_SWIGLU_QUANT, 0, groups(push->n_blocks, 64), 1);
}

void kernel_rope_store(gpu_cmd *cmd, const kernels *k, const struct push_rope_store *push, uint32_t n_tokens) {
  DISPATCH(KERNEL_ROPE_STORE, 0, push->n_heads + push->n_kv_heads, n_tokens);
}

void kernel_attention(gpu_cmd *cmd, const kernels *k, const struct push_attention *push, uint32_t n_tokens) {
  DISPATCH(KERNEL_ATTENTION, 0, push->n_heads, n_tokens);
}

void kernel_argmax(gpu_cmd *cmd, const kernels *k, const struct push_argmax *push) {
  DISPATCH(KERNEL_ARGMAX, 0, 1, 1);
}

void kernel_matvec(gpu_cmd *cmd, const kernels *k, uint32_t type, const struct push_matmul *push) {
  DISPATCH(KERNEL_MATVEC, type, groups(push->n_rows, TILE_ROWS), push->n_tokens);
}

void kernel_matmat(gpu_cmd *cmd, const kernels *k, uint32_t type, const struct push_matmul *push) {
  DISPATCH(KERNEL_MATMAT, type, groups(push->n_rows, TILE_ROWS), groups(push->n_tokens, MATMAT_TOKENS));
}
