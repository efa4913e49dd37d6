#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "../runtime/sizes.h"
#include "check.h"

typedef struct attention_case {
  check *c;
  cpu_heads heads;
  kv_tokens tokens;
  check_tensor *positions, *q, *q_d, *o;
  check_cache kv;
} attention_case;

static void reference(void *data) {
  const attention_case *a = data;
  const cpu_heads *h = &a->heads;
  float *o = (float *)(void *)a->o->host;
  cpu_cache cache = check_cpu_cache(a->c, &a->kv);
  const uint32_t *positions = (const uint32_t *)(const void *)a->positions->host;
  for (uint32_t t = 0; t < a->tokens.n; t++)
    for (uint32_t head = 0; head < h->n_heads; head++)
      cpu_attention(h, (cpu_query){(int8_t *)a->q->host, (float *)(void *)a->q_d->host}, t, head, &cache,
                    positions[t] + 1, o + ((size_t)t * h->n_heads + head) * h->head_dim);
}

static void launch(void *data) {
  const attention_case *a = data;
  const cpu_heads *h = &a->heads;
  kernel_attention(a->c->cmd, &a->c->kernels, a->c->type,
                   &(struct push_attention){a->positions->at, a->q->at, a->q_d->at, check_at(a->kv.device), check_at(a->kv.host), a->o->at,
                                            h->n_heads, h->n_kv_heads, h->head_dim, a->kv.n_device_blocks,
                                            kv_score_scale(a->c->type, h->head_dim)},
                   &a->tokens);
}

void check_attention(check *c) {
  attention_case a = {.c = c, .heads = check_heads(c), .tokens.n = c->large ? 2 : check_size(c, 1, 5)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  cpu_heads *h = &a.heads;
  uint32_t n_ctx = c->large ? 131072 : check_size(c, a.tokens.n, 300);
  a.positions = check_positions(c, n_ctx, true, &a.tokens);
  uint64_t n_q = (uint64_t)a.tokens.n * h->n_heads;
  a.q = check_in(c, "q", 4 * n_q * HEAD_WORDS(h->head_dim));
  a.q_d = check_in(c, "q_d", 4 * n_q * HEAD_SCALES(h->head_dim));
  a.kv = check_kv(c, check_in, h, n_ctx);
  a.o = check_out(c, "o", 4 * n_q * h->head_dim);
  check_codes(c, (int8_t *)a.q->host, a.q->bytes);
  check_steps(c, (float *)(void *)a.q_d->host, a.q_d->bytes / 4);
  check_fill_kv(c, &a.kv, h);
  snprintf(one.shape, sizeof one.shape, "%u/%u heads of %u, %u tokens at %u of %u", (unsigned)h->n_heads, (unsigned)h->n_kv_heads,
           (unsigned)h->head_dim, (unsigned)a.tokens.n, (unsigned)a.tokens.first, (unsigned)n_ctx);
  check_run(c, &one);
}
