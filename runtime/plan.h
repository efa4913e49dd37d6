/*
 * plan.h: where every byte of a model and its sessions goes: a pure function of the model's header, the device's memory and what the user
 * wants. It touches no device and reads no weights, and takes microseconds. Loading (weights_gpu.c) and sessions (forward_gpu_memory.c) allocate
 * what it says: weights and sessions through an arena; staging and the self-test, which go when a model is loaded, by themselves.
 *
 * On the device, in this order of importance: weights, activations, the KV cache. The embedding table, where it is not the output too, is
 * read a row per token and stays in the host's memory, as do staging and readback. What does not fit the budget goes to the host and is
 * read in place: blocks of the cache first, those of the last positions, so that a conversation is slower only where it is long; then whole
 * layers, the last ones, and the room that the last of them leaves is the cache's again.
 *
 * Items share allocations, in their order, so that drivers see a few large ones.
 */
#ifndef HN_PLAN_H
#define HN_PLAN_H

#include "../loader/model.h"
#include "hornito.h"

enum {
  PLAN_ALIGNMENT = 256, /* bytes; of every item */
  PLAN_PAGE = 65536     /* of every allocation: what drivers round up to */
};

typedef enum plan_place {
  PLAN_DEVICE,
  PLAN_HOST,     /* host-visible, which the device reads */
  PLAN_READBACK, /* host-visible, which the CPU reads */
  PLAN_PROCESS   /* of the process alone: malloc */
} plan_place;

typedef enum plan_owner { PLAN_MODEL, PLAN_LOADING, PLAN_SESSION } plan_owner; /* who allocates it; PLAN_LOADING is gone when a model is loaded */

typedef struct plan_allocation {
  plan_place place;
  plan_owner owner;
  uint32_t session; /* of PLAN_SESSION: 0 .. n_sessions - 1 */
  uint64_t bytes;   /* a multiple of PLAN_PAGE */
} plan_allocation;

typedef struct plan_wish {
  uint64_t budget_bytes; /* of the device's memory, absolute, without a further margin; 0: see hn_plan_params */
  uint64_t taken_device_bytes, taken_host_bytes; /* by other sessions */
  uint32_t n_ctx;        /* 0: the longest that lies wholly on the device, up to the model's, but 4096 at least */
  uint32_t n_batch;      /* 0: the most, up to MAX_BATCH, whose activations take 64 MiB */
  uint32_t n_sessions;   /* 0: 1 */
  uint32_t kv_type;      /* QUANT_Q8_0 or QUANT_Q4_0 */
  int32_t n_host_layers; /* of a model that is loaded; -1: as few as possible */
} plan_wish;

typedef struct plan_layer { /* items; NULL: there is none, or it lies behind another in that one's item (joined.h) */
  const hn_plan_item *matrices[N_LAYER_MATRICES], *vectors[N_LAYER_VECTORS];
  const hn_plan_item *cache_host, *cache_device; /* of session 0 */
} plan_layer;

typedef enum plan_lack { PLAN_LACKS_NOTHING, PLAN_LACKS_DEVICE, PLAN_LACKS_HOST, PLAN_LACKS_ALLOCATION } plan_lack; /* why it does not fit */

typedef struct plan {
  hn_plan base; /* what an application sees */
  uint32_t n_blocks, n_host_blocks; /* of the KV cache, of KV_BLOCK positions each: all, and the last ones, on the host */
  uint32_t kv_type;
  bool shared; /* what is on the device and on the host together is limited: a unified device without a budget */
  uint64_t taken_bytes; /* of the device's memory, by other sessions */
  plan_lack lack;
  plan_layer *layers; /* (n_layers) */
  const hn_plan_item *tok_embd, *output, *output_norm; /* tok_embd: output where they are tied */
  const hn_plan_item *activations, *parts, *logits, *readback, *input; /* of session 0 */
  plan_allocation *allocations; /* what hn_plan_item.allocation counts */
  uint32_t n_allocations;
  hn_plan_item *items; /* base.items */
} plan;

/* base.fits tells whether it does; that it does not is no error. The header's file must outlive the plan.
 * Errors: ARGUMENT (n_ctx beyond the model's, n_batch beyond MAX_BATCH, more than 64 sessions), OUT_OF_MEMORY. */
hn_status plan_init(const model_header *model, const hn_memory *memory, const plan_wish *wish, plan *out, hn_error *err);
void plan_finish(plan *p); /* a zeroed or finished one is accepted */

/* OUT_OF_DEVICE_MEMORY, with what is missing, where the plan does not fit; else OK. */
hn_status plan_check(const plan *p, const char *device, hn_error *err);

#endif
