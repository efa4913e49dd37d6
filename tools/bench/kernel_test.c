#include "kernel_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../runtime/kernels.h"
#include "../output.h"
#include "../terminal.h"

/* A launch, kept after its recording: its buffers live as long as the subject. */
typedef struct kept {
  gpu_launch launch;
  uint8_t push[GPU_PUSH_BYTES];
  gpu_access access;
  double count; /* how often it is launched */
} kept;

typedef struct collection {
  const char *pattern;
  kept *list;
  size_t n, capacity;
  double weight; /* of a launch */
  bool failed;   /* memory is short */
} collection;

/* Launches of one kernel, grid and amount of work are the same, whichever the layer. */
static bool same(const kept *k, const gpu_launch *launch, const gpu_access *access) {
  return k->launch.pipeline == launch->pipeline && k->launch.x == launch->x && k->launch.y == launch->y && k->access.ops == access->ops &&
         gpu_access_bytes(&k->access) == gpu_access_bytes(access);
}

static void see(void *user, gpu_cmd *cmd, const gpu_event *event) {
  collection *c = user;
  (void)cmd;
  if (event->kind != GPU_EVENT_DISPATCH || !strstr(event->launch->pipeline->name, c->pattern))
    return;
  for (size_t i = 0; i < c->n; i++)
    if (same(&c->list[i], event->launch, event->access)) {
      c->list[i].count += c->weight;
      return;
    }
  if (c->n == c->capacity) {
    size_t capacity = c->capacity ? 2 * c->capacity : 32;
    kept *list = realloc(c->list, capacity * sizeof *list);
    if (!list) {
      c->failed = true;
      return;
    }
    c->list = list;
    c->capacity = capacity;
  }
  kept *k = &c->list[c->n++];
  *k = (kept){.launch = *event->launch, .access = *event->access, .count = c->weight};
  memcpy(k->push, event->launch->push, event->launch->push_bytes);
}

/* What a launch works on, for people; the push constants are those of shaders/shared.h. */
static void describe(const kept *k, uint32_t depth, char *out, size_t size) {
  const char *name = k->launch.pipeline->name;
  unsigned x = k->launch.x, y = k->launch.y;
  if (strncmp(name, "mat", 3) == 0) {
    struct push_matmul p;
    memcpy(&p, k->push, sizeof p);
    snprintf(out, size, "%u x %u, %u token%s%s%s", p.n_rows, p.n_granules * QUANT_GRANULE, p.n_tokens, p.n_tokens == 1 ? "" : "s",
             p.bias ? ", bias" : "", p.residual ? ", residual" : "");
  } else if (strncmp(name, "attention", 9) == 0) {
    struct push_attention p;
    memcpy(&p, k->push, sizeof p);
    snprintf(out, size, "%u/%u heads of %u, depth %u, %u token%s", p.n_heads, p.n_kv_heads, p.head_dim, depth, p.n_tokens,
             p.n_tokens == 1 ? "" : "s");
  } else if (strncmp(name, "rope_store", 10) == 0) {
    struct push_rope_store p;
    memcpy(&p, k->push, sizeof p);
    snprintf(out, size, "%u/%u heads of %u, %u token%s", p.n_heads, p.n_kv_heads, p.head_dim, y, y == 1 ? "" : "s");
  } else if (strncmp(name, "norm_quant", 10) == 0) {
    struct push_norm p;
    memcpy(&p, k->push, sizeof p);
    snprintf(out, size, "%u, %u token%s", p.n, x, x == 1 ? "" : "s");
  } else {
    snprintf(out, size, "%llu bytes", (unsigned long long)gpu_access_bytes(&k->access));
  }
}

static void record(measure *m, void *data) {
  kept *k = data;
  k->launch.push = k->push;
  gpu_cmd_dispatch(m->cmd, &k->launch, &k->access);
}

static hn_status time_one(measure *m, kept *k, uint32_t depth, bench_result *out, hn_error *err) {
  bench_stat seconds;
  hn_status status = measure_recorded(m, true, record, k, &seconds, err);
  if (status)
    return status;
  bench_kernel *b = bench_add_kernel(out);
  if (!b)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the kernels");
  snprintf(b->module, sizeof b->module, "%s", k->launch.pipeline->name);
  describe(k, depth, b->shape, sizeof b->shape);
  b->us = measure_scaled(seconds, 1e6);
  b->bytes = (double)gpu_access_bytes(&k->access);
  b->ops = (double)k->access.ops;
  /* Integers in floats are limited by the rate of floats. */
  b->integer = !k->access.float_ops && !strstr(b->module, "_intf32");
  return HN_OK;
}

/* Adds the launches of a step, each of which counts `weight`. */
static hn_status collect(subject *s, uint32_t depth, uint32_t n, double weight, collection *c, hn_error *err) {
  c->weight = weight;
  s->cmd->observer = (gpu_observer){.see = see, .user = c};
  hn_status status = subject_eval(s, depth, n, err);
  s->cmd->observer = (gpu_observer){0};
  return !status && c->failed ? hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the kernels") : status;
}

/* The launches of a step that are not there yet, timed while its positions are still in the device's memory. */
static hn_status time_step(measure *m, subject *s, uint32_t depth, uint32_t n, collection *c, bench_result *out, hn_error *err) {
  size_t first = c->n;
  hn_status status = collect(s, depth, n, 1, c, err);
  for (size_t i = first; i < c->n && !status; i++) {
    measure_progress(n == 1 ? "measuring kernels of a token" : "measuring kernels of a prompt", i - first, c->n - first,
                     c->list[i].launch.pipeline->name);
    status = time_one(m, &c->list[i], depth, out, err);
  }
  return status;
}

hn_status kernel_test(measure *m, subject *s, uint32_t depth, uint32_t n_prompt, const char *pattern, bench_result *out, hn_error *err) {
  collection c = {.pattern = pattern};
  hn_status status = time_step(m, s, 0, n_prompt, &c, out, err);
  if (!status)
    status = time_step(m, s, depth, 1, &c, out, err);
  progress_clear();
  if (!status && c.n == 0)
    print_note("no kernel of this model has '%s' in its name", pattern);
  free(c.list);
  return status;
}

/* Adds its time in a step of n tokens, `count` times; launches run again what the step has left in memory. */
static hn_status add_step_time(measure *m, subject *s, uint32_t depth, uint32_t n, uint32_t count, const char *module, double *us, hn_error *err) {
  collection c = {.pattern = module};
  hn_status status = collect(s, depth, n, count, &c, err);
  for (size_t i = 0; i < c.n && !status; i++) {
    bench_stat seconds;
    if (strcmp(c.list[i].launch.pipeline->name, module) != 0) /* one whose name contains it */
      continue;
    status = measure_recorded(m, true, record, &c.list[i], &seconds, err);
    *us += seconds.median * 1e6 * c.list[i].count;
  }
  free(c.list);
  return status;
}

hn_status kernel_time(measure *m, subject *s, uint32_t depth, uint32_t n_prompt, uint32_t n_decode, const char *module, double *us, hn_error *err) {
  *us = 0;
  hn_status status = add_step_time(m, s, 0, n_prompt, 1, module, us, err);
  return status ? status : add_step_time(m, s, depth, 1, n_decode, module, us, err);
}
