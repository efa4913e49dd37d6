/* forward_cpu.h: the forward pass in C, on threads. The specification of the results. */
#ifndef HN_FORWARD_CPU_H
#define HN_FORWARD_CPU_H

#include "forward.h"

/* What the CPU needs of a model beyond the file's mapping: immutable, shared by sessions. */
typedef struct cpu_weights cpu_weights;

/* The header and its file must outlive the weights. Errors: OUT_OF_MEMORY, CANCELLED (progress returned false). */
hn_status cpu_weights_create(const model_header *model, hn_progress_fn progress, void *user, cpu_weights **out, hn_error *err);
void cpu_weights_destroy(cpu_weights **weights);

/* Errors: OUT_OF_MEMORY. */
hn_status forward_cpu_create(const cpu_weights *weights, const forward_params *params, forward **out, hn_error *err);

#endif
