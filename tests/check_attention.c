#include <stdio.h>
#include <stdlib.h>

#include "../runtime/kernels_cpu.h"
#include "../runtime/sizes.h"
#include "check.h"

typedef struct attention_case {
  check *c;
  cpu_heads heads;
  kv_tokens tokens;
  check_tensor *positions, *q, *q_d, *o, *part_o, *part_sums, *counters; /* o: f32; NULL where q8 is written */
  check_q8 act;
  check_cache kv;
} attention_case;

static void reference(void *data) {
  const attention_case *a = data;
  const cpu_heads *h = &a->heads;
  const uint32_t *positions = (const uint32_t *)(const void *)a->positions->host;
  cpu_cache cache = check_cpu_cache(a->c, &a->kv);
  for (uint32_t t = 0; t < a->tokens.n; t++)
    for (uint32_t head = 0; head < h->n_heads; head++) {
      float result[256], *o = a->o ? (float *)(void *)a->o->host + ((size_t)t * h->n_heads + head) * h->head_dim : result;
      cpu_attention(h, (cpu_query){(int8_t *)a->q->host, (float *)(void *)a->q_d->host}, t, head, &cache, positions[t] + 1, o);
      size_t blocks = h->head_dim / ACT_BLOCK, first = (t * h->n_heads + head) * blocks;
      cpu_q8 act = a->o ? (cpu_q8){0} : check_cpu_act(a->act);
      for (size_t b = 0; b < blocks && !a->o; b++)
        cpu_quantize(o + b * ACT_BLOCK, 0, 1, (cpu_q8){act.q + (first + b) * ACT_BLOCK, act.d + first + b, act.sums + 2 * (first + b)});
    }
}

static void launch(void *data) {
  const attention_case *a = data;
  const cpu_heads *h = &a->heads;
  bool f32 = a->o != NULL;
  struct push_attention push = {a->positions->at, a->q->at, a->q_d->at, check_at(a->kv.device), check_at(a->kv.host), check_at(a->o),
                                f32 ? 0 : a->act.q->at, f32 ? 0 : a->act.d->at, f32 ? 0 : a->act.sums->at, check_at(a->part_o),
                                check_at(a->part_sums), check_at(a->counters), h->n_heads, h->n_kv_heads, h->head_dim, a->kv.n_device_blocks,
                                a->tokens.n, kv_score_scale(a->c->type, h->head_dim)};
  (a->c->id == KERNEL_ATTENTION ? kernel_attention : kernel_attention_prompt)(a->c->cmd, &a->c->kernels, a->c->type, &push, &a->tokens);
}

/* What attention needs for itself: room for all parts that there may be, and counters that are zero, and zero again afterwards. */
static void add_scratch(check *c, attention_case *a) {
  uint64_t n_parts = (uint64_t)a->tokens.n * a->heads.n_heads * kv_blocks(a->tokens.end);
  if (c->id != KERNEL_ATTENTION)
    return;
  a->part_o = check_scratch(c, "part_o", 4 * n_parts * a->heads.head_dim);
  a->part_sums = check_scratch(c, "part_sums", 8 * n_parts);
  a->counters = check_inout(c, "counters", 4ull * a->tokens.n * a->heads.n_kv_heads);
}

static uint32_t random_tokens(check *c) {
  bool prompt = c->id == KERNEL_ATTENTION_PROMPT;
  return c->large ? (prompt ? 3 : 2) : check_size(c, 1, prompt ? 25 : 5);
}

void check_attention(check *c) {
  attention_case a = {.c = c, .heads = check_heads(c), .tokens.n = random_tokens(c)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  cpu_heads *h = &a.heads;
  uint32_t n_ctx = c->large ? 131072 : check_size(c, a.tokens.n, 300);
  a.positions = check_positions(c, n_ctx, true, &a.tokens);
  uint64_t n_q = (uint64_t)a.tokens.n * h->n_heads;
  a.q = check_in(c, "q", 4 * n_q * HEAD_WORDS(h->head_dim));
  a.q_d = check_in(c, "q_d", 4 * n_q * HEAD_SCALES(h->head_dim));
  a.kv = check_kv(c, check_in, h, n_ctx);
  if (h->head_dim % ACT_BLOCK || check_size(c, 0, 7) == 0)
    a.o = check_out(c, "o", 4 * n_q * h->head_dim);
  else
    a.act = check_act(c, check_out, n_q * h->head_dim / ACT_BLOCK);
  a.tokens.end = check_size(c, a.tokens.end, n_ctx); /* a step that is recorded for longer contexts */
  add_scratch(c, &a);
  check_codes(c, (int8_t *)a.q->host, a.q->bytes);
  check_steps(c, (float *)(void *)a.q_d->host, a.q_d->bytes / 4);
  check_fill_kv(c, &a.kv, h);
  snprintf(one.shape, sizeof one.shape, "%u/%u heads of %u, %u tokens from %u to %u of %u", (unsigned)h->n_heads, (unsigned)h->n_kv_heads,
           (unsigned)h->head_dim, (unsigned)a.tokens.n, (unsigned)a.tokens.first, (unsigned)a.tokens.end, (unsigned)n_ctx);
  check_run(c, &one);
}
