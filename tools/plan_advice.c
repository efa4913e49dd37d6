/* plan_advice.c: see plan_advice.h. */
#include "plan_advice.h"

#include <inttypes.h>
#include <stdio.h>

#define MIB ((uint64_t)1 << 20)

enum { CTX_STEP = 64 }; /* tokens; advised contexts are multiples of it */

typedef struct search {
  const hn_model *model;
  const hn_memory *memory;
  const hn_plan *plan; /* that does not fit */
} search;

/* Where the host's memory is the device's too, going there does not count. */
static bool would_fit(const search *s, hn_plan_params params) {
  hn_error err = {0};
  hn_plan *p = NULL;
  bool fits = hn_model_plan(s->model, s->memory, &params, &p, &err) == HN_OK && p->fits &&
              !(s->memory->unified && (p->n_host_layers > 0 || p->n_host_positions > 0));
  hn_plan_destroy(&p);
  return fits;
}

/* The largest multiple of CTX_STEP below that of the plan; 0: none. */
static uint32_t longest_context(const search *s, hn_plan_params params) {
  uint32_t low = 0, high = (s->plan->n_ctx - 1) / CTX_STEP;
  while (low < high) {
    params.n_ctx = (low + (high - low + 1) / 2) * CTX_STEP;
    if (would_fit(s, params))
      low = params.n_ctx / CTX_STEP;
    else
      high = params.n_ctx / CTX_STEP - 1;
  }
  return low * CTX_STEP;
}

/* In MiB, above that of the plan; 0: none. */
static uint64_t least_budget(const search *s, hn_plan_params params) {
  uint64_t low = s->plan->budget_bytes / MIB, high = s->memory->device_free / MIB;
  params.vram_budget = high * MIB;
  if (high <= low || !would_fit(s, params))
    return 0;
  while (low + 1 < high) {
    uint64_t middle = low + (high - low) / 2;
    params.vram_budget = middle * MIB;
    *(would_fit(s, params) ? &high : &low) = middle;
  }
  return high;
}

static char *next(plan_advice *out) {
  return out->lines[out->n++];
}

void plan_advise(const hn_model *model, const hn_memory *memory, const hn_plan_params *params, const hn_plan *plan, plan_advice *out) {
  const search s = {model, memory, plan};
  hn_plan_params p = *params, small = p;
  small.kv_type = HN_KV_Q4_0;
  bool smaller = p.kv_type != HN_KV_Q4_0;
  uint32_t n_ctx = longest_context(&s, p), n_small = smaller ? longest_context(&s, small) : 0;
  uint64_t budget = least_budget(&s, p);
  *out = (plan_advice){.n = 0};
  if (n_ctx > 0)
    snprintf(next(out), PLAN_ADVICE_SIZE, "--ctx %u", (unsigned)n_ctx);
  if (smaller && would_fit(&s, small))
    snprintf(next(out), PLAN_ADVICE_SIZE, "--kv q4_0");
  else if (n_small > n_ctx)
    snprintf(next(out), PLAN_ADVICE_SIZE, "--kv q4_0 --ctx %u", (unsigned)n_small);
  if (budget > 0)
    snprintf(next(out), PLAN_ADVICE_SIZE, "--vram-budget %" PRIu64 "MiB", budget);
}
