/*
 * forward.h: one evaluation of a batch of tokens, by the CPU (forward_cpu.c, read it first) or a GPU (forward_gpu.c).
 * A forward holds the KV cache and the activations of one session. Tokens of a batch give the same bits whatever the
 * batch's size.
 */
#ifndef HN_FORWARD_H
#define HN_FORWARD_H

#include "rope.h"

#include <stdatomic.h>

enum { MAX_BATCH = 512 };

typedef enum forward_want { FORWARD_CACHE, FORWARD_LAST, FORWARD_ALL } forward_want; /* whose logits */

typedef struct forward_step {
  const int32_t *ids; /* (n), each below n_vocab */
  uint32_t n;         /* 1 .. n_batch; FORWARD_ALL: at most FORWARD_ALL_MAX */
  uint32_t first;     /* position of ids[0]; first + n <= n_ctx */
  forward_want want;
  int32_t *argmax;    /* of the last token; FORWARD_LAST */
  const atomic_bool *cancel;
} forward_step;

enum { FORWARD_ALL_MAX = 32 };

typedef struct token_sink { /* gets the tokens that steps choose, in order */
  bool (*take)(void *user, int32_t id); /* false: no more */
  void *user;
  const atomic_bool *cancel;
} token_sink;

typedef struct forward_params { /* of a session */
  uint32_t n_ctx, n_batch; /* n_batch: at most MAX_BATCH */
  uint32_t kv_type;        /* of a CPU: QUANT_Q8_0 or QUANT_Q4_0; a GPU's weights are loaded with one */
  uint32_t n_threads;      /* of a CPU; 0: one per processor */
} forward_params;

typedef struct forward forward;
struct forward { /* the base of forward_cpu and forward_gpu */
  uint32_t n_ctx, n_batch;
  float *logits; /* (FORWARD_ALL_MAX, n_vocab): eval writes 1 row, FORWARD_ALL n; read_kv and write_kv leave the first alone */
  /* Errors: CANCELLED, DEVICE_LOST, TIMEOUT, OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
  hn_status (*eval)(forward *self, const forward_step *step, hn_error *err);
  /* A token each of n sessions of one model, whose steps are of one token and FORWARD_ALL; n: at most FORWARD_ALL_MAX and all[0]->n_batch. Each
   * gets its logits. Cancelled by that of the first. Errors: as eval. */
  hn_status (*eval_together)(forward *const *all, const forward_step *steps, uint32_t n, hn_error *err);
  /* n >= 1 steps of a token each, from position `first` on: of the argmax of the evaluation before, which was FORWARD_LAST, then of the last one's
   * each time. Several are under way at a time; those behind a token that was the last one taken count as never evaluated. The logits are undefined
   * then. NULL: eval does as well. Errors: as eval; tokens that were taken are evaluated. */
  hn_status (*follow)(forward *self, uint32_t first, uint32_t n, const token_sink *to, hn_error *err);
  /* A block of a layer's KV cache (kv_block_bytes of sizes.h; layout: shaders/shared.h) to `bytes`, and from there. Waits until it is
   * done. Errors: as eval, but for CANCELLED. */
  hn_status (*read_kv)(forward *self, uint32_t layer, uint32_t block, void *bytes, hn_error *err);
  hn_status (*write_kv)(forward *self, uint32_t layer, uint32_t block, const void *bytes, hn_error *err);
  void (*destroy)(forward *self);
};

#endif
