#include <stdio.h>

#include "../runtime/kernels_cpu.h"
#include "../shaders/exact.h"
#include "check.h"

typedef struct argmax_case {
  check *c;
  uint32_t n;
  check_tensor *logits, *result;
} argmax_case;

static void reference(void *data) {
  const argmax_case *a = data;
  *(int32_t *)(void *)a->result->host = cpu_argmax((const float *)(const void *)a->logits->host, a->n);
}

static void launch(void *data) {
  const argmax_case *a = data;
  kernel_argmax(a->c->cmd, &a->c->kernels, &(struct push_argmax){a->logits->at, a->result->at, a->n});
}

void check_argmax(check *c) {
  argmax_case a = {.c = c, .n = c->large ? 128256 : check_size(c, 1, 3000)};
  check_case one = {.reference = reference, .launch = launch, .data = &a};
  a.logits = check_in(c, "logits", 4ull * a.n);
  a.result = check_out(c, "result", 4);
  float *x = (float *)(void *)a.logits->host;
  check_floats(c, x, a.n, 100);
  if (check_size(c, 0, 4) == 0) /* logits that an application has forbidden */
    for (uint32_t i = 0; i < a.n; i++)
      x[i] = x_from_bits(0xFF800000u);
  snprintf(one.shape, sizeof one.shape, "%u", (unsigned)a.n);
  check_run(c, &one);
}
