#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "check.h"

typedef struct rope_case {
  check *c;
  cpu_heads heads;
  kv_tokens tokens;
  uint32_t n_rows;
  check_operands in;
  check_tensor *bias, *qkv, *positions, *rotation, *q, *q_d, *then, *counters;
  check_cache kv;
} rope_case;

static const float *floats(const check_tensor *t) {
  return t ? (const float *)(const void *)t->host : NULL;
}

static void reference(void *data) {
  const rope_case *a = data;
  const cpu_heads *h = &a->heads;
  cpu_matrix w = check_cpu_matrix(&a->in.w);
  float *qkv = (float *)(void *)a->qkv->host;
  cpu_cache cache = check_cpu_cache(a->c, &a->kv);
  const uint32_t *positions = (const uint32_t *)(const void *)a->positions->host;
  cpu_matmul(&(cpu_product){&w, check_cpu_act(a->in.x), a->tokens.n, floats(a->bias), NULL, qkv, a->n_rows}, 0, a->n_rows);
  for (uint32_t t = 0; t < a->tokens.n; t++)
    cpu_rope_store(h, qkv + (size_t)t * a->n_rows, floats(a->rotation) + (size_t)t * h->head_dim, positions[t], t,
                   (cpu_query){(int8_t *)a->q->host, (float *)(void *)a->q_d->host}, &cache);
}

static void launch(void *data) {
  const rope_case *a = data;
  const cpu_heads *h = &a->heads;
  gpu_matrix w = check_gpu_matrix(&a->in.w);
  gpu_product p = {{a->in.x.q->at, a->in.x.d->at, a->in.x.sums->at}, check_at(a->bias), 0, a->qkv->at, a->tokens.n, a->n_rows};
  struct then_rope then = {{a->positions->at, a->rotation->at, a->qkv->at, a->q->at, a->q_d->at, check_at(a->kv.device), check_at(a->kv.host),
                            h->n_heads, h->n_kv_heads, h->head_dim, a->kv.n_device_blocks},
                           a->counters->at};
  check_put(a->then, &then);
  kernel_matvec_rope(a->c->cmd, &a->c->kernels, &w, &p, &then, a->then->at, 0, &a->tokens);
}

void check_matvec_rope(check *c) {
  rope_case a = {.c = c, .heads = check_heads(c), .tokens.n = c->large ? 1 : check_size(c, 1, 3)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  cpu_heads *h = &a.heads;
  uint32_t n_ctx = c->large ? 131072 : check_size(c, a.tokens.n, 300);
  a.n_rows = (h->n_heads + 2 * h->n_kv_heads) * h->head_dim;
  uint64_t n_q = (uint64_t)a.tokens.n * h->n_heads;
  a.in = check_product(c, a.n_rows, 4096, 16, a.tokens.n);
  if (check_size(c, 0, 1)) {
    a.bias = check_in(c, "bias", 4ull * a.n_rows);
    check_floats(c, (float *)(void *)a.bias->host, a.n_rows, 60);
  }
  a.positions = check_positions(c, n_ctx, false, &a.tokens);
  a.qkv = check_out(c, "qkv", 4ull * a.tokens.n * a.n_rows);
  a.rotation = check_in(c, "rotation", 4ull * a.tokens.n * h->head_dim);
  a.q = check_out(c, "q", 4 * n_q * HEAD_WORDS(h->head_dim));
  a.q_d = check_out(c, "q_d", 4 * n_q * HEAD_SCALES(h->head_dim));
  a.kv = check_kv(c, check_out, h, n_ctx);
  a.then = check_in(c, "then", sizeof(struct then_rope));
  a.then->whole = true;
  a.counters = check_inout(c, "counters", 4ull * a.tokens.n * (h->n_heads + h->n_kv_heads));
  check_rotation(c, a.rotation);
  snprintf(one.shape, sizeof one.shape, "%u/%u heads of %u, K %u, %u tokens at %u of %u%s", (unsigned)h->n_heads, (unsigned)h->n_kv_heads,
           (unsigned)h->head_dim, (unsigned)(a.in.n_granules * QUANT_GRANULE), (unsigned)a.tokens.n, (unsigned)a.tokens.first, (unsigned)n_ctx,
           a.bias ? ", bias" : "");
  check_run(c, &one);
  check_matrix_free(&a.in.w);
}
