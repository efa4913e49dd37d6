/* weights_gpu.h: a model's weights as the shaders read them. */
#ifndef HN_WEIGHTS_GPU_H
#define HN_WEIGHTS_GPU_H

#include "arena.h"
#include "forward_gpu.h"
#include "kernels.h"
#include "planes.h"

typedef struct gpu_layer { /* see model_layer */
  gpu_matrix matrices[N_LAYER_MATRICES];
  gpu_matrix joined[N_LAYER_MATRICES]; /* from a matrix on, those that are one (joined.h); without rows where it belongs to one before */
  VkDeviceAddress vectors[N_LAYER_VECTORS]; /* 0: none */
} gpu_layer;

struct gpu_weights {
  gpu_device *device;
  kernels kernels;
  model_config config;
  rope rope;
  gpu_matrix tok_embd, output; /* one and the same where they are tied */
  VkDeviceAddress output_norm;
  gpu_layer *layers;
  const model_header *model;
  hn_memory memory; /* before anything was loaded */
  plan plan;
  arena arena; /* all weights */
};

#endif
