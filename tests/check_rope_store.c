#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "check.h"

typedef struct rope_case {
  check *c;
  cpu_heads heads;
  kv_tokens tokens;
  check_tensor *positions, *qkv, *rotation, *q, *q_d;
  check_cache kv;
} rope_case;

static void reference(void *data) {
  const rope_case *a = data;
  const cpu_heads *h = &a->heads;
  const float *qkv = (const float *)(const void *)a->qkv->host, *rotation = (const float *)(const void *)a->rotation->host;
  cpu_cache cache = check_cpu_cache(a->c, &a->kv);
  const uint32_t *positions = (const uint32_t *)(const void *)a->positions->host;
  for (uint32_t t = 0; t < a->tokens.n; t++)
    cpu_rope_store(h, qkv + (size_t)t * (h->n_heads + 2 * h->n_kv_heads) * h->head_dim, rotation + (size_t)t * h->head_dim, positions[t], t,
                   (cpu_query){(int8_t *)a->q->host, (float *)(void *)a->q_d->host}, &cache);
}

static void launch(void *data) {
  const rope_case *a = data;
  const cpu_heads *h = &a->heads;
  kernel_rope_store(a->c->cmd, &a->c->kernels, a->c->type,
                    &(struct push_rope_store){a->positions->at, a->rotation->at, a->qkv->at, a->q->at, a->q_d->at, check_at(a->kv.device),
                                              check_at(a->kv.host), h->n_heads, h->n_kv_heads, h->head_dim, a->kv.n_device_blocks},
                    &a->tokens);
}

void check_rope_store(check *c) {
  rope_case a = {.c = c, .heads = check_heads(c), .tokens.n = c->large ? 512 : check_size(c, 1, 9)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  cpu_heads *h = &a.heads;
  uint32_t n_ctx = c->large ? 131072 : check_size(c, a.tokens.n, 300);
  a.positions = check_positions(c, n_ctx, false, &a.tokens); /* what is declared as written must be */
  uint64_t n_q = (uint64_t)a.tokens.n * h->n_heads;
  uint64_t n_all = a.tokens.n * (h->n_heads + 2ull * h->n_kv_heads) * h->head_dim;
  a.qkv = check_in(c, "qkv", 4 * n_all);
  a.rotation = check_in(c, "rotation", 4ull * a.tokens.n * h->head_dim);
  a.q = check_out(c, "q", 4 * n_q * HEAD_WORDS(h->head_dim));
  a.q_d = check_out(c, "q_d", 4 * n_q * HEAD_SCALES(h->head_dim));
  a.kv = check_kv(c, check_out, h, n_ctx);
  check_floats(c, (float *)(void *)a.qkv->host, n_all, 90);
  check_rotation(c, a.rotation);
  snprintf(one.shape, sizeof one.shape, "%u/%u heads of %u, %u tokens at %u of %u", (unsigned)h->n_heads, (unsigned)h->n_kv_heads,
           (unsigned)h->head_dim, (unsigned)a.tokens.n, (unsigned)a.tokens.first, (unsigned)n_ctx);
  check_run(c, &one);
}
