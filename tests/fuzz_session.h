/* fuzz_session.h: the session that fuzz_session loads files into, and of which fuzz_seed saves one. */
#ifndef FUZZ_SESSION_H
#define FUZZ_SESSION_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../runtime/hornito.h"
#include "random_model.h"

typedef struct fuzz_session {
  hn_context *ctx;
  hn_model *model;
  hn_session *session;
} fuzz_session;

/* On the device "cpu". False where that fails. */
static inline bool fuzz_session_open(fuzz_session *out) {
  static const random_model tiny = {.type = QUANT_Q4_0, .n_embd = 32, .n_ff = 32, .n_layers = 1, .n_heads = 1, .n_kv_heads = 1,
                                    .head_dim = 32, .n_vocab = 300, .tied = true};
  char path[64];
  *out = (fuzz_session){0};
  setenv("VK_DRIVER_FILES", "/none", 1); /* drivers leak, and are not needed */
  setenv("VK_ICD_FILENAMES", "/none", 1);
  random_model_save(&tiny, 3, path);
  bool open = !hn_context_create(NULL, &out->ctx, NULL) &&
              !hn_model_load(out->ctx, path, &(hn_model_params){.device = "cpu"}, &out->model, NULL) &&
              !hn_session_create(out->model, &(hn_session_params){.n_ctx = 100, .n_threads = 1}, &out->session, NULL);
  unlink(path);
  return open;
}

static inline void fuzz_session_close(fuzz_session *s) {
  hn_session_destroy(&s->session);
  hn_model_destroy(&s->model);
  hn_context_destroy(&s->ctx);
}

#endif
