/* plan_advice.h: what would fit where a plan does not. */
#ifndef HN_TOOLS_PLAN_ADVICE_H
#define HN_TOOLS_PLAN_ADVICE_H

#include "../runtime/hornito.h"

enum { PLAN_MAX_ADVICE = 4, PLAN_ADVICE_SIZE = 64 };

typedef struct plan_advice {
  char lines[PLAN_MAX_ADVICE][PLAN_ADVICE_SIZE]; /* options of the command line, each enough by itself */
  int n;
} plan_advice;

/* plan: of the model, memory and params; it does not fit. Makes other plans, which takes microseconds each. */
void plan_advise(const hn_model *model, const hn_memory *memory, const hn_plan_params *params, const hn_plan *plan, plan_advice *out);

#endif
