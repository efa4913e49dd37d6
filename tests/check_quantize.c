#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "check.h"

typedef struct quantize_case {
  check *c;
  uint32_t n_blocks;
  check_tensor *x;
  check_q8 out;
} quantize_case;

static void reference(void *data) {
  const quantize_case *a = data;
  cpu_quantize((const float *)(const void *)a->x->host, 0, a->n_blocks, check_cpu_act(a->out));
}

static void launch(void *data) {
  const quantize_case *a = data;
  kernel_quantize(a->c->cmd, &a->c->kernels, &(struct push_quantize){a->x->at, a->out.q->at, a->out.d->at, a->out.sums->at, a->n_blocks});
}

void check_quantize(check *c) {
  quantize_case a = {.c = c, .n_blocks = c->large ? 512 * 4096 / ACT_BLOCK : check_size(c, 1, 700)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  a.x = check_in(c, "x", 4ull * ACT_BLOCK * a.n_blocks);
  a.out = check_act(c, check_out, a.n_blocks);
  check_floats(c, (float *)(void *)a.x->host, (size_t)a.n_blocks * ACT_BLOCK, 100);
  snprintf(one.shape, sizeof one.shape, "%u blocks", (unsigned)a.n_blocks);
  check_run(c, &one);
}
