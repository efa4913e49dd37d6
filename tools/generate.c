/* generate.c: see generate.h. */
#include "generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "output.h"
#include "stop.h"
#include "terminal.h"

int sampler_open(const runner *r, hn_sampler **sampler, uint64_t *seed) {
  hn_sampler_params params = r->opt->sampling;
  if (!r->opt->seed_given) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t mix = ((uint64_t)t.tv_sec << 30) ^ (uint64_t)t.tv_nsec ^ ((uint64_t)getpid() << 40);
    mix *= 0x9E3779B97F4A7C15u;
    params.seed = mix >> 32; /* short enough to be typed again */
  }
  *seed = params.seed;
  hn_error err = {0};
  if (hn_sampler_create(&params, r->info.n_vocab, sampler, &err) != HN_OK)
    return print_failure(&err);
  return EXIT_OK;
}

/* Evaluates, and tells the sampler. */
static hn_status eval(runner *r, hn_sampler *sampler, const int32_t *ids, size_t n, hn_error *err) {
  hn_status status = hn_session_eval(r->session, ids, n, err);
  /* A Ctrl-C that came when nothing was running cancels the next evaluation: not what the user meant any more. */
  if (status == HN_ERROR_CANCELLED && !interrupted())
    status = hn_session_eval(r->session, ids, n, err);
  if (status != HN_OK)
    return status;
  for (size_t i = 0; i < n; i++)
    hn_sampler_accept(sampler, ids[i]);
  return HN_OK;
}

/* Writes text and keeps a copy. False when memory or stdout fails, which is noticed at the end as well. */
static bool emit(generation *g, const char *text, size_t length) {
  if (length == 0)
    return true;
  char *larger = realloc(g->text, g->text_length + length + 1);
  if (larger == NULL)
    return false;
  memcpy(larger + g->text_length, text, length);
  g->text = larger;
  g->text_length += length;
  g->text[g->text_length] = 0;
  out_write(text, length);
  return out_flush();
}

/* What a token adds to the text; -1 for the end, which brings out all that is held back. */
static bool emit_token(const runner *r, hn_text_stream *stream, stop_matcher *stops, int32_t id, generation *g) {
  char piece[HN_TEXT_STREAM_MAX];
  size_t length = hn_text_stream_push(r->model, stream, id, piece, sizeof piece);
  for (size_t i = 0; i < length && stops->found == NULL; i++) {
    size_t ready = stop_matcher_push(stops, piece[i]);
    if (!emit(g, stops->ready, ready))
      return false;
  }
  if (id < 0 && stops->found == NULL)
    return emit(g, stops->held, stops->n_held);
  return true;
}

static void end_with_status(generation *g, hn_status status, const hn_error *err) {
  if (status == HN_ERROR_CANCELLED) {
    g->reason = STOPPED_CANCELLED;
    return;
  }
  g->reason = STOPPED_FAILED;
  g->exit_code = print_failure(err);
}

/* A run of the decode loop. */
typedef struct decoding {
  runner *r;
  uint32_t n_predict;
  hn_text_stream stream;
  stop_matcher *stops;
  generation *g;
  bool written; /* what was to be written, was */
} decoding;

/* Writes what a chosen token adds. False, and the reason, where it is the last one. */
static bool take_token(void *user, int32_t id) {
  decoding *d = user;
  generation *g = d->g;
  g->n_generated++;
  if (hn_token_is_end(d->r->model, id)) {
    g->reason = STOPPED_END_TOKEN;
    return false;
  }
  d->written = emit_token(d->r, &d->stream, d->stops, id, g);
  if (!d->written)
    return false;
  if (d->stops->found != NULL) {
    g->reason = STOPPED_STRING;
    g->stop_string = d->stops->found;
    return false;
  }
  if (g->n_generated == d->n_predict)
    return false; /* STOPPED_LENGTH */
  if (interrupted()) {
    g->reason = STOPPED_CANCELLED;
    return false;
  }
  return true;
}

static bool context_full(runner *r, generation *g) {
  bool full = hn_session_n_past(r->session) >= hn_session_n_ctx(r->session);
  if (full)
    g->reason = STOPPED_CONTEXT_FULL;
  return full;
}

/* Token after token from `id` on, which is taken already. */
static hn_status sample(decoding *d, hn_sampler *sampler, int32_t id, hn_error *err) {
  for (bool more = true; more && !context_full(d->r, d->g);) {
    hn_status status = eval(d->r, sampler, &id, 1, err);
    if (status != HN_OK)
      return status;
    d->g->n_decoded++;
    id = hn_sampler_sample(sampler, hn_session_logits(d->r->session));
    more = take_token(d, id);
  }
  return HN_OK;
}

/* The same where the likeliest is always taken: the device need not wait for its being written. */
static hn_status take_likeliest(decoding *d, int32_t id, hn_error *err) {
  hn_session *session = d->r->session;
  uint32_t before = hn_session_n_past(session), room = hn_session_n_ctx(session) - before, left = d->n_predict - (uint32_t)d->g->n_generated;
  if (context_full(d->r, d->g))
    return HN_OK;
  if (left > room) {
    d->g->reason = STOPPED_CONTEXT_FULL;
    left = room;
  }
  hn_status status = hn_session_decode(session, id, left, take_token, d, err);
  if (status == HN_ERROR_CANCELLED && !interrupted() && hn_session_n_past(session) == before) /* see eval */
    status = hn_session_decode(session, id, left, take_token, d, err);
  d->g->n_decoded = hn_session_n_past(session) - before;
  return status;
}

/* The decode loop; fills g->reason. */
static void decode(runner *r, hn_sampler *sampler, uint32_t n_predict, stop_matcher *stops, generation *g) {
  decoding d = {.r = r, .n_predict = n_predict, .stops = stops, .g = g, .written = true};
  hn_error err = {0};
  bool greedy = r->opt->sampling.temperature == 0.0f && r->opt->sampling.repeat_penalty == 1.0f;
  g->reason = STOPPED_LENGTH;
  double start = now_seconds();
  if (n_predict > 0) {
    int32_t id = greedy ? hn_session_argmax(r->session) : hn_sampler_sample(sampler, hn_session_logits(r->session));
    hn_status status = !take_token(&d, id) ? HN_OK : greedy ? take_likeliest(&d, id, &err) : sample(&d, sampler, id, &err);
    if (status != HN_OK)
      end_with_status(g, status, &err);
  }
  g->decode_seconds = now_seconds() - start;
  if (d.written && !emit_token(r, &d.stream, stops, -1, g))
    d.written = false;
  if (d.written && stops->found != NULL && g->reason != STOPPED_STRING) { /* the flush completed one */
    g->reason = STOPPED_STRING;
    g->stop_string = stops->found;
  }
  if (!d.written) {
    g->reason = STOPPED_FAILED;
    g->exit_code = EXIT_FAILED;
    if (out_flush()) /* else the end of the program says so */
      print_error("no memory for the text");
  }
}

void generate(runner *r, hn_sampler *sampler, const int32_t *prompt, size_t n, uint32_t n_predict, generation *out) {
  *out = (generation){.n_prompt = n, .exit_code = EXIT_FAILED};
  stop_matcher stops;
  if (!stop_matcher_init(&stops, r->opt->stops, r->opt->n_stops)) {
    print_error("no memory for the stop strings");
    return;
  }
  hn_error err = {0};
  double start = now_seconds();
  hn_status status = eval(r, sampler, prompt, n, &err);
  out->prompt_seconds = now_seconds() - start;
  if (status != HN_OK)
    end_with_status(out, status, &err);
  else
    decode(r, sampler, n_predict, &stops, out);
  stop_matcher_finish(&stops);
}

static double per_second(size_t n, double seconds) {
  return n > 0 && seconds > 0.0 ? (double)n / seconds : 0.0;
}

void print_summary(const runner *r, const generation *g, uint64_t seed) {
  char why[160];
  switch (g->reason) {
  case STOPPED_END_TOKEN:
    snprintf(why, sizeof why, "end token");
    break;
  case STOPPED_LENGTH:
    snprintf(why, sizeof why, "length (-n)");
    break;
  case STOPPED_STRING:
    snprintf(why, sizeof why, "stop string \"%.100s\"", g->stop_string);
    break;
  case STOPPED_CONTEXT_FULL:
    snprintf(why, sizeof why, "context full (%u tokens)", (unsigned)hn_session_n_ctx(r->session));
    break;
  case STOPPED_CANCELLED:
    snprintf(why, sizeof why, "cancelled");
    break;
  case STOPPED_FAILED:
    snprintf(why, sizeof why, "failed");
    break;
  }
  double decode = per_second(g->n_decoded, g->decode_seconds);
  print_note("prompt %zu tokens, %.1f tok/s; decode %zu tokens, %.1f tok/s, %.2f GB/s of weights; stopped: %s; seed "
             "%llu",
             g->n_prompt, per_second(g->n_prompt, g->prompt_seconds), g->n_decoded, decode,
             (double)r->info.weight_bytes * decode / 1e9, why, (unsigned long long)seed);
}
