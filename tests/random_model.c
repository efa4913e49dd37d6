#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shaders/exact.h"
#include "gguf_writer.h"

enum { N_CTX = 512, SUBNORMAL_ONE_IN = 16 };

uint64_t random_bits(uint64_t *state) {
  uint64_t x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * 0x2545F4914F6CDD1Du;
}

static float uniform(uint64_t *state, float low, float high) {
  return low + (high - low) * (float)(random_bits(state) >> 40) * 0x1p-24f;
}

static void put_f16(uint8_t *out, float x) {
  uint32_t h = x_f32_to_f16(x);
  out[0] = (uint8_t)h;
  out[1] = (uint8_t)(h >> 8);
}

/* ---- blocks ---- */

typedef struct block_kind {
  size_t d, m;     /* where f16 d and the minimum's factor stand in a block; m 0: there is none */
  float spread;    /* standard deviation of a weight with d = 1 */
  float to_middle; /* the minimum's factor that makes the mean 0, with d = 1 */
} block_kind;

static block_kind kind_of(quant_type type) {
  switch (type) {
  case QUANT_Q4_0: return (block_kind){.spread = 4.6f};
  case QUANT_Q4_1: return (block_kind){.m = 2, .spread = 4.6f, .to_middle = -7.5f};
  case QUANT_Q5_0: return (block_kind){.spread = 9.2f};
  case QUANT_Q5_1: return (block_kind){.m = 2, .spread = 9.2f, .to_middle = -15.5f};
  case QUANT_Q8_0: return (block_kind){.spread = 74};
  case QUANT_Q4_K: return (block_kind){.m = 2, .spread = 250, .to_middle = 7.5f};
  case QUANT_Q5_K: return (block_kind){.m = 2, .spread = 500, .to_middle = 15.5f};
  default: return (block_kind){.d = 208, .spread = 1370}; /* Q6_K */
  }
}

static void fill_block(quant_type type, size_t bytes, float deviation, uint64_t *state, uint8_t *out) {
  block_kind kind = kind_of(type);
  for (size_t i = 0; i < bytes; i++)
    out[i] = (uint8_t)(random_bits(state) >> 32);
  float d = deviation / kind.spread * uniform(state, 0.7f, 1.3f);
  if (random_bits(state) % 2)
    d = -d;
  if (random_bits(state) % SUBNORMAL_ONE_IN == 0)
    d = (float)(random_bits(state) % 1024) * 0x1p-24f;
  put_f16(out + kind.d, d);
  if (kind.m)
    put_f16(out + kind.m, d * kind.to_middle);
}

static void fill_plain(quant_type type, float deviation, uint64_t *state, uint8_t *out) {
  float x = uniform(state, -1.7f, 1.7f) * deviation;
  uint32_t bits = x_bits(x);
  if (type == QUANT_F32)
    memcpy(out, &x, sizeof x);
  else if (type == QUANT_F16)
    put_f16(out, x);
  else
    memcpy(out, (uint8_t *)&bits + 2, 2); /* BF16: the upper half, on little-endian machines */
}

/* ---- tensors ---- */

typedef struct writing {
  gguf_writer w;
  uint64_t state;
} writing;

static void add_matrix(writing *f, const char *name, quant_type type, uint32_t n_cols, uint32_t n_rows) {
  quant_type_info info = quant_info(type);
  size_t n_blocks = (size_t)n_cols * n_rows / info.block_weights, bytes = n_blocks * info.block_bytes;
  float deviation = 1 / sqrtf((float)n_cols);
  uint8_t *data = malloc(bytes);
  if (!data)
    exit(99);
  for (size_t i = 0; i < n_blocks; i++)
    if (quant_is_quantized(type))
      fill_block(type, info.block_bytes, deviation, &f->state, data + i * info.block_bytes);
    else
      fill_plain(type, deviation, &f->state, data + i * info.block_bytes);
  writer_tensor(&f->w, name, type, n_cols, n_rows, data, bytes);
  free(data);
}

static void add_vector(writing *f, const char *name, uint32_t n, float low, float high) {
  float *data = malloc(n * sizeof *data);
  if (!data)
    exit(99);
  for (uint32_t i = 0; i < n; i++)
    data[i] = uniform(&f->state, low, high);
  writer_tensor(&f->w, name, QUANT_F32, n, 0, data, n * sizeof *data);
  free(data);
}

static void add_layer(writing *f, const random_model *m, uint32_t layer) {
  uint32_t n_q = m->n_heads * m->head_dim, n_kv = m->n_kv_heads * m->head_dim;
  quant_type v = m->v ? m->v : m->type, down = m->down ? m->down : m->type;
  char name[64];
#define NAME(part) (snprintf(name, sizeof name, "blk.%u." part, (unsigned)layer), name)
  add_vector(f, NAME("attn_norm.weight"), m->n_embd, 0.5f, 1.5f);
  add_matrix(f, NAME("attn_q.weight"), m->type, m->n_embd, n_q);
  add_matrix(f, NAME("attn_k.weight"), m->type, m->n_embd, n_kv);
  add_matrix(f, NAME("attn_v.weight"), v, m->n_embd, n_kv);
  add_matrix(f, NAME("attn_output.weight"), m->type, n_q, m->n_embd);
  if (m->bias) {
    add_vector(f, NAME("attn_q.bias"), n_q, -1, 1);
    add_vector(f, NAME("attn_k.bias"), n_kv, -1, 1);
    add_vector(f, NAME("attn_v.bias"), n_kv, -1, 1);
    add_vector(f, NAME("attn_output.bias"), m->n_embd, -1, 1);
  }
  add_vector(f, NAME("ffn_norm.weight"), m->n_embd, 0.5f, 1.5f);
  add_matrix(f, NAME("ffn_gate.weight"), m->type, m->n_embd, m->n_ff);
  add_matrix(f, NAME("ffn_up.weight"), m->type, m->n_embd, m->n_ff);
  add_matrix(f, NAME("ffn_down.weight"), down, m->n_ff, m->n_embd);
#undef NAME
}

/* ---- metadata ---- */

static void add_vocabulary(gguf_writer *w, uint32_t n) {
  static const char *const merges[] = {"h e"};
  char(*texts)[16] = calloc(n, sizeof *texts);
  const char **tokens = calloc(n, sizeof *tokens);
  if (!texts || !tokens)
    exit(99);
  unsigned other = 0x100; /* bytes that are not printable are written from U+0100 on */
  for (uint32_t i = 0; i < n; i++) {
    bool printable = (i >= '!' && i <= '~') || (i >= 0xA1 && i != 0xAD);
    unsigned code = i < 256 && !printable ? other++ : i;
    if (i >= 256)
      snprintf(texts[i], sizeof *texts, "token%u", (unsigned)i);
    else if (code < 0x80)
      texts[i][0] = (char)code;
    else
      snprintf(texts[i], sizeof *texts, "%c%c", (int)(0xC0 | code >> 6), (int)(0x80 | (code & 0x3F)));
    tokens[i] = texts[i];
  }
  writer_string(w, "tokenizer.ggml.model", "gpt2");
  writer_string(w, "tokenizer.ggml.pre", "default");
  writer_strings(w, "tokenizer.ggml.tokens", tokens, n);
  writer_strings(w, "tokenizer.ggml.merges", merges, 1);
  writer_u32(w, "tokenizer.ggml.eos_token_id", 1);
  free(texts);
  free(tokens);
}

static void add_metadata(gguf_writer *w, const random_model *m) {
  writer_string(w, "general.architecture", "llama");
  writer_u32(w, "llama.context_length", N_CTX);
  writer_u32(w, "llama.embedding_length", m->n_embd);
  writer_u32(w, "llama.block_count", m->n_layers);
  writer_u32(w, "llama.feed_forward_length", m->n_ff);
  writer_u32(w, "llama.attention.head_count", m->n_heads);
  writer_u32(w, "llama.attention.head_count_kv", m->n_kv_heads);
  writer_u32(w, "llama.attention.key_length", m->head_dim);
  writer_u32(w, "llama.attention.value_length", m->head_dim);
  writer_u32(w, "llama.rope.dimension_count", m->head_dim);
  writer_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
  if (m->rope_scaling && strcmp(m->rope_scaling, "llama3") != 0) {
    writer_string(w, "llama.rope.scaling.type", m->rope_scaling);
    writer_f32(w, "llama.rope.scaling.factor", 4);
    writer_u32(w, "llama.rope.scaling.original_context_length", N_CTX / 4);
  }
  writer_string(w, "tokenizer.chat_template",
                "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
                "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}");
}

uint8_t *random_model_write(const random_model *m, uint64_t seed, size_t *size) {
  writing f = {.state = seed * 2 + 1};
  add_metadata(&f.w, m);
  add_vocabulary(&f.w, m->n_vocab);
  add_matrix(&f, "token_embd.weight", m->tied && m->output ? m->output : m->type, m->n_embd, m->n_vocab);
  if (m->rope_scaling && strcmp(m->rope_scaling, "llama3") == 0)
    add_vector(&f, "rope_freqs.weight", m->head_dim / 2, 1, 8);
  for (uint32_t i = 0; i < m->n_layers; i++)
    add_layer(&f, m, i);
  add_vector(&f, "output_norm.weight", m->n_embd, 0.5f, 1.5f);
  if (!m->tied)
    add_matrix(&f, "output.weight", m->output ? m->output : m->type, m->n_embd, m->n_vocab);
  return writer_finish(&f.w, size);
}

void random_model_save(const random_model *m, uint64_t seed, char *path) {
  size_t size;
  uint8_t *image = random_model_write(m, seed, &size);
  strcpy(path, "/tmp/hornito-test-XXXXXX");
  int fd = mkstemp(path);
  FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
  if (!file || fwrite(image, 1, size, file) != size || fclose(file))
    exit(99);
  free(image);
}
