#include "sizes.h"

#include "../loader/quant.h"
#include "../shaders/exact.h"
#include "../shaders/shared.h"
#include "forward.h"

static uint64_t take(uint64_t *end, uint64_t bytes) {
  uint64_t at = *end;
  *end += (bytes + 15) / 16 * 16;
  return at;
}

uint64_t input_bytes(const model_config *c, uint64_t n) {
  return 4 * n * (2 + (uint64_t)c->head_dim);
}

uint64_t host_input_bytes(const model_config *c, uint64_t n) {
  return input_bytes(c, n + STEPS_UNDER_WAY);
}

uint64_t part_bytes(const model_config *c) {
  return 4ull * c->n_heads * (c->head_dim + 2ull);
}

uint64_t counter_bytes(const model_config *c) {
  return 4ull * FEW_TOKENS * (c->n_heads + c->n_kv_heads);
}

activations activations_of(const model_config *c, uint64_t n) {
  uint64_t n_q = (uint64_t)c->n_heads * c->head_dim, n_kv = (uint64_t)c->n_kv_heads * c->head_dim, end = 0;
  uint64_t widest = c->n_embd > c->n_ff ? c->n_embd : c->n_ff;
  widest = widest > n_q ? widest : n_q;
  activations a;
  a.input = take(&end, input_bytes(c, n));
  a.x = take(&end, 4 * n * c->n_embd);
  a.qkv = take(&end, 4 * n * (n_q + 2 * n_kv));
  a.o = take(&end, 4 * n * n_q);
  a.gate = take(&end, 4 * n * c->n_ff);
  a.up = take(&end, 4 * n * c->n_ff);
  a.q = take(&end, 4 * n * c->n_heads * HEAD_WORDS(c->head_dim));
  a.q_d = take(&end, 4 * n * c->n_heads * HEAD_SCALES(c->head_dim));
  a.a_q = take(&end, n * widest);
  a.a_d = take(&end, 4 * n * (widest / ACT_BLOCK));
  a.a_sums = take(&end, 4 * n * (widest / ACT_BLOCK));
  a.h_q = take(&end, c->n_ff);
  a.h_d = take(&end, 4 * (c->n_ff / ACT_BLOCK));
  a.h_sums = take(&end, 4 * (c->n_ff / ACT_BLOCK));
  a.then = take(&end, c->n_layers * sizeof(layer_then));
  a.counters = take(&end, counter_bytes(c));
  a.bytes = end;
  return a;
}

uint64_t logits_bytes(const model_config *c) {
  return 4ull * FORWARD_ALL_MAX * c->n_vocab + 4ull * (1 + STEPS_UNDER_WAY);
}

uint64_t kv_block_bytes(const model_config *c, uint32_t kv_type) {
  return 4ull * c->n_kv_heads * KV_HEAD_WORDS(kv_type == QUANT_Q4_0, c->head_dim);
}

uint32_t kv_blocks(uint32_t n) {
  return (n + KV_BLOCK - 1) / KV_BLOCK;
}

float kv_score_scale(uint32_t kv_type, uint32_t head_dim) {
  float scale = x_rsqrt((float)head_dim);
  return kv_type == QUANT_Q4_0 ? scale * KV_UNMIX(head_dim) : scale;
}
