/* session_object.h: what stands behind hn_session; shared by session.c and session_file.c. */
#ifndef HN_SESSION_OBJECT_H
#define HN_SESSION_OBJECT_H

#include "model_object.h"

struct hn_session {
  hn_model *model;
  forward *forward;
  uint32_t n_ctx, n_batch, n_past;
  int32_t *tokens; /* (n_past of n_ctx) the timeline */
  const float *last;
  int32_t argmax;
  bool lost;
  atomic_bool cancel;
};

#endif
