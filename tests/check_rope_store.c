#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "check.h"

typedef struct rope_case {
  check *c;
  cpu_heads heads;
  uint32_t n_tokens, first;
  check_tensor *qkv, *rotation, *q, *q_d, *k_q, *v_q, *scales;
} rope_case;

static void reference(void *data) {
  const rope_case *a = data;
  const cpu_heads *h = &a->heads;
  const float *qkv = (const float *)(const void *)a->qkv->host, *rotation = (const float *)(const void *)a->rotation->host;
  for (uint32_t t = 0; t < a->n_tokens; t++)
    cpu_rope_store(h, qkv + (size_t)t * (h->n_heads + 2 * h->n_kv_heads) * h->head_dim, rotation + (size_t)t * h->head_dim, a->first + t, t,
                   (cpu_query){(int8_t *)a->q->host, (float *)(void *)a->q_d->host},
                   (cpu_cache){(int8_t *)a->k_q->host, (int8_t *)a->v_q->host, (uint16_t *)(void *)a->scales->host});
}

static void launch(void *data) {
  const rope_case *a = data;
  const cpu_heads *h = &a->heads;
  kernel_rope_store(a->c->cmd, &a->c->kernels,
                    &(struct push_rope_store){a->qkv->at, a->rotation->at, a->q->at, a->q_d->at, a->k_q->at, a->v_q->at, a->scales->at,
                                              h->n_heads, h->n_kv_heads, h->head_dim, h->n_ctx, a->first},
                    a->n_tokens);
}

void check_rope_store(check *c) {
  rope_case a = {.c = c, .heads = check_heads(c), .n_tokens = c->large ? 512 : check_size(c, 1, 9)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  cpu_heads *h = &a.heads;
  h->n_ctx = h->n_ctx < a.n_tokens ? a.n_tokens : h->n_ctx;
  a.first = check_size(c, 0, h->n_ctx - a.n_tokens);
  uint64_t n_q = (uint64_t)a.n_tokens * h->n_heads, n_kv = (uint64_t)h->n_kv_heads * h->n_ctx;
  uint64_t n_all = a.n_tokens * (h->n_heads + 2ull * h->n_kv_heads) * h->head_dim;
  a.qkv = check_in(c, "qkv", 4 * n_all);
  a.rotation = check_in(c, "rotation", 4ull * a.n_tokens * h->head_dim);
  a.q = check_out(c, "q", 4 * n_q * HEAD_WORDS(h->head_dim));
  a.q_d = check_out(c, "q_d", 4 * n_q * HEAD_SCALES(h->head_dim));
  a.k_q = check_out(c, "k_q", 4 * n_kv * HEAD_WORDS(h->head_dim));
  a.v_q = check_out(c, "v_q", 4 * n_kv * HEAD_WORDS(h->head_dim));
  a.scales = check_out(c, "scales", 4 * n_kv * SCALE_WORDS(h->head_dim));
  check_floats(c, (float *)(void *)a.qkv->host, n_all, 90);
  float *rotation = (float *)(void *)a.rotation->host;
  for (size_t i = 0; i < (size_t)a.n_tokens * h->head_dim; i++) /* -1 .. 1, the bounds among them */
    rotation[i] = ((float)check_size(c, 0, 65536) - 32768) * 0x1p-15f;
  snprintf(one.shape, sizeof one.shape, "%u/%u heads of %u, %u tokens at %u of %u", (unsigned)h->n_heads, (unsigned)h->n_kv_heads,
           (unsigned)h->head_dim, (unsigned)a.n_tokens, (unsigned)a.first, (unsigned)h->n_ctx);
  check_run(c, &one);
}
