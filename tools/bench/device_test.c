#include "device_test.h"

#include <stdio.h>

#include "../library.h"
#include "../terminal.h"

enum {
  GROUPS = 4096, LANES = 256,   /* of a measurement, and of a workgroup */
  OPS_INT8 = 256, OPS_F32 = 64, /* per invocation and loop: see the shaders */
  CHAIN = 64,                   /* dispatches whose time is divided by their number */
  TRANSFER_BYTES = 64 << 20, MAX_LOOPS = 1 << 20
};
#define BUFFER_BYTES ((uint64_t)512 << 20)   /* several times the caches of a GPU */
#define SOFTWARE_BYTES ((uint64_t)128 << 20) /* and of most CPUs */
#define ENOUGH_SECONDS 0.02                  /* of arithmetic, against which a launch is nothing */

struct bench_push { /* shaders/push.glsl */
  VkDeviceAddress from, to;
  uint32_t n, loops;
};

static const uint32_t read_words[] =
#include "read.inc"
    ;
static const uint32_t write_words[] =
#include "write.inc"
    ;
static const uint32_t copy_words[] =
#include "copy.inc"
    ;
static const uint32_t int8_words[] =
#include "int8.inc"
    ;
static const uint32_t f32_words[] =
#include "f32.inc"
    ;
static const uint32_t empty_words[] =
#include "empty.inc"
    ;

typedef enum shader { READ, WRITE, COPY, INT8, F32, EMPTY, N_SHADERS } shader;

static const struct {
  const char *name;
  const uint32_t *words;
  size_t n_words;
} sources[N_SHADERS] = {
    {"read", read_words, sizeof read_words / 4}, {"write", write_words, sizeof write_words / 4}, {"copy", copy_words, sizeof copy_words / 4},
    {"int8", int8_words, sizeof int8_words / 4}, {"f32", f32_words, sizeof f32_words / 4},       {"empty", empty_words, sizeof empty_words / 4},
};

typedef struct tester {
  measure *m;
  gpu_pipeline pipelines[N_SHADERS];
  gpu_buffer from, to, host, readback;
  hn_error *err;
} tester;

static hn_status init(tester *t) {
  gpu_device *d = t->m->device;
  uint64_t most = d->info.type == HN_DEVICE_SOFTWARE ? SOFTWARE_BYTES : BUFFER_BYTES, bytes = d->info.device_memory / 8;
  bytes = bytes < most ? bytes : most;
  bytes = bytes < d->info.max_allocation_bytes ? bytes : d->info.max_allocation_bytes;
  bytes = bytes / 4096 * 4096;
  hn_status status = gpu_buffer_init(d, GPU_MEMORY_DEVICE, bytes, "a buffer to read", &t->from, t->err);
  if (!status)
    status = gpu_buffer_init(d, GPU_MEMORY_DEVICE, bytes, "a buffer to write", &t->to, t->err);
  if (!status)
    status = gpu_buffer_init(d, GPU_MEMORY_HOST, TRANSFER_BYTES, "a buffer of the host", &t->host, t->err);
  if (!status)
    status = gpu_buffer_init(d, GPU_MEMORY_READBACK, TRANSFER_BYTES, "a buffer of the host", &t->readback, t->err);
  for (int i = 0; i < N_SHADERS && !status; i++)
    status = gpu_pipeline_init(d, sources[i].name, sources[i].words, sources[i].n_words, NULL, 0, 0, &t->pipelines[i], t->err);
  return status;
}

static void finish(tester *t) {
  gpu_buffer *buffers[] = {&t->from, &t->to, &t->host, &t->readback};
  for (int i = 0; i < N_SHADERS; i++)
    gpu_pipeline_finish(t->m->device, &t->pipelines[i]);
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
    gpu_buffer_finish(t->m->device, buffers[i]);
}

/* ---- what is recorded ---- */

typedef struct job {
  const tester *t;
  shader shader;
  struct bench_push push;
  uint32_t n_groups, n_dispatches;
  bool barriers; /* one behind every dispatch */
  const gpu_buffer *from, *to; /* of a copy between memories */
} job;

static void record_dispatches(measure *m, void *data) {
  const job *j = data;
  gpu_access none = {0};
  gpu_launch launch = {&j->t->pipelines[j->shader], &j->push, sizeof j->push, j->n_groups, 1};
  for (uint32_t i = 0; i < j->n_dispatches; i++) {
    gpu_cmd_dispatch(m->cmd, &launch, &none);
    if (j->barriers)
      gpu_cmd_barrier(m->cmd);
  }
}

static void record_copy(measure *m, void *data) {
  const job *j = data;
  gpu_cmd_copy(m->cmd, j->from, 0, j->to, 0, TRANSFER_BYTES);
}

/* ---- measurements ---- */

static hn_status bandwidth(tester *t, shader which, double passes, bench_stat *gb_s) {
  bench_stat seconds;
  uint64_t n = t->from.bytes / 16;
  job j = {.t = t, .shader = which, .push = {t->from.address, which == WRITE ? t->from.address : t->to.address, (uint32_t)n, 0},
           .n_groups = GROUPS, .n_dispatches = 1};
  hn_status status = measure_recorded(t->m, false, record_dispatches, &j, &seconds, t->err);
  *gb_s = measure_rate(seconds, passes * 16 * (double)n, 1e9);
  return status;
}

static hn_status transfer(tester *t, const gpu_buffer *from, const gpu_buffer *to, bench_stat *gb_s) {
  bench_stat seconds;
  job j = {.from = from, .to = to};
  hn_status status = measure_recorded(t->m, false, record_copy, &j, &seconds, t->err);
  *gb_s = measure_rate(seconds, (double)TRANSFER_BYTES, 1e9);
  return status;
}

/* Twice as many loops until a run takes long enough. */
static hn_status rate(tester *t, shader which, double ops, uint32_t operand, bench_stat *g_s) {
  bench_stat seconds = {0};
  job j = {.t = t, .shader = which, .push = {0, t->to.address, operand, 4}, .n_groups = GROUPS / 4, .n_dispatches = 1};
  measure once = *t->m;
  once.runs = 1;
  hn_status status = measure_recorded(&once, false, record_dispatches, &j, &seconds, t->err);
  while (!status && seconds.median < ENOUGH_SECONDS && j.push.loops < MAX_LOOPS) {
    j.push.loops *= 2;
    status = measure_recorded(&once, false, record_dispatches, &j, &seconds, t->err);
  }
  if (!status)
    status = measure_recorded(t->m, false, record_dispatches, &j, &seconds, t->err);
  *g_s = measure_rate(seconds, ops * j.push.loops * (double)LANES * j.n_groups, 1e9);
  return status;
}

/* A run is CHAIN times n dispatches of one workgroup, and microseconds of the n. */
static hn_status latency(tester *t, uint32_t n, bool barriers, bench_stat *us) {
  bench_stat seconds;
  job j = {.t = t, .shader = EMPTY, .push = {0, t->to.address, 0, 0}, .n_groups = 1, .n_dispatches = CHAIN * n, .barriers = barriers};
  hn_status status = measure_recorded(t->m, false, record_dispatches, &j, &seconds, t->err);
  *us = measure_scaled(seconds, 1e6 / (double)CHAIN);
  return status;
}

static hn_status run(tester *t, bench_device *out) {
  const uint32_t small_float = 0x3F000000u; /* 0.5: the sums converge to 1 */
  enum { N_STEPS = 9 };
  hn_status status = init(t);
  for (int step = 0; step < N_STEPS && !status; step++) {
    measure_progress("measuring the device", (uint64_t)step, N_STEPS, "");
    switch (step) {
    case 0: status = bandwidth(t, WRITE, 1, &out->write_gb_s); break;
    case 1: status = bandwidth(t, READ, 1, &out->read_gb_s); break;
    case 2: status = bandwidth(t, COPY, 2, &out->copy_gb_s); break;
    case 3: status = rate(t, INT8, OPS_INT8, 0x01FF7F03u, &out->int8_gop_s); break;
    case 4: status = rate(t, F32, OPS_F32, small_float, &out->f32_gflop_s); break;
    case 5: status = latency(t, 1, false, &out->dispatch_us); break;
    case 6: status = latency(t, 2, true, &out->dependent_us); break;
    case 7: status = transfer(t, &t->host, &t->from, &out->upload_gb_s); break;
    default: status = transfer(t, &t->from, &t->readback, &out->download_gb_s);
    }
  }
  progress_clear();
  return status;
}

void device_describe(const measure *m, bench_device *out) {
  const hn_device_info *info = &m->device->info;
  *out = (bench_device){.gpu_clock = m->timer.pool != VK_NULL_HANDLE};
  snprintf(out->name, sizeof out->name, "%s", info->name);
  snprintf(out->driver, sizeof out->driver, "%s", info->driver);
  snprintf(out->type, sizeof out->type, "%s", device_type_name(info->type));
}

hn_status device_test(measure *m, bench_device *out, hn_error *err) {
  tester t = {.m = m, .err = err};
  device_describe(m, out);
  hn_status status = run(&t, out);
  if (status)
    gpu_cmd_destroy(&m->cmd); /* waits for what uses the tester's buffers */
  finish(&t);
  return status;
}
