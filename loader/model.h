/*
 * model.h: what a file of the llama architecture holds: its configuration and its tensors, all checked.
 *
 * After model_read succeeds every tensor exists with the shape noted here and every number is within the bounds that
 * the kernels rely on.
 */
#ifndef HN_MODEL_H
#define HN_MODEL_H

#include "gguf.h"

typedef enum rope_scaling_type { ROPE_NONE, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN } rope_scaling_type;

typedef struct model_rope {
  rope_scaling_type scaling;
  uint32_t n_rot;    /* rotated dimensions of a head: even, at most head_dim */
  float theta;       /* base of the frequencies */
  float factor;      /* linear, yarn: by how much the context is stretched; else 1 */
  float attn_factor; /* yarn */
  float beta_fast, beta_slow;
  uint32_t n_ctx_original; /* yarn */
} model_rope;

typedef struct model_config {
  uint32_t n_vocab, n_ctx_train, n_embd, n_layers, n_heads, n_kv_heads, head_dim, n_ff;
  float norm_eps;
  model_rope rope;
} model_config;

/* Shapes as (rows, columns): rows are output features. RoPE pairs are neighbouring rows of q and k. */
enum layer_matrix {
  WQ,     /* (n_heads * head_dim, n_embd) */
  WK, WV, /* (n_kv_heads * head_dim, n_embd) */
  WO,     /* (n_embd, n_heads * head_dim) */
  W_GATE, W_UP, /* (n_ff, n_embd) */
  W_DOWN,       /* (n_embd, n_ff) */
  N_LAYER_MATRICES
};

enum layer_vector { /* f32, one value per row; biases are NULL where the file has none */
  ATTN_NORM, FFN_NORM, /* (n_embd) */
  BQ, BK, BV, BO,      /* of the matrices of the same letters */
  N_LAYER_VECTORS
};

typedef struct model_layer {
  const gguf_tensor *matrices[N_LAYER_MATRICES];
  const gguf_tensor *vectors[N_LAYER_VECTORS];
} model_layer;

typedef struct model_tensors {
  const gguf_tensor *tok_embd;    /* (n_vocab, n_embd) */
  const gguf_tensor *output_norm; /* (n_embd) f32 */
  const gguf_tensor *output;      /* (n_vocab, n_embd); tok_embd itself where they are tied */
  const gguf_tensor *rope_freqs;  /* (n_rot / 2) f32, divisors of the frequencies; NULL: none */
  model_layer *layers;            /* (n_layers) */
} model_tensors;

typedef struct model_header {
  model_config config;
  model_tensors tensors;
} model_header;

/* Errors: UNSUPPORTED (the message lists what is supported), FORMAT (the file names none). */
hn_status model_check_architecture(const gguf_file *file, hn_error *err);

/* Errors: UNSUPPORTED (architecture, sizes beyond the kernels), FORMAT (missing or contradictory), OUT_OF_MEMORY. */
hn_status model_read(const gguf_file *file, uint32_t n_vocab, model_header *out, hn_error *err);

/* A zeroed or finished header is accepted. */
void model_finish(model_header *header);

/* Bytes in the file of the matrices: those of all layers and the output, the embedding too where it is another. */
uint64_t model_matrix_bytes(const model_header *header);

/* "none", "linear", "llama3", "yarn" */
const char *model_rope_name(rope_scaling_type type);

/* The architecture's own metadata key, e.g. "llama.block_count": NULL where it is absent. */
const gguf_value *model_find(const gguf_file *file, const char *key);

#endif
