#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "../shaders/exact.h"
#include "check.h"

typedef struct attention_case {
  check *c;
  cpu_heads heads;
  uint32_t n_tokens, first;
  check_tensor *q, *q_d, *k_q, *v_q, *scales, *o;
} attention_case;

static void reference(void *data) {
  const attention_case *a = data;
  const cpu_heads *h = &a->heads;
  float *o = (float *)(void *)a->o->host;
  for (uint32_t t = 0; t < a->n_tokens; t++)
    for (uint32_t head = 0; head < h->n_heads; head++)
      cpu_attention(h, (cpu_query){(int8_t *)a->q->host, (float *)(void *)a->q_d->host}, t, head,
                    (cpu_cache){(int8_t *)a->k_q->host, (int8_t *)a->v_q->host, (uint16_t *)(void *)a->scales->host}, a->first + t + 1,
                    o + ((size_t)t * h->n_heads + head) * h->head_dim);
}

static void launch(void *data) {
  const attention_case *a = data;
  const cpu_heads *h = &a->heads;
  kernel_attention(a->c->cmd, &a->c->kernels,
                   &(struct push_attention){a->q->at, a->q_d->at, a->k_q->at, a->v_q->at, a->scales->at, a->o->at, h->n_heads,
                                            h->n_kv_heads, h->head_dim, h->n_ctx, a->first, x_rsqrt((float)h->head_dim)},
                   a->n_tokens);
}

/* Any f16 that the cache can hold, so neither negative nor of exponent 31; often small, so that many positions have weight. */
static void fill_scales(check *c, uint16_t *scales, uint64_t n) {
  check_bytes(c, scales, 2 * n);
  bool small = check_size(c, 0, 3) != 0;
  for (uint64_t i = 0; i < n; i++)
    scales[i] = (uint16_t)(small ? scales[i] & 0x1FFF : (scales[i] & 0x7C00) == 0x7C00 ? scales[i] & 0x3BFF : scales[i] & 0x7FFF);
}

void check_attention(check *c) {
  attention_case a = {.c = c, .heads = check_heads(c), .n_tokens = c->large ? 2 : check_size(c, 1, 5)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  cpu_heads *h = &a.heads;
  h->n_ctx = h->n_ctx < a.n_tokens ? a.n_tokens : h->n_ctx;
  a.first = c->large ? h->n_ctx - a.n_tokens : check_size(c, 0, h->n_ctx - a.n_tokens);
  uint64_t n_q = (uint64_t)a.n_tokens * h->n_heads, n_kv = (uint64_t)h->n_kv_heads * h->n_ctx;
  a.q = check_in(c, "q", 4 * n_q * HEAD_WORDS(h->head_dim));
  a.q_d = check_in(c, "q_d", 4 * n_q * HEAD_SCALES(h->head_dim));
  a.k_q = check_in(c, "k_q", 4 * n_kv * HEAD_WORDS(h->head_dim));
  a.v_q = check_in(c, "v_q", 4 * n_kv * HEAD_WORDS(h->head_dim));
  a.scales = check_in(c, "scales", 4 * n_kv * SCALE_WORDS(h->head_dim));
  a.o = check_out(c, "o", 4 * n_q * h->head_dim);
  check_codes(c, (int8_t *)a.q->host, a.q->bytes);
  check_steps(c, (float *)(void *)a.q_d->host, a.q_d->bytes / 4);
  check_codes(c, (int8_t *)a.k_q->host, a.k_q->bytes);
  check_codes(c, (int8_t *)a.v_q->host, a.v_q->bytes);
  fill_scales(c, (uint16_t *)(void *)a.scales->host, a.scales->bytes / 2);
  snprintf(one.shape, sizeof one.shape, "%u/%u heads of %u, %u tokens at %u of %u", (unsigned)h->n_heads, (unsigned)h->n_kv_heads,
           (unsigned)h->head_dim, (unsigned)a.n_tokens, (unsigned)a.first, (unsigned)h->n_ctx);
  check_run(c, &one);
}
