/* forward_gpu_object.h: what stands behind a forward of a GPU; shared by forward_gpu.c (its steps) and forward_gpu_memory.c. */
#ifndef HN_FORWARD_GPU_OBJECT_H
#define HN_FORWARD_GPU_OBJECT_H

#include "forward_gpu.h"
#include "kernels.h"
#include "sizes.h"
#include "weights_gpu.h"

typedef struct forward_gpu forward_gpu;

typedef struct sequence { /* tokens of a step that follow each other in one session */
  const forward_gpu *f;   /* the session, with its cache and parts of attention */
  uint32_t at;            /* the first of them in the step */
  kv_tokens tokens;
} sequence;

/* The kept recordings: a decode step of a token that the host gives, whose logits it gets, and STEPS_UNDER_WAY of the token before that the device
 * chose itself. */
enum { DECODE_GIVEN, DECODE_CHOSEN, N_DECODES = DECODE_CHOSEN + STEPS_UNDER_WAY };
_Static_assert((int)N_DECODES <= (int)GPU_MAX_KEPT, "a recording for each");

struct forward_gpu {
  forward base;
  const gpu_weights *weights;
  gpu_cmd *cmd;
  uint64_t wait_ns;
  plan plan;   /* of this session */
  arena arena; /* all that it allocates on the device and of the host for it */
  arena_place logits, readback; /* see logits_bytes */
  arena_place input, input_copy; /* see activations.input: the kernels read the device's copy */
  VkDeviceAddress x, qkv, o, gate, up, q, q_d; /* as in forward_cpu */
  VkDeviceAddress part_o, part_sums, counters; /* of attention */
  gpu_q8 a, h; /* h: of one token */
  layer_then *then; /* (n_layers): what a decode step does behind products; the device has it at then_at */
  VkDeviceAddress then_at;
  uint32_t recorded[N_DECODES]; /* the kept recording is a decode step for a context of so many blocks; 0: it is not */
  /* Of the current call: */
  forward_step step;
  sequence sequences[FORWARD_ALL_MAX]; /* (n_sequences): the step's tokens */
  uint32_t n_sequences;
};

static inline uint32_t q_width(const forward_gpu *f) {
  return f->weights->config.n_heads * f->weights->config.head_dim;
}

static inline uint32_t n_device_blocks(const forward_gpu *f) {
  return f->plan.n_blocks - f->plan.n_host_blocks;
}

/* Of logits. */
static inline uint64_t row_bytes(const forward_gpu *f, uint32_t rows) {
  return 4ull * rows * f->weights->config.n_vocab;
}

/* See forward.h. */
hn_status forward_gpu_eval(forward *base, const forward_step *step, hn_error *err);
hn_status forward_gpu_eval_together(forward *const *all, const forward_step *steps, uint32_t n, hn_error *err);
hn_status forward_gpu_follow(forward *base, uint32_t first, uint32_t n, const token_sink *to, hn_error *err);

/* What a decode step does behind products: all of f->then. */
void forward_gpu_fill_then(forward_gpu *f);

#endif
