#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "check.h"

typedef struct swiglu_case {
  check *c;
  uint32_t n_blocks;
  check_tensor *gate, *up;
  check_q8 out;
} swiglu_case;

static void reference(void *data) {
  const swiglu_case *a = data;
  cpu_swiglu_quant((const float *)(const void *)a->gate->host, (const float *)(const void *)a->up->host, 0, a->n_blocks,
                   check_cpu_act(a->out));
}

static void launch(void *data) {
  const swiglu_case *a = data;
  kernel_swiglu_quant(a->c->cmd, &a->c->kernels,
                      &(struct push_swiglu){a->gate->at, a->up->at, a->out.q->at, a->out.d->at, a->out.sums->at, a->n_blocks});
}

void check_swiglu_quant(check *c) {
  swiglu_case a = {.c = c, .n_blocks = c->large ? 512 * 14336 / ACT_BLOCK : check_size(c, 1, 700)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  a.gate = check_in(c, "gate", 4ull * ACT_BLOCK * a.n_blocks);
  a.up = check_in(c, "up", 4ull * ACT_BLOCK * a.n_blocks);
  a.out = check_act(c, check_out, a.n_blocks);
  /* Products below 2^100, the range of x_rcp. */
  check_floats(c, (float *)(void *)a.gate->host, (size_t)a.n_blocks * ACT_BLOCK, 48);
  check_floats(c, (float *)(void *)a.up->host, (size_t)a.n_blocks * ACT_BLOCK, 48);
  snprintf(one.shape, sizeof one.shape, "%u blocks", (unsigned)a.n_blocks);
  check_run(c, &one);
}
