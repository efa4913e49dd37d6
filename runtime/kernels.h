/*
 * kernels.h: the compute shaders as pipelines, and how each is launched. Push constants and layouts: shaders/shared.h.
 * Every launch says what it may read and write (gpu_access), so that a recorded step can be checked for missing barriers.
 */
#ifndef HN_KERNELS_H
#define HN_KERNELS_H

#include "../loader/quant.h"
#include "../shaders/shared.h"
#include "../shaders/spirv.h"
#include "gpu.h"
#include "planes.h"
#include "tuning_file.h"

typedef enum kernel_id {
  KERNEL_NORM_QUANT, KERNEL_QUANTIZE, KERNEL_SWIGLU_QUANT, KERNEL_ARGMAX,
  KERNEL_ROPE_STORE, KERNEL_ATTENTION, KERNEL_ATTENTION_PROMPT, /* built once per type of the KV cache */
  /* once per type of weights */
  KERNEL_EMBED, KERNEL_REARRANGE, KERNEL_MATVEC, KERNEL_MATVEC_NORM, KERNEL_MATVEC_ROPE, KERNEL_MATVEC_SWIGLU, KERNEL_MATVEC_BATCH, KERNEL_MATMAT,
  N_KERNELS,
  KERNEL_FIRST_TYPED = KERNEL_ROPE_STORE, KERNEL_FIRST_OF_WEIGHTS = KERNEL_EMBED
} kernel_id;

enum { N_KERNEL_TYPES = QUANT_IQ4_XS + 1 }; /* a quant_type; 0 stands for a kernel without */

typedef struct kernels {
  gpu_device *device;
  uint32_t kv_type; /* of the cache that matvec_rope stores to: QUANT_Q4_0, else Q8_0; set before its pipeline is made */
  tuning_file tuned; /* constants that were measured; what is not in there is as tuning.h has it */
  gpu_pipeline pipelines[N_KERNELS][N_KERNEL_TYPES];
} kernels;

/* "matvec" */
const char *kernel_name(kernel_id id);

/* Which kernel a module is, and for which type (0: it has none). False where it is none of this build's. */
bool kernel_of(const spirv_module *module, kernel_id *id, uint32_t *type);

/* False where a module needs what the device does not offer: cooperative matrices. It must not be made a pipeline then. */
bool kernels_suit(const hn_device_info *device, const spirv_module *module);

/* Makes the module's pipeline the one of (id, type), specialized for the device (k->tuned, tuning.h); the one before is destroyed. Errors:
 * OUT_OF_MEMORY, those of gpu_pipeline_init. */
hn_status kernels_use(kernels *k, kernel_id id, uint32_t type, const spirv_module *module, hn_error *err);

/* The same with constants that the caller chooses: n of them, at most GPU_MAX_CONSTANTS. */
hn_status kernels_use_constants(kernels *k, kernel_id id, uint32_t type, const spirv_module *module, const uint32_t *constants, uint32_t n,
                                hn_error *err);

bool kernels_has(const kernels *k, kernel_id id, uint32_t type);

/* How many tokens share the weights in matvec_batch. */
uint32_t kernels_batch_tokens(const kernels *k, uint32_t type);

/* Without a pipeline; variants.h adds them. */
void kernels_init(gpu_device *device, kernels *out);

/* A zeroed or finished one is accepted. */
void kernels_finish(kernels *k);

/* ---- launches: each records one dispatch; its pipeline must be there ---- */

typedef struct gpu_matrix {
  uint32_t type; /* a quantized one */
  uint32_t n_rows, n_granules;
  VkDeviceAddress planes[N_PLANES]; /* 0: the type has no such plane */
} gpu_matrix;

/* A matrix whose planes follow each other from `at` on: planes_bytes. */
gpu_matrix gpu_matrix_at(uint32_t type, uint32_t n_rows, uint32_t n_granules, VkDeviceAddress at);

/* Rows first .. first + n - 1 as a matrix of their own; first is a multiple of TILE_ROWS. */
gpu_matrix gpu_matrix_rows(const gpu_matrix *m, uint32_t first, uint32_t n);

typedef struct gpu_q8 { /* rows of activations */
  VkDeviceAddress q, d, sums;
} gpu_q8;

typedef struct gpu_product { /* see push_matmul */
  gpu_q8 x;
  VkDeviceAddress bias, residual, y;
  uint32_t n_tokens, y_stride;
} gpu_product;

typedef struct kv_tokens { /* whose positions are in the device's memory: they may change between runs of one recording */
  uint32_t n;
  uint32_t first, end; /* all lie in first .. end - 1 */
} kv_tokens;

void kernel_embed(gpu_cmd *cmd, const kernels *k, const gpu_matrix *table, VkDeviceAddress ids, VkDeviceAddress x, uint32_t n_tokens);

/* Tiles first .. first + n - 1 of `to` from `raw`: their rows as a file has them, packed; zeros for rows that `to` does not have. */
void kernel_rearrange(gpu_cmd *cmd, const kernels *k, const gpu_matrix *to, uint32_t first, uint32_t n, VkDeviceAddress raw);

void kernel_norm_quant(gpu_cmd *cmd, const kernels *k, const struct push_norm *push, uint32_t n_tokens);
void kernel_quantize(gpu_cmd *cmd, const kernels *k, const struct push_quantize *push);
void kernel_swiglu_quant(gpu_cmd *cmd, const kernels *k, const struct push_swiglu *push);
void kernel_rope_store(gpu_cmd *cmd, const kernels *k, uint32_t kv_type, const struct push_rope_store *push, const kv_tokens *tokens);
void kernel_attention(gpu_cmd *cmd, const kernels *k, uint32_t kv_type, const struct push_attention *push, const kv_tokens *tokens);
void kernel_attention_prompt(gpu_cmd *cmd, const kernels *k, uint32_t kv_type, const struct push_attention *push, const kv_tokens *tokens);
void kernel_argmax(gpu_cmd *cmd, const kernels *k, const struct push_argmax *push);
void kernel_matvec(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p);
void kernel_matvec_batch(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p);

/* A product and what follows it, by the workgroup that is done last. `then` lies in the device's memory at `at`, where push constants have
 * no room; its counters are zero before and after. */
void kernel_matvec_norm(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p, const struct then_norm *then,
                        VkDeviceAddress at);

/* w: rows first_row .. of those of q, k and v together. What rope_store does is done with a head when all its rows are there. */
void kernel_matvec_rope(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p, const struct then_rope *then,
                        VkDeviceAddress at, uint32_t first_row, const kv_tokens *tokens);

/* w: gate and up as one matrix. */
void kernel_matvec_swiglu(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, gpu_q8 x, gpu_q8 to, uint32_t n_tokens);

void kernel_matmat(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p);

#endif
