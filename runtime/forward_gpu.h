/* forward_gpu.h: the forward pass on a Vulkan device. The results are those of forward_cpu, bit for bit. */
#ifndef HN_FORWARD_GPU_H
#define HN_FORWARD_GPU_H

#include "forward.h"
#include "gpu.h"
#include "plan.h"

/* A model on a device: weights and compiled kernels; immutable, shared by sessions. */
typedef struct gpu_weights gpu_weights;

typedef struct gpu_weights_params {
  hn_progress_fn progress; /* NULL: none */
  void *user;
  const char *tuning_dir; /* see tuning_file.h; NULL: none */
  const gguf_file *file; /* of the model: memory that holds what was loaded is given back; NULL: it is not */
  bool trust; /* take the first variant of each kernel without a self-test: for devices that compute nothing */
  plan_wish wish;
} gpu_weights_params;

/* The device, which gets the plan's budget as its limit, and the header must outlive the weights. Errors: those of plan.h and gpu.h, CANCELLED
 * (progress returned false), NO_DEVICE (a kernel whose bits are wrong on this device in each of its variants). */
hn_status gpu_weights_create(gpu_device *device, const model_header *model, const gpu_weights_params *params, gpu_weights **out,
                             hn_error *err);
void gpu_weights_destroy(gpu_weights **weights);

/* What it was loaded by. */
const plan *gpu_weights_plan(const gpu_weights *weights);

/* The weights must outlive it. What the budget has left is planned for it; n_ctx and n_batch 0: as the weights' plan has them. Errors: those of
 * plan.h and gpu.h. */
hn_status forward_gpu_create(const gpu_weights *weights, const forward_params *params, forward **out, hn_error *err);

/* For tests and measurements: what the steps are recorded on (set its observer between steps alone). */
gpu_cmd *forward_gpu_cmd(forward *self);

#endif
