#include "llama_8b.h"

#include "../../loader/quant.h"

enum { N_EMBD = 4096, N_FF = 14336, N_KV = 1024, N_VOCAB = 128256 };

static const gguf_tensor *tensor(llama_8b *m, const char *name, uint32_t type, uint64_t cols, uint64_t rows) {
  gguf_tensor *t = &m->tensors[m->n_tensors++];
  quant_type_info info = quant_info(type);
  *t = (gguf_tensor){.name = name, .type = type, .n_dims = rows > 1 ? 2 : 1, .dims = {cols, rows, 1, 1},
                     .bytes = cols * rows / info.block_weights * info.block_bytes};
  return t;
}

/* Which layers of a Q4_K_M file have Q6_K in v and down. */
static bool has_more_bits(uint32_t i, uint32_t n) {
  return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static model_layer layer(llama_8b *m, uint32_t type, uint32_t wide) {
  model_layer l = {0};
  l.matrices[WQ] = tensor(m, "attn_q", type, N_EMBD, N_EMBD);
  l.matrices[WK] = tensor(m, "attn_k", type, N_EMBD, N_KV);
  l.matrices[WV] = tensor(m, "attn_v", wide, N_EMBD, N_KV);
  l.matrices[WO] = tensor(m, "attn_output", type, N_EMBD, N_EMBD);
  l.matrices[W_GATE] = tensor(m, "ffn_gate", type, N_EMBD, N_FF);
  l.matrices[W_UP] = tensor(m, "ffn_up", type, N_EMBD, N_FF);
  l.matrices[W_DOWN] = tensor(m, "ffn_down", wide, N_FF, N_EMBD);
  l.vectors[ATTN_NORM] = tensor(m, "attn_norm", QUANT_F32, N_EMBD, 1);
  l.vectors[FFN_NORM] = tensor(m, "ffn_norm", QUANT_F32, N_EMBD, 1);
  return l;
}

void llama_8b_init(llama_8b *out, uint32_t type) {
  *out = (llama_8b){0};
  out->header.config = (model_config){.n_vocab = N_VOCAB, .n_ctx_train = 131072, .n_embd = N_EMBD, .n_layers = LLAMA_8B_LAYERS, .n_heads = 32,
                                      .n_kv_heads = 8, .head_dim = 128, .n_ff = N_FF};
  for (uint32_t i = 0; i < LLAMA_8B_LAYERS; i++)
    out->layers[i] = layer(out, type, type == QUANT_Q4_K && has_more_bits(i, LLAMA_8B_LAYERS) ? QUANT_Q6_K : type);
  out->header.tensors = (model_tensors){.tok_embd = tensor(out, "token_embd", type, N_EMBD, N_VOCAB),
                                        .output_norm = tensor(out, "output_norm", QUANT_F32, N_EMBD, 1),
                                        .output = tensor(out, "output", QUANT_Q6_K, N_EMBD, N_VOCAB),
                                        .layers = out->layers};
}
