#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/gpu_upload.h"
#include "../shaders/exact.h"
#include "random_model.h"

#define WAIT_NS 300000000000ull
enum { GUARD = 1024, MAX_SHIFT = 64 };

static const uint8_t patterns[2] = {0xFF, 0x3C}; /* not a number, and a plain one */

static void *must(void *memory) {
  if (!memory) {
    puts("out of memory");
    exit(CHECK_EXIT_MEMORY);
  }
  return memory;
}

/* ---- random ---- */

static uint32_t below(check *c, uint32_t n) {
  return (uint32_t)((random_bits(&c->random) >> 32) % n);
}

uint32_t check_size(check *c, uint32_t lowest, uint32_t highest) {
  uint32_t span = highest - lowest + 1, n = 0;
  switch (below(c, 6)) {
  case 0: return lowest;
  case 1: return highest;
  case 2: n = (1u << below(c, 18)) + below(c, 3) - 1; break; /* around a power of two */
  case 3: n = below(c, 20); break;
  default: return lowest + below(c, span);
  }
  return n < lowest ? lowest : n > highest ? highest : n;
}

/* A magnitude of 2^low .. 2^high, either sign. */
static float magnitude(check *c, int low, int high) {
  uint32_t exponent = (uint32_t)(127 + low) + below(c, (uint32_t)(high - low)), bits = (uint32_t)(random_bits(&c->random) >> 32);
  return x_from_bits((bits & 0x807FFFFFu) | exponent << 23);
}

static float plain(check *c) {
  return (float)(int32_t)(random_bits(&c->random) >> 32) * 0x1p-29f;
}

void check_floats(check *c, float *x, size_t n, int high) {
  for (size_t at = 0; at < n; at += 32) {
    uint32_t style = below(c, 8);
    float same = magnitude(c, -20, high);
    for (size_t i = at; i < n && i < at + 32; i++)
      switch (style) {
      case 0: x[i] = i % 2 ? 0.0f : -0.0f; break;
      case 1: x[i] = magnitude(c, -120, -62); break;
      case 2: x[i] = magnitude(c, high - 1, high); break;
      case 3: x[i] = i % 3 ? same : -same; break;
      case 4: x[i] = magnitude(c, -120, high); break;
      case 5: x[i] = (float)((int)below(c, 255) - 127) * 0.5f; break; /* ties of rounding */
      default: x[i] = plain(c);
      }
  }
}

void check_bytes(check *c, void *out, size_t n) {
  uint64_t bits = 0;
  for (size_t i = 0; i < n; i++, bits >>= 8) {
    if (i % 8 == 0)
      bits = random_bits(&c->random);
    ((uint8_t *)out)[i] = (uint8_t)bits;
  }
}

void check_codes(check *c, int8_t *q, size_t n) {
  check_bytes(c, q, n);
  for (size_t at = 0; at < n; at += 32) {
    uint32_t style = below(c, 12);
    for (size_t i = at; i < n && i < at + 32; i++)
      q[i] = style == 0 ? 127 : style == 1 ? -127 : style == 2 ? 0 : q[i] == -128 ? 127 : q[i];
  }
}

void check_steps(check *c, float *d, size_t n) {
  for (size_t i = 0; i < n; i++)
    switch (below(c, 6)) {
    case 0: d[i] = 0; break;
    case 1: d[i] = X_TINY * X_Q8_STEP; break;
    case 2: d[i] = magnitude(c, -67, 20); break;
    default: d[i] = x_abs(plain(c));
    }
}

/* ---- tensors ---- */

static check_tensor *add_tensor(check *c, const char *name, uint64_t bytes, check_tensor_use use) {
  check_tensor *t = &c->tensors[c->n_tensors++];
  *t = (check_tensor){.name = name, .bytes = bytes, .host = must(calloc(bytes, 1))};
  t->use = use;
  return t;
}

check_tensor *check_in(check *c, const char *name, uint64_t bytes) {
  return add_tensor(c, name, bytes, CHECK_IN);
}

check_tensor *check_out(check *c, const char *name, uint64_t bytes) {
  return add_tensor(c, name, bytes, CHECK_OUT);
}

check_tensor *check_inout(check *c, const char *name, uint64_t bytes) {
  return add_tensor(c, name, bytes, CHECK_INOUT);
}

check_tensor *check_scratch(check *c, const char *name, uint64_t bytes) {
  return add_tensor(c, name, bytes, CHECK_SCRATCH);
}

check_q8 check_act(check *c, check_use use, uint64_t n_blocks) {
  check_tensor *q = use(c, "q", n_blocks * ACT_BLOCK), *d = use(c, "d", n_blocks * 4);
  return (check_q8){q, d, use(c, "sums", n_blocks * 4)};
}

void check_fill_act(check *c, check_q8 rows, uint64_t n_blocks) {
  const int8_t *q = (const int8_t *)rows.q->host;
  int16_t *sums = (int16_t *)(void *)rows.sums->host;
  check_codes(c, (int8_t *)rows.q->host, n_blocks * ACT_BLOCK);
  check_steps(c, (float *)(void *)rows.d->host, n_blocks);
  for (uint64_t i = 0; i < n_blocks * ACT_BLOCK; i++)
    sums[i / 16] = (int16_t)((i % 16 ? sums[i / 16] : 0) + q[i]);
}

check_weights check_matrix(check *c, uint32_t n_rows, uint32_t n_granules) {
  static const char *const names[N_PLANES] = {"w_q", "w_high", "w_scale", "w_d"};
  quant_type_info info = quant_info(c->type);
  uint32_t n_cols = n_granules * QUANT_GRANULE;
  planes p = planes_of(c->type, n_rows, n_granules);
  uint8_t *to[N_PLANES] = {NULL};
  check_weights w = {.gpu = {.type = c->type, .n_rows = n_rows, .n_granules = n_granules},
                     .row_bytes = n_cols / info.block_weights * info.block_bytes};
  w.blocks = must(malloc(n_rows * w.row_bytes));
  check_bytes(c, w.blocks, n_rows * w.row_bytes);
  for (int i = 0; i < N_PLANES; i++)
    if (p.tile_bytes[i]) {
      w.planes[i] = check_in(c, names[i], p.n_tiles * p.tile_bytes[i]);
      to[i] = w.planes[i]->host;
    }
  planes_write(c->type, n_rows, n_cols, w.blocks, to);
  return w;
}

void check_matrix_free(check_weights *w) {
  free(w->blocks);
  w->blocks = NULL;
}

gpu_matrix check_gpu_matrix(const check_weights *w) {
  gpu_matrix m = w->gpu;
  for (int i = 0; i < N_PLANES; i++)
    m.planes[i] = w->planes[i] ? w->planes[i]->at : 0;
  return m;
}

cpu_matrix check_cpu_matrix(const check_weights *w) {
  return (cpu_matrix){w->gpu.type, w->gpu.n_rows, w->gpu.n_granules * QUANT_GRANULE, w->blocks, w->row_bytes};
}

cpu_q8 check_cpu_act(check_q8 rows) {
  return (cpu_q8){(int8_t *)rows.q->host, (float *)(void *)rows.d->host, (int16_t *)(void *)rows.sums->host};
}

check_operands check_product(check *c, uint32_t n_rows, uint32_t large_cols, uint32_t most, uint32_t n_tokens) {
  uint32_t unit = quant_info(c->type).block_weights / QUANT_GRANULE;
  check_operands o = {.n_granules = c->large ? large_cols / QUANT_GRANULE : unit * check_size(c, 1, most / unit)};
  uint64_t n_blocks = (uint64_t)n_tokens * o.n_granules;
  o.w = check_matrix(c, n_rows, o.n_granules);
  o.x = check_act(c, check_in, n_blocks);
  check_fill_act(c, o.x, n_blocks);
  return o;
}

cpu_heads check_heads(check *c) {
  if (c->large) /* Llama-3.1-8B */
    return (cpu_heads){32, 8, 128};
  uint32_t shared = check_size(c, 1, check_size(c, 0, 3) ? 5 : 17), n_kv_heads = check_size(c, 1, 4);
  return (cpu_heads){shared * n_kv_heads, n_kv_heads, check_size(c, 0, 1) ? ACT_BLOCK * check_size(c, 1, 8) : 4 * check_size(c, 2, 64)};
}

check_cache check_kv(check *c, check_use use, const cpu_heads *h, uint32_t n_ctx) {
  uint32_t n_blocks = (n_ctx + KV_BLOCK - 1) / KV_BLOCK;
  uint64_t bytes = 4ull * h->n_kv_heads * KV_HEAD_WORDS(c->kv_type == QUANT_Q4_0, h->head_dim);
  check_cache k = {.n_device_blocks = check_size(c, 0, n_blocks)};
  k.device = k.n_device_blocks ? use(c, "kv_device", k.n_device_blocks * bytes) : NULL;
  k.host = k.n_device_blocks < n_blocks ? use(c, "kv_host", (n_blocks - k.n_device_blocks) * bytes) : NULL;
  return k;
}

/* Any f16 that the cache can hold: not of exponent 31, and negative in Q4_0 alone; often small, so that many positions have weight. */
static void fill_scales(check *c, uint16_t *scales, uint64_t n) {
  uint16_t sign = c->kv_type == QUANT_Q4_0 ? 0x8000 : 0;
  check_bytes(c, scales, 2 * n);
  bool small = check_size(c, 0, 3) != 0;
  for (uint64_t i = 0; i < n; i++)
    scales[i] = (uint16_t)(scales[i] & (sign | (small ? 0x1FFF : (scales[i] & 0x7C00) == 0x7C00 ? 0x3BFF : 0x7FFF)));
}

static void fill_heads(check *c, check_tensor *t, uint32_t head_dim) {
  uint32_t q4 = c->kv_type == QUANT_Q4_0;
  uint64_t values = 4ull * 2 * KV_BLOCK * KV_ROW_WORDS(q4, head_dim), head = 4ull * KV_HEAD_WORDS(q4, head_dim);
  for (uint64_t at = 0; t && at < t->bytes; at += head) {
    if (q4)
      check_bytes(c, t->host + at, values);
    else
      check_codes(c, (int8_t *)t->host + at, values);
    fill_scales(c, (uint16_t *)(void *)(t->host + at + values), (head - values) / 2);
  }
}

void check_fill_kv(check *c, const check_cache *cache, const cpu_heads *h) {
  fill_heads(c, cache->host, h->head_dim);
  fill_heads(c, cache->device, h->head_dim);
}

cpu_cache check_cpu_cache(const check *c, const check_cache *cache) {
  return (cpu_cache){c->kv_type, cache->n_device_blocks, cache->device ? (uint32_t *)(void *)cache->device->host : NULL,
                     cache->host ? (uint32_t *)(void *)cache->host->host : NULL};
}

check_tensor *check_positions(check *c, uint32_t n_ctx, bool any, kv_tokens *tokens) {
  uint32_t n = tokens->n, first = c->large ? n_ctx - n : check_size(c, 0, n_ctx - n), left = n_ctx - first;
  check_tensor *t = check_in(c, "positions", 4ull * n);
  uint32_t *positions = (uint32_t *)(void *)t->host;
  *tokens = (kv_tokens){n, first, first + n};
  for (uint32_t i = 0; i < n; i++)
    positions[i] = first + i;
  if (!any || below(c, 2))
    return t;
  for (uint32_t i = 0; i < n; i++) { /* n of first .. n_ctx - 1, in any order */
    uint32_t lowest = i ? positions[i - 1] + 1 : first;
    positions[i] = lowest + below(c, first + left - (n - 1 - i) - lowest);
  }
  tokens->end = positions[n - 1] + 1;
  for (uint32_t i = n - 1; i > 0; i--) {
    uint32_t j = below(c, i + 1), p = positions[i];
    positions[i] = positions[j];
    positions[j] = p;
  }
  return t;
}

VkDeviceAddress check_at(const check_tensor *t) {
  return t ? t->at : 0;
}

void check_rotation(check *c, check_tensor *t) {
  float *x = (float *)(void *)t->host;
  for (size_t i = 0; i < t->bytes / sizeof *x; i++)
    x[i] = ((float)check_size(c, 0, 65536) - 32768) * 0x1p-15f;
}

void check_scale(check_tensor *t, float factor) {
  float *x = (float *)(void *)t->host;
  for (size_t i = 0; i < t->bytes / sizeof *x; i++)
    x[i] *= factor;
}

static void free_tensors(check *c) {
  for (uint32_t i = 0; i < c->n_tensors; i++) {
    gpu_buffer_finish(c->device, &c->tensors[i].buffer);
    free(c->tensors[i].host);
  }
  c->n_tensors = 0;
}

/* ---- a proof ---- */

typedef struct proof {
  check *c;
  const check_case *one;
  uint8_t *initial[CHECK_MAX_TENSORS]; /* contents before, of what is written; NULL for the pattern */
  uint8_t *first[CHECK_MAX_TENSORS];   /* what the reference wrote in the first pass */
  bool failed;
} proof;

static void complain(proof *p, const char *tensor, const char *what, uint64_t at) {
  if (!p->failed)
    printf("%s: %s, %s: %s: %s (byte %llu)\n", p->c->expects_failure ? "noticed" : "FAILED", p->c->module->name, p->one->shape,
           tensor, what, (unsigned long long)at);
  p->failed = true;
}

/* A buffer per tensor. The start is only as aligned as the kernels ask. In tight mode holes lie between buffers, so that what
 * lies beyond one is not the next. */
static bool place(check *c, gpu_memory_kind kind, bool guarded, hn_error *err) {
  gpu_buffer holes[CHECK_MAX_TENSORS] = {{0}};
  bool ok = true;
  for (uint32_t i = 0; i < c->n_tensors && ok; i++) {
    check_tensor *t = &c->tensors[i];
    uint64_t missing = c->overrun && t->use == CHECK_IN && t->bytes > 16 && !t->whole ? 16 : 0;
    uint64_t before = guarded ? GUARD + 16ull * below(c, MAX_SHIFT / 16) : 0, after = guarded ? GUARD : 0;
    ok = !gpu_buffer_init(c->device, kind, before + t->bytes - missing + after, t->name, &t->buffer, err) &&
         !gpu_buffer_init(c->device, kind, GUARD, "a hole", &holes[i], err);
    t->at = t->buffer.address + before;
  }
  for (uint32_t i = 0; i < c->n_tensors; i++)
    gpu_buffer_finish(c->device, &holes[i]);
  return ok;
}

static uint8_t *mapped(const check_tensor *t) {
  return (uint8_t *)t->buffer.mapped + (t->at - t->buffer.address);
}

void check_put(check_tensor *t, const void *data) {
  memcpy(t->host, data, t->bytes);
  if (t->buffer.mapped)
    memcpy(mapped(t), data, t->bytes);
}

static void see(void *user, gpu_cmd *cmd, const gpu_event *event) {
  check *c = user;
  (void)cmd;
  if (event->kind == GPU_EVENT_DISPATCH) {
    c->access = *event->access;
    c->n_dispatches++;
  }
}

/* Marks the bytes of t in the ranges; what lies in no tensor is complained about. */
static void mark(proof *p, const gpu_range *ranges, uint32_t n, bool writing, const check_tensor *t, uint8_t *map) {
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t run = 0; run < ranges[i].count; run++) {
      VkDeviceAddress at = ranges[i].at + run * ranges[i].stride;
      bool inside = false;
      for (uint32_t j = 0; j < p->c->n_tensors; j++) {
        const check_tensor *u = &p->c->tensors[j];
        bool here = at >= u->at && at - u->at + ranges[i].bytes <= u->bytes && !(writing && u->use == CHECK_IN);
        inside = inside || here;
        if (here && u == t)
          memset(map + (at - t->at), 1, ranges[i].bytes);
      }
      if (!inside)
        complain(p, "declared ranges", writing ? "a write outside of the outputs" : "a read outside of the tensors", run);
    }
}

/* The reference's writes are the declared ones. Those of an output show by the patterns of both passes. */
static void check_writes(proof *p, uint32_t index) {
  const check_tensor *t = &p->c->tensors[index];
  uint8_t *map = must(calloc(t->bytes, 1));
  mark(p, p->c->access.writes, p->c->access.n_writes, true, t, map);
  for (uint64_t i = 0; i < t->bytes; i++) {
    if (t->use == CHECK_INOUT) {
      if (t->host[i] != p->initial[index][i] && !map[i])
        complain(p, t->name, "is written but not declared", i);
      continue;
    }
    bool written = t->host[i] != patterns[1] || p->first[index][i] != patterns[0];
    if (written != map[i])
      complain(p, t->name, written ? "is written but not declared" : "is declared but not written", i);
  }
  free(map);
}

/* Undeclared bytes of inputs are anything. */
static void poison_undeclared(proof *p, const check_tensor *t, uint8_t pattern) {
  uint8_t *map = must(calloc(t->bytes, 1)), *data = mapped(t);
  mark(p, p->c->access.reads, p->c->access.n_reads, false, t, map);
  for (uint64_t i = 0; i < t->bytes; i++)
    if (!map[i]) {
      data[i] = pattern;
      t->host[i] = pattern; /* the reference has been run */
    }
  free(map);
}

static void compare(proof *p, const check_tensor *t, uint8_t pattern) {
  const uint8_t *buffer = t->buffer.mapped, *data = mapped(t);
  uint64_t before = (uint64_t)(data - buffer);
  for (uint64_t i = 0; i < before; i++)
    if (buffer[i] != pattern)
      complain(p, t->name, "is written before its start", before - i);
  for (uint64_t i = before + t->bytes; i < t->buffer.bytes; i++)
    if (buffer[i] != pattern)
      complain(p, t->name, "is written beyond its end", i - before - t->bytes);
  if (t->use == CHECK_SCRATCH || memcmp(data, t->host, t->bytes) == 0)
    return;
  uint64_t i = 0;
  while (data[i] == t->host[i])
    i++;
  complain(p, t->name, t->use == CHECK_IN ? "an input is changed" : "other bits than the reference", i);
}

static void fill(proof *p, uint8_t pattern) {
  check *c = p->c;
  for (uint32_t i = 0; i < c->n_tensors; i++) {
    check_tensor *t = &c->tensors[i];
    if (t->use == CHECK_OUT || t->use == CHECK_SCRATCH)
      memset(t->host, pattern, t->bytes);
    else if (t->use == CHECK_INOUT)
      memcpy(t->host, p->initial[i], t->bytes);
    memset(t->buffer.mapped, pattern, t->buffer.bytes);
    memcpy(mapped(t), t->host, c->overrun ? t->buffer.bytes : t->bytes);
  }
}

static bool pass(proof *p, int which, hn_error *err) {
  check *c = p->c;
  fill(p, patterns[which]);
  p->one->reference(p->one->data);
  c->n_dispatches = 0;
  if (gpu_cmd_begin(c->cmd, err))
    return false;
  p->one->launch(p->one->data);
  if (c->n_dispatches != 1)
    complain(p, "the launch", "records other than one dispatch", c->n_dispatches);
  for (uint32_t i = 0; i < c->n_tensors; i++) {
    check_tensor *t = &c->tensors[i];
    if (t->use == CHECK_IN && which == 1 && !c->overrun)
      poison_undeclared(p, t, patterns[which]);
    else if ((t->use == CHECK_OUT || t->use == CHECK_INOUT) && which == 1)
      check_writes(p, i);
    else if (t->use != CHECK_IN)
      memcpy(p->first[i], t->host, t->bytes);
  }
  if (gpu_cmd_submit_wait(c->cmd, WAIT_NS, err))
    return false;
  for (uint32_t i = 0; i < c->n_tensors && !c->overrun; i++)
    compare(p, &c->tensors[i], patterns[which]);
  return true;
}

static void prove(check *c, const check_case *one) {
  proof p = {.c = c, .one = one};
  hn_error err = {0};
  for (uint32_t i = 0; i < c->n_tensors; i++) {
    check_tensor *t = &c->tensors[i];
    p.initial[i] = t->use == CHECK_INOUT ? memcpy(must(malloc(t->bytes)), t->host, t->bytes) : NULL;
    p.first[i] = t->use != CHECK_IN ? must(malloc(t->bytes)) : NULL;
  }
  c->cmd->observer = (gpu_observer){.see = see, .user = c};
  if (!place(c, GPU_MEMORY_READBACK, !c->tight, &err) || !pass(&p, 0, &err) || !pass(&p, 1, &err)) {
    c->device_failed = true;
    complain(&p, "the device", err.message, 0);
  }
  if (c->device_failed)
    gpu_cmd_destroy(&c->cmd); /* waits for what uses the tensors */
  else
    c->cmd->observer = (gpu_observer){0};
  for (uint32_t i = 0; i < c->n_tensors; i++) {
    free(p.initial[i]);
    free(p.first[i]);
  }
  c->n_failed += p.failed;
}

/* ---- a measurement ---- */

typedef struct timing {
  check *c;
  const check_case *one;
} timing;

static void record(measure *m, void *data) {
  timing *t = data;
  gpu_cmd *own = t->c->cmd;
  t->c->cmd = m->cmd; /* the launch records there */
  t->one->launch(t->one->data);
  t->c->cmd = own;
}

static void time_case(check *c, const check_case *one) {
  hn_error err = {0};
  gpu_upload upload = {0};
  bench_stat seconds = {0};
  timing t = {c, one};
  bool ok = place(c, GPU_MEMORY_DEVICE, false, &err) && !gpu_upload_init(c->device, &upload, &err);
  for (uint32_t i = 0; i < c->n_tensors && ok; i++)
    ok = !gpu_upload_bytes(&upload, c->tensors[i].host, c->tensors[i].bytes, &c->tensors[i].buffer, 0, &err);
  ok = ok && !gpu_upload_wait(&upload, &err);
  c->measure->cmd->observer = (gpu_observer){.see = see, .user = c};
  ok = ok && !measure_recorded(c->measure, true, record, &t, &seconds, &err);
  if (ok) {
    bench_stat us = measure_scaled(seconds, 1e6);
    printf("%-24s %-44s %10.1f us (%.1f .. %.1f)  %7.2f GB/s  %8.2f Gop/s\n", c->module->name, one->shape, us.median, us.min, us.max,
           (double)gpu_access_bytes(&c->access) / seconds.median * 1e-9, (double)c->access.ops / seconds.median * 1e-9);
    c->measure->cmd->observer = (gpu_observer){0};
  } else {
    printf("FAILED: %s: %s\n", c->module->name, err.message);
    gpu_cmd_destroy(&c->measure->cmd); /* waits for what uses the tensors */
    c->device_failed = true;
  }
  c->n_failed += !ok;
  gpu_upload_finish(&upload);
}

void check_run(check *c, const check_case *one) {
  if (c->measure)
    time_case(c, one);
  else
    prove(c, one);
  c->n_cases++;
  free_tensors(c);
}
