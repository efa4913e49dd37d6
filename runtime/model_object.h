/* model_object.h: what stands behind hn_context and hn_model; shared by hornito.c, text.c, session.c and session_file.c. */
#ifndef HN_MODEL_OBJECT_H
#define HN_MODEL_OBJECT_H

#include "../loader/chat.h"
#include "forward_cpu.h"
#include "forward_gpu.h"

struct hn_context {
  gpu_instance *gpu;
  hn_logger logger;
};

struct hn_model {
  hn_context *context;
  gguf_file *file;
  tokenizer *tok;        /* NULL: a tokenizer this version does not know, see unsupported */
  model_header header;   /* zero if not supported */
  hn_model_info info;
  char *strings[5];      /* of info: terminated copies */
  hn_plan_params plan; /* as wished at loading */
  cpu_weights *cpu; /* device "cpu", or */
  gpu_device *device;
  gpu_weights *gpu;
};

/* n_ctx, with HN_CTX_MAX resolved. */
uint32_t model_n_ctx(const hn_model *model, uint32_t n_ctx);

/* QUANT_Q8_0 or QUANT_Q4_0 */
uint32_t model_kv_type(const hn_model *model);

#endif
