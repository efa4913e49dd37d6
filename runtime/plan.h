/*
 * plan.h: where every byte of a model and its session goes: a pure function of the model's header, the device's memory and what the user
 * wants. It touches no device and reads no weights, and takes microseconds.
 *
 * On the device, in this order of importance: weights, activations, the KV cache. The embedding table, where it is not the output too, is read
 * a row per token and stays in the host's memory, as do staging and readback. What does not fit the budget goes to the host and is read in
 * place: blocks of the cache first, the oldest ones, then whole layers, the last ones.
 *
 * Loading does not obey it yet: weights_gpu.c and forward_gpu.c allocate a buffer per tensor.
 */
#ifndef HN_PLAN_H
#define HN_PLAN_H

#include "../loader/model.h"

enum { PLAN_ALIGNMENT = 256 }; /* bytes; of every item */

typedef enum plan_heap { PLAN_DEVICE, PLAN_HOST } plan_heap;

typedef enum plan_kv { PLAN_KV_Q8_0, PLAN_KV_Q4_0 } plan_kv;

typedef struct plan_memory { /* of a device, in bytes */
  uint64_t device_bytes; /* free in its own memory */
  uint64_t host_bytes;   /* that it may use of the host's; on a unified device what is left besides device_bytes, often 0 */
} plan_memory;

typedef struct plan_wish {
  uint64_t budget_bytes; /* of the device's memory, absolute, without a further margin; 0: what is free, less a margin for a desktop */
  uint32_t n_ctx;        /* 0: the longest that lies wholly on the device, up to the model's */
  plan_kv kv;
} plan_wish;

typedef struct plan_item {
  const char *name; /* a tensor's, living as long as the model's file, or a static string */
  int32_t layer;    /* -1: of none */
  plan_heap heap;
  uint64_t bytes;   /* a multiple of PLAN_ALIGNMENT */
} plan_item;

typedef struct plan {
  bool fits;
  uint32_t n_ctx;     /* as wished, or chosen */
  uint32_t n_ctx_max; /* the longest that lies wholly on the device; 0: not even the weights do */
  uint32_t n_batch;   /* tokens of a prompt that are evaluated together */
  uint32_t n_blocks, n_host_blocks; /* of the KV cache, of KV_BLOCK positions each: all, and the oldest, on the host */
  uint32_t n_host_layers;           /* the last ones */
  uint64_t budget_bytes;
  uint64_t device_bytes, host_bytes; /* sums of the items */
  plan_item *items;
  size_t n_items;
} plan;

/* plan.fits tells whether it does; that it does not is no error. Errors: ARGUMENT (n_ctx beyond the model's), OUT_OF_MEMORY. */
hn_status plan_init(const model_header *model, const plan_memory *memory, const plan_wish *wish, plan *out, hn_error *err);
void plan_finish(plan *p); /* a zeroed or finished one is accepted */

#endif
