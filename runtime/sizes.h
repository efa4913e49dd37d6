/* sizes.h: what a session takes: activations, logits, the KV cache. plan.c places it, forward_gpu_memory.c allocates it. */
#ifndef HN_SIZES_H
#define HN_SIZES_H

#include "../loader/model.h"
#include "../shaders/shared.h"

typedef struct activations { /* what a batch of tokens needs between the kernels, in one piece; offsets in bytes, multiples of 16 */
  uint64_t input;        /* (n) ids, (n) positions, (n, head_dim / 2) pairs of cos and sin, one behind the other: see input_bytes */
  uint64_t x;            /* (n, n_embd) f32: the residual stream */
  uint64_t qkv;          /* (n, n_heads + 2 n_kv_heads, head_dim) f32 */
  uint64_t o;            /* (n, n_heads, head_dim) f32 */
  uint64_t gate, up;     /* (n, n_ff) f32 */
  uint64_t q, q_d;       /* (n, n_heads) heads: see shaders/shared.h */
  uint64_t a_q, a_d, a_sums; /* (n) q8 rows of the widest input of a matrix */
  uint64_t h_q, h_d, h_sums; /* a q8 row of n_ff: what a decode step multiplies w_down by */
  uint64_t then;         /* (n_layers) of struct layer_then */
  uint64_t counters;     /* of kernels whose last workgroup goes on: (FEW_TOKENS, n_heads + n_kv_heads) words, zero between them */
  uint64_t bytes;        /* of all */
} activations;

typedef struct layer_then { /* what a decode step does behind the products of a layer: see shaders/shared.h */
  struct then_rope rope;      /* q, k and v */
  struct then_norm ffn, next; /* wo; w_down: the norm of the next layer, or the output's */
} layer_then;

enum { STEPS_UNDER_WAY = 4 }; /* of hn_session_decode, at a time */

/* What a step of n tokens starts from, on the device and on the host, where STEPS_UNDER_WAY steps of a token each have theirs behind it. */
uint64_t input_bytes(const model_config *c, uint64_t n);
uint64_t host_input_bytes(const model_config *c, uint64_t n);

enum { FEW_TOKENS = 8 }; /* so many take matvec_batch, and attend to all blocks of the cache at once if there is room for the parts of all */

/* For n tokens. */
activations activations_of(const model_config *c, uint64_t n);

/* What attention writes of each block of the cache before it merges the blocks, of one layer: (n_heads, head_dim) and (n_heads, 2) f32. They lie
 * behind each other: those of all blocks, then these. */
uint64_t part_bytes(const model_config *c);

/* Of activations.counters. */
uint64_t counter_bytes(const model_config *c);

/* Of FORWARD_ALL_MAX tokens: (FORWARD_ALL_MAX, n_vocab) f32, then the argmax of the last and those of STEPS_UNDER_WAY steps, a word each. */
uint64_t logits_bytes(const model_config *c);

/* Blocks of KV_BLOCK positions that n positions fill. */
uint32_t kv_blocks(uint32_t n);

/* A block of KV_BLOCK positions of one layer, keys and values, in bytes. kv_type: QUANT_Q8_0 or QUANT_Q4_0. */
uint64_t kv_block_bytes(const model_config *c, uint32_t kv_type);

/* What products of queries and keys are multiplied by: 1 / sqrt(head_dim), less what KV_MIX of shaders/shared.h adds. */
float kv_score_scale(uint32_t kv_type, uint32_t head_dim);

#endif
