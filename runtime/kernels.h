/*
 * kernels.h: the compute shaders as pipelines, and how each is launched. Push constants and layouts: shaders/shared.h.
 */
#ifndef HN_KERNELS_H
#define HN_KERNELS_H

#include "../loader/quant.h"
#include "../shaders/shared.h"
#include "gpu.h"

typedef enum kernel_id { /* those from KERNEL_EMBED on are built once per type of weights */
  KERNEL_NORM_QUANT, KERNEL_QUANTIZE, KERNEL_SWIGLU_QUANT, KERNEL_ROPE_STORE, KERNEL_ATTENTION, KERNEL_ARGMAX,
  KERNEL_EMBED, KERNEL_MATVEC, KERNEL_MATMAT,
  N_KERNELS
} kernel_id;

typedef struct kernels {
  gpu_device *device;
  gpu_pipeline pipelines[N_KERNELS][QUANT_Q6_K + 1]; /* by the type of weights; 0 for the others */
} kernels;

/* Compiles the kernels that are not built per type.. Errors: see gpu_pipeline_init. */
hn_status kernels_init(gpu_device *device, kernels *out, hn_error *err);

/* Compiles one for a (quantized) type; nothing happens where it is there already. */
hn_status kernels_add(kernels *k, kernel_id id, uint32_t type, hn_error *err);

/* A zeroed or finished one is accepted. */
void kernels_finish(kernels *k);

/* Each records one dispatch. */
void kernel_embed(gpu_cmd *cmd, const kernels *k, uint32_t type, const struct push_embed *push, uint32_t n_tokens);
void kernel_norm_quant(gpu_cmd *cmd, const kernels *k, const struct push_norm *push, uint32_t n_tokens);
void kernel_quantize(gpu_cmd *cmd, const kernels *k, const struct push_quantize *push);
void kernel_swiglu_quant(gpu_cmd *cmd, const kernels *k, const struct push_swiglu *push);
void kernel_rope_store(gpu_cmd *cmd, const kernels *k, const struct push_rope_store *push, uint32_t n_tokens);
void kernel_attention(gpu_cmd *cmd, const kernels *k, const struct push_attention *push, uint32_t n_tokens);
void kernel_argmax(gpu_cmd *cmd, const kernels *k, const struct push_argmax *push);
void kernel_matvec(gpu_cmd *cmd, const kernels *k, uint32_t type, const struct push_matmul *push);
void kernel_matmat(gpu_cmd *cmd, const kernels *k, uint32_t type, const struct push_matmul *push);

#endif
