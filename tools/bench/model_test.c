#include "model_test.h"

#include <stdio.h>
#include <sys/resource.h>

#include "../../runtime/sizes.h"
#include "../../shaders/shared.h"
#include "../output.h"
#include "../paths.h"
#include "../terminal.h"
#include "growth.h"
#include "kernel_test.h"

enum { BATCH = 512, WARM_PROMPT = 2 }; /* tokens */

/* ---- what an observer adds up over a call ---- */

typedef struct tally {
  double bytes;                           /* declared reads and writes */
  double waiting, submitted_at;           /* seconds */
  uint32_t dispatches, barriers, submits;
} tally;

static void see(void *user, gpu_cmd *cmd, const gpu_event *event) {
  tally *t = user;
  (void)cmd;
  if (event->access)
    t->bytes += (double)gpu_access_bytes(event->access);
  t->dispatches += event->kind == GPU_EVENT_DISPATCH;
  t->barriers += event->kind == GPU_EVENT_BARRIER;
  t->submits += event->kind == GPU_EVENT_SUBMIT;
  if (event->kind == GPU_EVENT_SUBMIT)
    t->submitted_at = now_seconds();
  else if (event->kind == GPU_EVENT_WAITED)
    t->waiting += now_seconds() - t->submitted_at;
}

/* replayed: only submissions are seen. */
static hn_status counted(subject *s, uint32_t first, uint32_t n, bool replayed, tally *t, hn_error *err) {
  *t = (tally){0};
  s->cmd->observer = (gpu_observer){see, t, replayed};
  hn_status status = subject_eval(s, first, n, err);
  s->cmd->observer = (gpu_observer){0};
  return status;
}

/* ---- prompts and decode ---- */

typedef struct run {
  subject *s;
  uint32_t depth, n;
  bool one_by_one;
  tally tally; /* of the last prompt or token */
} run;

static hn_status evaluate(void *data, hn_error *err) {
  run *r = data;
  hn_status status = HN_OK;
  if (!r->one_by_one)
    return subject_eval(r->s, r->depth, r->n, err);
  for (uint32_t i = 0; i < r->n && !status; i++)
    status = subject_eval(r->s, r->depth + i, 1, err);
  return status;
}

static hn_status time_test(const measure *m, run *r, bench_model *model, hn_error *err) {
  bench_stat seconds;
  hn_status status = counted(r->s, r->one_by_one ? r->depth + r->n - 1 : r->depth, r->one_by_one ? 1 : r->n, false, &r->tally, err);
  if (!status)
    status = measure_called(m, evaluate, r, &seconds, err);
  bench_test *test = status ? NULL : bench_add_test(model);
  if (status)
    return status;
  if (!test)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the tests");
  snprintf(test->name, sizeof test->name, "%s", r->one_by_one ? "decode" : "prompt");
  test->n = r->n;
  test->depth = r->depth;
  test->tok_s = measure_rate(seconds, r->n, 1);
  test->gb_s = measure_rate(seconds, r->tally.bytes * (r->one_by_one ? r->n : 1), 1e9);
  if (!r->one_by_one && model->first_token_n == 0) {
    model->first_token_n = r->n;
    model->first_token_ms = measure_scaled(seconds, 1e3);
  }
  return HN_OK;
}

static hn_status time_step(const measure *m, subject *s, uint32_t depth, bench_step *out, hn_error *err) {
  double us[MEASURE_MAX_RUNS];
  tally t;
  hn_status status = counted(s, depth, 1, false, &t, err);
  *out = (bench_step){.dispatches = t.dispatches, .barriers = t.barriers, .submits = t.submits};
  if (!status)
    status = counted(s, depth, 1, true, &t, err); /* records what is then submitted again */
  uint32_t n = 0;
  for (double start = now_seconds(); !status && n < m->runs && (n == 0 || now_seconds() - start < m->seconds); n++) {
    double before = now_seconds();
    status = counted(s, depth, 1, true, &t, err);
    us[n] = (now_seconds() - before - t.waiting) * 1e6;
  }
  out->host_us = status ? (bench_stat){0} : bench_stat_of(us, n);
  return status;
}

/* ---- the timeline of a step ---- */

typedef struct timeline {
  gpu_timer *timer;
  const char *names[MEASURE_STAMPS]; /* of what ended at the stamp; NULL: a barrier, or the start */
} timeline;

static void stamp(void *user, gpu_cmd *cmd, const gpu_event *event) {
  timeline *t = user;
  if (event->kind == GPU_EVENT_SUBMIT || event->kind == GPU_EVENT_WAITED)
    return;
  if (event->kind == GPU_EVENT_BEGIN)
    gpu_timer_reset(t->timer, cmd);
  if (t->timer->n < MEASURE_STAMPS)
    t->names[t->timer->n] = event->launch ? event->launch->pipeline->name : event->kind == GPU_EVENT_COPY ? "copy" : NULL;
  gpu_timer_stamp(t->timer, cmd);
}

static hn_status draw_timeline(measure *m, subject *s, uint32_t depth, bench_result *out, hn_error *err) {
  static double ns[MEASURE_STAMPS];
  timeline t = {.timer = &m->timer};
  s->cmd->observer = (gpu_observer){.see = stamp, .user = &t};
  hn_status status = subject_eval(s, depth, 1, err);
  s->cmd->observer = (gpu_observer){0};
  if (!status && !gpu_timer_read(&m->timer, ns))
    print_note("no timeline: the device has no timestamps");
  if (status || m->timer.n == 0)
    return status;
  for (uint32_t i = 1; i < m->timer.n; i++) {
    bench_span *span = t.names[i] ? bench_add_span(out) : NULL;
    if (t.names[i] && !span)
      return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the timeline");
    if (!span)
      continue;
    snprintf(span->kernel, sizeof span->kernel, "%s", t.names[i]);
    span->start_us = ns[i - 1] * 1e-3;
    span->end_us = ns[i] * 1e-3;
  }
  return HN_OK;
}

/* ---- a model ---- */

static uint32_t largest(const uint32_t *list, uint32_t n) {
  uint32_t most = 0;
  for (uint32_t i = 0; i < n; i++)
    most = list[i] > most ? list[i] : most;
  return most;
}

static hn_status run_tests(measure *m, const bench_options *o, subject *s, bench_model *model, hn_error *err) {
  uint32_t n = o->n_prompts + o->n_depths;
  hn_status status = subject_eval(s, 0, WARM_PROMPT, err); /* the first use of every kernel */
  if (!status)
    status = subject_eval(s, WARM_PROMPT, 1, err);
  for (uint32_t i = 0; i < n && !status; i++) {
    bool prompt = i < o->n_prompts;
    measure_progress(prompt ? "measuring prompts" : "measuring decode", i, n, "");
    run r = {.s = s, .one_by_one = !prompt};
    r.n = prompt ? o->prompts[i] : o->n_decode;
    r.depth = prompt ? 0 : o->depths[i - o->n_prompts];
    status = time_test(m, &r, model, err);
  }
  progress_clear();
  return status ? status : time_step(m, s, o->depths[0], &model->step, err);
}

static void describe(const subject *s, bench_model *model) {
  char count[HUMAN_SIZE];
  const model_config *c = &s->header.config;
  snprintf(model->description, sizeof model->description, "llama, %s weights, %u layers of %u", human_count(gguf_n_elements(s->file), count),
           (unsigned)c->n_layers, (unsigned)c->n_embd);
  model->weight_bytes = model_matrix_bytes(&s->header);
}

static uint64_t peak_rss(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

/* What loading took, of a model that has just been loaded. */
static void describe_loading(const subject *s, double seconds, bench_model *model) {
  const hn_plan *p = &gpu_weights_plan(s->weights)->base;
  model->load_s = bench_stat_once(seconds);
  model->load_gb_s = bench_stat_once((double)s->file->size / seconds * 1e-9);
  model->load_rss_bytes = peak_rss();
  model->plan_device_bytes = p->device_bytes;
  model->plan_host_bytes = p->host_bytes;
  model->kv_bytes_per_1024 =
      s->header.config.n_layers * kv_block_bytes(&s->header.config, gpu_weights_plan(s->weights)->kv_type) * (GROWTH_POSITIONS / KV_BLOCK);
}

static bool on_progress(void *user, uint64_t done, uint64_t total) {
  (void)user;
  measure_progress("loading", done, total, "");
  return true;
}

/* Numbers above `most` become it, once. How many are left. */
static uint32_t clip(uint32_t *list, uint32_t n, uint32_t most) {
  uint32_t left = 0, n_clipped = 0;
  for (uint32_t i = 0; i < n; i++)
    if (list[i] < most || n_clipped++ == 0)
      list[left++] = list[i] < most ? list[i] : most;
  return left;
}

/* For --growth: what the model's context holds. */
static hn_status clip_to_context(bench_options *o, const char *path, hn_error *err) {
  gguf_file *file = NULL;
  model_header header = {0};
  hn_status status = subject_open(path, &file, &header, err);
  uint32_t n_ctx = header.config.n_ctx_train;
  model_finish(&header);
  gguf_close(&file);
  if (status)
    return status;
  o->n_decode = o->n_decode < n_ctx ? o->n_decode : n_ctx;
  o->n_prompts = clip(o->prompts, o->n_prompts, n_ctx);
  o->n_depths = clip(o->depths, o->n_depths, n_ctx - o->n_decode);
  return HN_OK;
}

static hn_status test_model(measure *m, const bench_options *o, const char *path, bench_result *out, hn_error *err) {
  subject s;
  char tuning[MAX_PATH_LENGTH];
  uint32_t prompt = largest(o->prompts, o->n_prompts), depth = largest(o->depths, o->n_depths) + o->n_decode;
  uint32_t n_ctx = prompt > depth ? prompt : depth;
  uint64_t before = m->device->buffer_bytes; /* the measure's own */
  subject_params params = {.n_ctx = n_ctx > WARM_PROMPT ? n_ctx : WARM_PROMPT + 1,
                           .n_batch = BATCH,
                           .weights = {.progress = on_progress, .tuning_dir = cache_path(BENCH_CACHE, tuning)}};
  m->device->peak_buffer_bytes = before;
  double start = now_seconds();
  hn_status status = subject_init(m->device, path, &params, &s, err);
  double seconds = now_seconds() - start;
  progress_clear();
  bench_model *model = status ? NULL : bench_add_model(out);
  if (!status && !model)
    status = hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the result");
  if (model) {
    snprintf(model->file, sizeof model->file, "%s", path);
    describe(&s, model);
    describe_loading(&s, seconds, model);
    status = subject_fill_cache(&s, err);
  }
  if (!status)
    status = run_tests(m, o, &s, model, err);
  if (!status && o->timeline && out->n_spans == 0)
    status = draw_timeline(m, &s, o->depths[0], out, err);
  if (!status && (o->kernels || o->svg) && out->n_kernels == 0)
    status = kernel_test(m, &s, o->depths[o->n_depths - 1], o->prompts[0], o->kernels ? o->kernels : "", out, err);
  if (!status) {
    model->peak_device_bytes = m->device->peak_buffer_bytes - before;
    model->peak_rss_bytes = peak_rss();
  } else {
    gpu_cmd_destroy(&m->cmd); /* waits for what uses the subject's buffers */
  }
  subject_finish(&s);
  return status;
}

hn_status model_test(measure *m, const bench_options *o, const char *path, bench_result *out, hn_error *err) {
  bench_options clipped = *o;
  hn_status status = o->growth ? clip_to_context(&clipped, path, err) : HN_OK;
  return status ? status : test_model(m, &clipped, path, out, err);
}
