/* weights_cpu.h: a model's weights as the CPU kernels read them. */
#ifndef HN_WEIGHTS_CPU_H
#define HN_WEIGHTS_CPU_H

#include "forward_cpu.h"
#include "kernels_cpu.h"

typedef struct cpu_layer { /* see model_layer */
  cpu_matrix matrices[N_LAYER_MATRICES];
  float *vectors[N_LAYER_VECTORS];
} cpu_layer;

struct cpu_weights {
  model_config config;
  rope rope;
  cpu_matrix tok_embd, output;
  float *output_norm;
  cpu_layer *layers;
  void **owned; /* what was copied or converted */
  size_t n_owned;
};

#endif
