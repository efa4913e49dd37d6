/* subject.h: a model on a device, opened from within, so that its steps can be observed: what is measured, and what tests of steps run. */
#ifndef HN_BENCH_SUBJECT_H
#define HN_BENCH_SUBJECT_H

#include "../../runtime/forward_gpu.h"

typedef struct subject {
  gguf_file *file;
  model_header header;
  gpu_weights *weights;
  forward *forward;
  gpu_cmd *cmd; /* the forward's */
  uint32_t n_ctx, n_batch;
} subject;

typedef struct subject_params {
  uint32_t n_ctx, n_batch;
  gpu_weights_params weights; /* but for the wish, which is made of the numbers above */
} subject_params;

/* The header alone, of a file that can be run. The caller's to finish and to close, also after a failure. Errors: those of hn_model_load. */
hn_status subject_open(const char *path, gguf_file **file, model_header *header, hn_error *err);

/* The device must outlive it. On failure *out is zeroed. Errors: those of hn_model_load. */
hn_status subject_init(gpu_device *device, const char *path, const subject_params *params, subject *out, hn_error *err);
void subject_finish(subject *s); /* a zeroed or finished one is accepted */

/* Evaluates n tokens from position `first` on, in batches, and reads the logits of the last. The tokens are i % n_vocab. Errors: ARGUMENT
 * (first + n > n_ctx), those of forward.h. */
hn_status subject_eval(subject *s, uint32_t first, uint32_t n, hn_error *err);

/* The same for n tokens of one batch (at most FORWARD_ALL_MAX), with the logits of all. */
hn_status subject_eval_all(subject *s, uint32_t first, uint32_t n, hn_error *err);

/* Fills the whole KV cache with random blocks. */
hn_status subject_fill_cache(subject *s, hn_error *err);

#endif
