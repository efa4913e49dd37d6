#include <stdlib.h>
#include <string.h>

#include "kernels_cpu.h"
#include "session_object.h"

enum { CPU_CTX = 4096 }; /* of the device "cpu" where none is wished */

static hn_status check_params(const hn_model *model, const hn_session_params *params, hn_error *err) {
  uint32_t train = model->header.config.n_ctx_train;
  if (params->n_ctx > train && params->n_ctx != HN_CTX_MAX)
    return hn_fail(err, HN_ERROR_ARGUMENT, "a context of %u tokens: the model was trained for at most %u", (unsigned)params->n_ctx,
                   (unsigned)train);
  if (params->n_batch > MAX_BATCH)
    return hn_fail(err, HN_ERROR_ARGUMENT, "n_batch %u: expected at most %d", (unsigned)params->n_batch, MAX_BATCH);
  if (params->n_threads > 64)
    return hn_fail(err, HN_ERROR_ARGUMENT, "n_threads %u: expected at most 64", (unsigned)params->n_threads);
  return HN_OK;
}

static hn_status create_forward(hn_session *self, const hn_session_params *params, hn_error *err) {
  const hn_model *model = self->model;
  uint32_t train = model->header.config.n_ctx_train;
  forward_params p = {model_n_ctx(model, params->n_ctx), params->n_batch, model_kv_type(model), params->n_threads};
  if (model->gpu)
    return forward_gpu_create(model->gpu, &p, &self->forward, err);
  p.n_ctx = p.n_ctx ? p.n_ctx : model->plan.n_ctx ? model_n_ctx(model, model->plan.n_ctx) : train < CPU_CTX ? train : CPU_CTX;
  p.n_batch = p.n_batch ? p.n_batch : MAX_BATCH;
  p.n_batch = p.n_batch < p.n_ctx ? p.n_batch : p.n_ctx;
  return forward_cpu_create(model->cpu, &p, &self->forward, err);
}

static hn_status allocate(hn_session *self, hn_error *err) {
  self->n_ctx = self->forward->n_ctx;
  self->n_batch = self->forward->n_batch;
  size_t bytes = self->n_ctx * sizeof *self->tokens;
  self->tokens = malloc(bytes);
  if (!self->tokens)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the tokens of a session (%zu MiB of memory of the host)", bytes / (1 << 20) + 1);
  return HN_OK;
}

hn_status hn_session_create(hn_model *model, const hn_session_params *params, hn_session **out, hn_error *err) {
  static const hn_session_params defaults;
  *out = NULL;
  params = params ? params : &defaults;
  if (!model->cpu && !model->gpu)
    return hn_fail(err, HN_ERROR_ARGUMENT, "the model has no weights: %s",
                   model->info.supported ? "it was loaded with header_only" : model->info.unsupported);
  hn_session *self = calloc(1, sizeof *self);
  if (!self)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a session");
  self->model = model;
  self->argmax = -1;
  hn_status status = check_params(model, params, err);
  if (!status)
    status = create_forward(self, params, err);
  if (!status)
    status = allocate(self, err);
  if (status)
    hn_session_destroy(&self);
  *out = self;
  return status;
}

void hn_session_destroy(hn_session **session) {
  hn_session *self = *session;
  if (!self)
    return;
  if (self->forward)
    self->forward->destroy(self->forward);
  free(self->tokens);
  free(self);
  *session = NULL;
}

static hn_status check(const hn_session *self, const int32_t *ids, size_t n, hn_error *err) {
  if (self->lost)
    return hn_fail(err, HN_ERROR_DEVICE_LOST, "the device stopped answering before; load the model again");
  if (n == 0)
    return hn_fail(err, HN_ERROR_ARGUMENT, "no tokens to evaluate");
  for (size_t i = 0; i < n; i++)
    if (ids[i] < 0 || (uint32_t)ids[i] >= self->model->info.n_vocab)
      return hn_fail(err, HN_ERROR_ARGUMENT, "token %zu is %d: the vocabulary has %u", i, (int)ids[i],
                     (unsigned)self->model->info.n_vocab);
  if (n > self->n_ctx - self->n_past)
    return hn_fail(err, HN_ERROR_CONTEXT_FULL, "%zu tokens do not fit: the context holds %u, of which %u are used; create the "
                   "session with a larger n_ctx", n, (unsigned)self->n_ctx, (unsigned)self->n_past);
  return HN_OK;
}

/* Evaluates one batch; what it calls fn with are the logits of its tokens, numbered from `index`. */
static hn_status eval_batch(hn_session *self, forward_step *step, size_t index, hn_logits_fn fn, void *user, hn_error *err) {
  step->argmax = &self->argmax;
  step->cancel = &self->cancel;
  hn_status status = self->forward->eval(self->forward, step, err);
  if (status || !fn)
    return status;
  for (uint32_t i = 0; i < step->n; i++)
    if (!fn(user, index + i, self->forward->logits + (size_t)i * self->model->info.n_vocab))
      return hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
  return HN_OK;
}

/* Behind an evaluation of n tokens. */
static void end_eval(hn_session *self, const int32_t *ids, size_t n, hn_status status) {
  if (status) {
    self->argmax = -1;
    self->lost = status != HN_ERROR_CANCELLED;
    return;
  }
  memcpy(self->tokens + self->n_past, ids, n * sizeof *ids);
  self->n_past += (uint32_t)n;
  self->last = self->forward->logits;
}

static hn_status eval(hn_session *self, const int32_t *ids, size_t n, hn_logits_fn fn, void *user, hn_error *err) {
  hn_status status = check(self, ids, n, err);
  if (status)
    return status;
  uint32_t limit = fn && self->n_batch > FORWARD_ALL_MAX ? FORWARD_ALL_MAX : self->n_batch, rows = 1;
  self->last = NULL;
  for (size_t done = 0; done < n && !status; done += rows) {
    rows = n - done < limit ? (uint32_t)(n - done) : limit;
    forward_step step = {.ids = ids + done, .n = rows, .first = self->n_past + (uint32_t)done};
    step.want = fn ? FORWARD_ALL : done + rows == n ? FORWARD_LAST : FORWARD_CACHE;
    status = eval_batch(self, &step, done, fn, user, err);
  }
  if (atomic_exchange(&self->cancel, false) && !status)
    status = hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
  end_eval(self, ids, n, status);
  if (status)
    return status;
  if (fn && rows > 1) /* to the first row, which stays until the next evaluation */
    memmove(self->forward->logits, self->forward->logits + (size_t)(rows - 1) * self->model->info.n_vocab, sizeof(float) * self->model->info.n_vocab);
  if (fn)
    self->argmax = cpu_argmax(self->last, self->model->info.n_vocab);
  return HN_OK;
}

hn_status hn_session_eval(hn_session *session, const int32_t *ids, size_t n, hn_error *err) {
  return eval(session, ids, n, NULL, NULL, err);
}

hn_status hn_session_eval_all(hn_session *session, const int32_t *ids, size_t n, hn_logits_fn fn, void *user, hn_error *err) {
  return fn ? eval(session, ids, n, fn, user, err) : hn_fail(err, HN_ERROR_ARGUMENT, "no callback for the logits");
}

/* ---- greedy decoding ---- */

typedef struct decoding {
  hn_session *session;
  hn_token_fn fn;
  void *user;
  uint32_t n_taken;
  int32_t taken; /* the last one */
} decoding;

static bool give(decoding *d, int32_t id) {
  d->n_taken++;
  d->taken = id;
  return d->fn(d->user, id);
}

/* The token before is evaluated, and `id` is chosen behind it. */
static bool take(void *user, int32_t id) {
  decoding *d = user;
  d->session->tokens[d->session->n_past++] = d->taken;
  return give(d, id);
}

/* n steps behind the first. */
static hn_status decode_ahead(decoding *d, size_t n, hn_error *err) {
  hn_session *self = d->session;
  const token_sink to = {take, d, &self->cancel};
  return self->forward->follow(self->forward, self->n_past, (uint32_t)n, &to, err);
}

static hn_status decode(decoding *d, int32_t id, size_t n, hn_error *err) {
  hn_session *self = d->session;
  bool more = true;
  hn_status status = HN_OK;
  for (size_t i = 0; i < n && more && !status; i++) {
    if (i > 0 && self->forward->follow)
      return decode_ahead(d, n - i, err);
    status = eval(self, i == 0 ? &id : &d->taken, 1, NULL, NULL, err);
    more = !status && give(d, self->argmax);
  }
  return status;
}

hn_status hn_session_decode(hn_session *session, int32_t id, size_t n, hn_token_fn fn, void *user, hn_error *err) {
  if (!fn || n == 0)
    return hn_fail(err, HN_ERROR_ARGUMENT, fn ? "no tokens to choose" : "no callback for the tokens");
  hn_status status = check(session, &id, 1, err);
  if (!status && n > session->n_ctx - session->n_past)
    status = hn_fail(err, HN_ERROR_CONTEXT_FULL, "%zu tokens do not fit: the context holds %u, of which %u are used", n, (unsigned)session->n_ctx,
                     (unsigned)session->n_past);
  if (status)
    return status;
  decoding d = {.session = session, .fn = fn, .user = user};
  status = decode(&d, id, n, err);
  if (atomic_exchange(&session->cancel, false) && !status)
    status = hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
  session->lost = status && status != HN_ERROR_CANCELLED;
  if (d.n_taken > 1 || status)
    session->last = NULL;
  session->argmax = session->lost || d.n_taken == 0 ? -1 : d.taken;
  return status;
}

/* ---- several sessions together ---- */

static hn_status check_together(hn_session *const *all, const int32_t *ids, size_t n, hn_error *err) {
  size_t most = n && all[0]->n_batch < FORWARD_ALL_MAX ? all[0]->n_batch : FORWARD_ALL_MAX;
  hn_status status = HN_OK;
  if (n == 0 || n > most)
    return hn_fail(err, HN_ERROR_ARGUMENT, "%zu sessions together: expected 1 to %zu", n, most);
  for (size_t i = 0; i < n && !status; i++) {
    if (all[i]->model != all[0]->model)
      return hn_fail(err, HN_ERROR_ARGUMENT, "session %zu is of another model", i);
    for (size_t j = 0; j < i; j++)
      if (all[j] == all[i])
        return hn_fail(err, HN_ERROR_ARGUMENT, "session %zu is session %zu, too", i, j);
    status = check(all[i], &ids[i], 1, err);
  }
  return status;
}

hn_status hn_sessions_eval(hn_session *const *sessions, const int32_t *ids, size_t n, hn_error *err) {
  forward *all[FORWARD_ALL_MAX];
  forward_step steps[FORWARD_ALL_MAX];
  bool cancelled = false;
  hn_status status = check_together(sessions, ids, n, err);
  if (status)
    return status;
  for (size_t i = 0; i < n; i++) {
    hn_session *self = sessions[i];
    self->last = NULL;
    all[i] = self->forward;
    steps[i] = (forward_step){.ids = &ids[i], .n = 1, .first = self->n_past, .want = FORWARD_ALL, .cancel = &self->cancel};
  }
  status = all[0]->eval_together(all, steps, (uint32_t)n, err);
  for (size_t i = 0; i < n; i++)
    cancelled |= atomic_exchange(&sessions[i]->cancel, false);
  if (cancelled && !status)
    status = hn_fail(err, HN_ERROR_CANCELLED, "the evaluation was cancelled");
  for (size_t i = 0; i < n; i++) {
    end_eval(sessions[i], &ids[i], 1, status);
    if (!status)
      sessions[i]->argmax = cpu_argmax(sessions[i]->last, sessions[i]->model->info.n_vocab);
  }
  return status;
}

/* ---- the timeline ---- */

const float *hn_session_logits(const hn_session *session) {
  return session->last;
}

int32_t hn_session_argmax(const hn_session *session) {
  return session->argmax;
}

uint32_t hn_session_n_past(const hn_session *session) {
  return session->n_past;
}

uint32_t hn_session_n_ctx(const hn_session *session) {
  return session->n_ctx;
}

hn_status hn_session_rewind(hn_session *session, uint32_t n, hn_error *err) {
  if (n > session->n_past)
    return hn_fail(err, HN_ERROR_ARGUMENT, "cannot go forward from %u tokens to %u", (unsigned)session->n_past, (unsigned)n);
  if (n < session->n_past) {
    session->last = NULL;
    session->argmax = -1;
  }
  session->n_past = n;
  return HN_OK;
}

const int32_t *hn_session_tokens(const hn_session *session) {
  return session->tokens;
}

hn_status hn_session_reuse(hn_session *session, const int32_t *ids, size_t n, size_t *n_kept, hn_error *err) {
  uint32_t kept = 0;
  *n_kept = 0;
  if (n == 0)
    return hn_fail(err, HN_ERROR_ARGUMENT, "no tokens to evaluate");
  while (kept < n - 1 && kept < session->n_past && ids[kept] == session->tokens[kept])
    kept++;
  *n_kept = kept;
  return hn_session_rewind(session, kept, err);
}

void hn_session_cancel(hn_session *session) {
  atomic_store(&session->cancel, true);
}
