/* llama_8b.h: the header of Llama-3.1-8B without a file: its shapes, with the types that its 4-bit files have. For plans. */
#ifndef HN_BENCH_LLAMA_8B_H
#define HN_BENCH_LLAMA_8B_H

#include "../../loader/model.h"

enum { LLAMA_8B_LAYERS = 32, LLAMA_8B_TENSORS = LLAMA_8B_LAYERS * (N_LAYER_MATRICES + 2) + 3 };

typedef struct llama_8b {
  model_header header; /* points into the rest: do not copy */
  model_layer layers[LLAMA_8B_LAYERS];
  gguf_tensor tensors[LLAMA_8B_TENSORS];
  size_t n_tensors;
} llama_8b;

/* type: QUANT_Q4_0, or QUANT_Q4_K with the mixture of Q4_K_M. There is nothing to finish. */
void llama_8b_init(llama_8b *out, uint32_t type);

#endif
