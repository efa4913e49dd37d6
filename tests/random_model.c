#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shaders/exact.h"
#include "gguf_writer.h"
#include "tokenizer_tiny.h"

enum {
  N_CTX = 512,
  SUBNORMAL_ONE_IN = 16,
  CHUNK_BYTES = 1 << 16,
  MAX_NAME = 64,
  MAX_TOKEN = 32, /* bytes of its text with the 0 */
  N_CHATML = 3,
  MAX_LAYER_TENSORS = 13,
  MAX_OTHER_TENSORS = 4,
};

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
  case QUANT_IQ4_NL: return (block_kind){.spread = 70};
  case QUANT_IQ4_XS: return (block_kind){.spread = 1300};
  case QUANT_Q2_K: return (block_kind){.d = 80, .m = 82, .spread = 14, .to_middle = 1.5f};
  case QUANT_Q3_K: return (block_kind){.d = 108, .spread = 43};
  case QUANT_Q4_K: return (block_kind){.m = 2, .spread = 250, .to_middle = 7.5f};
  case QUANT_Q5_K: return (block_kind){.m = 2, .spread = 500, .to_middle = 15.5f};
  default: return (block_kind){.d = 208, .spread = 1370}; /* Q6_K */
  }
}

static float random_scale(float deviation, uint64_t *state) {
  uint64_t bits = random_bits(state);
  if ((bits >> 8) % SUBNORMAL_ONE_IN == 0)
    return (float)((bits >> 16) % 1024) * 0x1p-24f;
  float d = deviation * (0.7f + 0.6f * (float)(bits >> 40) * 0x1p-24f);
  return bits >> 32 & 1 ? -d : d;
}

static void fill_blocks(quant_type type, size_t n_blocks, float deviation, uint64_t *state, uint8_t *out) {
  block_kind kind = kind_of(type);
  size_t block_bytes = quant_info(type).block_bytes, bytes = n_blocks * block_bytes;
  for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
    uint64_t bits = random_bits(state);
    memcpy(out + i, &bits, bytes - i < sizeof bits ? bytes - i : sizeof bits);
  }
  for (size_t i = 0; i < n_blocks; i++, out += block_bytes) {
    float d = random_scale(deviation / kind.spread, state);
    put_f16(out + kind.d, d);
    if (kind.m)
      put_f16(out + kind.m, d * kind.to_middle);
  }
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

typedef enum tensor_content { MATRIX, NORM, BIAS, ROPE_FREQS } tensor_content; /* all but matrices are vectors of f32 */

typedef struct tensor {
  char name[MAX_NAME];
  tensor_content content;
  quant_type type;
  uint32_t n_cols, n_rows; /* vectors: n_rows is 0 */
  uint64_t offset;         /* from the end of the header */
} tensor;

typedef struct tensor_list {
  tensor *tensors;
  size_t n;
} tensor_list;

static void add_vector(tensor_list *l, const char *name, tensor_content content, uint32_t n) {
  tensor *t = &l->tensors[l->n++];
  *t = (tensor){.content = content, .type = QUANT_F32, .n_cols = n};
  snprintf(t->name, sizeof t->name, "%s", name);
}

/* Super-blocks of 256 do not divide every row; files have these types instead. */
static quant_type type_for(quant_type type, uint32_t n_cols) {
  if (n_cols % quant_info(type).block_weights == 0)
    return type;
  return type == QUANT_Q4_K ? QUANT_Q5_0 : QUANT_Q8_0;
}

static void add_matrix(tensor_list *l, const char *name, quant_type type, uint32_t n_cols, uint32_t n_rows) {
  tensor *t = &l->tensors[l->n++];
  *t = (tensor){.content = MATRIX, .type = type_for(type, n_cols), .n_cols = n_cols, .n_rows = n_rows};
  snprintf(t->name, sizeof t->name, "%s", name);
}

/* The first and the last eighth of the layers, and every third between. */
static bool is_finer(uint32_t layer, uint32_t n_layers) {
  uint32_t eighth = n_layers / 8;
  return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

static void add_layer(tensor_list *l, const random_model *m, uint32_t layer) {
  uint32_t n_q = m->n_heads * m->head_dim, n_kv = m->n_kv_heads * m->head_dim;
  bool own = !m->some_layers || is_finer(layer, m->n_layers);
  char name[MAX_NAME];
#define NAME(part) (snprintf(name, sizeof name, "blk.%u." part, (unsigned)layer), name)
  add_vector(l, NAME("attn_norm.weight"), NORM, m->n_embd);
  add_matrix(l, NAME("attn_q.weight"), m->type, m->n_embd, n_q);
  add_matrix(l, NAME("attn_k.weight"), m->type, m->n_embd, n_kv);
  add_matrix(l, NAME("attn_v.weight"), own && m->v ? m->v : m->type, m->n_embd, n_kv);
  add_matrix(l, NAME("attn_output.weight"), m->type, n_q, m->n_embd);
  if (m->bias) {
    add_vector(l, NAME("attn_q.bias"), BIAS, n_q);
    add_vector(l, NAME("attn_k.bias"), BIAS, n_kv);
    add_vector(l, NAME("attn_v.bias"), BIAS, n_kv);
    add_vector(l, NAME("attn_output.bias"), BIAS, m->n_embd);
  }
  add_vector(l, NAME("ffn_norm.weight"), NORM, m->n_embd);
  add_matrix(l, NAME("ffn_gate.weight"), m->type, m->n_embd, m->n_ff);
  add_matrix(l, NAME("ffn_up.weight"), m->type, m->n_embd, m->n_ff);
  add_matrix(l, NAME("ffn_down.weight"), own && m->down ? m->down : m->type, m->n_ff, m->n_embd);
#undef NAME
}

static bool is_llama3(const random_model *m) {
  return m->rope_scaling && strcmp(m->rope_scaling, "llama3") == 0;
}

static tensor_list list_tensors(const random_model *m) {
  tensor_list l = {.tensors = calloc((size_t)m->n_layers * MAX_LAYER_TENSORS + MAX_OTHER_TENSORS, sizeof(tensor))};
  quant_type output = m->output ? m->output : m->type;
  if (!l.tensors)
    exit(99);
  add_matrix(&l, "token_embd.weight", m->tied ? output : m->type, m->n_embd, m->n_vocab);
  if (is_llama3(m))
    add_vector(&l, "rope_freqs.weight", ROPE_FREQS, m->head_dim / 2);
  for (uint32_t i = 0; i < m->n_layers; i++)
    add_layer(&l, m, i);
  add_vector(&l, "output_norm.weight", NORM, m->n_embd);
  if (!m->tied)
    add_matrix(&l, "output.weight", output, m->n_embd, m->n_vocab);
  return l;
}

/* Places all tensors behind what w holds. */
static void place_tensors(gguf_writer *w, tensor_list *l) {
  for (size_t i = 0; i < l->n; i++) {
    tensor *t = &l->tensors[i];
    quant_type_info info = quant_info(t->type);
    uint64_t n = (uint64_t)t->n_cols * (t->n_rows ? t->n_rows : 1);
    t->offset = writer_place(w, t->name, t->type, t->n_cols, t->n_rows, n / info.block_weights * info.block_bytes);
  }
}

/* ---- data ---- */

static bool write_matrix(const tensor *t, uint64_t *state, FILE *out) {
  uint8_t chunk[CHUNK_BYTES];
  quant_type_info info = quant_info(t->type);
  float deviation = 1 / sqrtf((float)t->n_cols);
  size_t n_left = (size_t)t->n_cols * t->n_rows / info.block_weights;
  while (n_left > 0) {
    size_t n = CHUNK_BYTES / info.block_bytes;
    n = n < n_left ? n : n_left;
    if (quant_is_quantized(t->type))
      fill_blocks(t->type, n, deviation, state, chunk);
    else
      for (size_t i = 0; i < n; i++)
        fill_plain(t->type, deviation, state, chunk + i * info.block_bytes);
    if (fwrite(chunk, info.block_bytes, n, out) != n)
      return false;
    n_left -= n;
  }
  return true;
}

/* The divisor of frequency i that stretches the 8192 positions of Llama 3 to those of Llama 3.1: wavelengths of more than all of them by 8,
 * those of less than a quarter not at all. */
static float rope_freq(const random_model *m, uint32_t i) {
  double theta = m->rope_theta != 0 ? (double)m->rope_theta : 10000;
  double wavelength = 6.283185307179586 * pow(theta, 2.0 * i / m->head_dim);
  double kept = fmin(fmax((8192 / wavelength - 1) / (4 - 1), 0), 1);
  return (float)(1 / ((1 - kept) / 8 + kept));
}

static bool write_vector(const random_model *m, const tensor *t, uint64_t *state, FILE *out) {
  for (uint32_t i = 0; i < t->n_cols; i++) {
    float x = t->content == ROPE_FREQS ? rope_freq(m, i) : t->content == NORM ? uniform(state, 0.5f, 1.5f) : uniform(state, -1, 1);
    if (fwrite(&x, sizeof x, 1, out) != 1)
      return false;
  }
  return true;
}

/* ---- metadata ---- */

static void special_token(uint32_t i, char *out) {
  static const char *const names[N_CHATML] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  if (i < N_CHATML)
    snprintf(out, MAX_TOKEN, "%s", names[i]);
  else
    snprintf(out, MAX_TOKEN, "<|reserved_%u|>", (unsigned)i);
}

/* Token 256 + n is token n / 256 followed by byte n % 256, and the merges stand in that order: all pairs of bytes, then longer ones. */
static void add_vocabulary(gguf_writer *w, const random_model *m) {
  uint32_t n = m->n_vocab, n_text = n - m->n_special, n_merges = n_text - 256;
  char(*texts)[MAX_TOKEN] = calloc(n, sizeof *texts), (*pairs)[MAX_TOKEN + 1] = calloc(n, sizeof *pairs);
  const char **tokens = calloc(n, sizeof *tokens), **merges = calloc(n, sizeof *merges);
  int32_t *types = calloc(n, sizeof *types);
  if (!texts || !pairs || !tokens || !merges || !types)
    exit(99);
  for (uint32_t i = 0; i < n; i++) {
    tokens[i] = texts[i];
    types[i] = i < n_text ? 1 : 3;
    if (i < 256)
      tiny_byte_token(i, texts[i]); /* zeros follow */
    else if (i >= n_text)
      special_token(i - n_text, texts[i]);
    else
      snprintf(texts[i], sizeof *texts, "%s%s", texts[(i - 256) / 256], texts[i % 256]);
  }
  for (uint32_t i = 0; i < n_merges; i++) {
    snprintf(pairs[i], sizeof *pairs, "%s %s", texts[i / 256], texts[i % 256]);
    merges[i] = pairs[i];
  }
  writer_string(w, "tokenizer.ggml.model", "gpt2");
  writer_string(w, "tokenizer.ggml.pre", m->pre ? m->pre : "default");
  writer_strings(w, "tokenizer.ggml.tokens", tokens, n);
  writer_i32s(w, "tokenizer.ggml.token_type", types, n);
  writer_strings(w, "tokenizer.ggml.merges", merges, n_merges);
  if (m->n_special > 0)
    writer_u32(w, "tokenizer.ggml.bos_token_id", n_text);
  writer_u32(w, "tokenizer.ggml.eos_token_id", m->n_special < N_CHATML ? 1 : n_text + N_CHATML - 1);
  free(texts);
  free(pairs);
  free(tokens);
  free(merges);
  free(types);
}

static void add_metadata(gguf_writer *w, const random_model *m) {
  uint32_t n_ctx = m->n_ctx ? m->n_ctx : N_CTX;
  writer_string(w, "general.architecture", "llama");
  writer_u32(w, "llama.context_length", n_ctx);
  writer_u32(w, "llama.embedding_length", m->n_embd);
  writer_u32(w, "llama.block_count", m->n_layers);
  writer_u32(w, "llama.feed_forward_length", m->n_ff);
  writer_u32(w, "llama.attention.head_count", m->n_heads);
  writer_u32(w, "llama.attention.head_count_kv", m->n_kv_heads);
  writer_u32(w, "llama.attention.key_length", m->head_dim);
  writer_u32(w, "llama.attention.value_length", m->head_dim);
  writer_u32(w, "llama.rope.dimension_count", m->head_dim);
  writer_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
  if (m->rope_theta != 0)
    writer_f32(w, "llama.rope.freq_base", m->rope_theta);
  if (m->rope_scaling && !is_llama3(m)) {
    writer_string(w, "llama.rope.scaling.type", m->rope_scaling);
    writer_f32(w, "llama.rope.scaling.factor", 4);
    writer_u32(w, "llama.rope.scaling.original_context_length", n_ctx / 4);
  }
  writer_string(w, "tokenizer.chat_template",
                "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
                "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}");
}

/* ---- files ---- */

bool random_model_stream(const random_model *m, uint64_t seed, bool header_only, FILE *out) {
  gguf_writer w = {0};
  uint64_t state = seed * 2 + 1;
  tensor_list l = list_tensors(m);
  add_metadata(&w, m);
  add_vocabulary(&w, m);
  place_tensors(&w, &l);
  size_t header_bytes;
  uint64_t tensor_bytes = w.tensor_bytes;
  uint8_t *header = writer_header(&w, &header_bytes);
  bool ok = fwrite(header, 1, header_bytes, out) == header_bytes;
  for (size_t i = 0; ok && i < l.n; i++) {
    const tensor *t = &l.tensors[i];
    ok = fseeko(out, (off_t)(header_bytes + t->offset), SEEK_SET) == 0;
    if (t->content != MATRIX)
      ok = ok && write_vector(m, t, &state, out);
    else if (!header_only)
      ok = ok && write_matrix(t, &state, out);
  }
  ok = ok && fflush(out) == 0;
  if (header_only) /* the last tensor may be a hole */
    ok = ok && ftruncate(fileno(out), (off_t)(header_bytes + tensor_bytes)) == 0;
  free(header);
  free(l.tensors);
  return ok;
}

uint8_t *random_model_write(const random_model *m, uint64_t seed, size_t *size) {
  char *image = NULL;
  FILE *out = open_memstream(&image, size);
  if (!out || !random_model_stream(m, seed, false, out) || fclose(out))
    exit(99);
  return (uint8_t *)image;
}

void random_model_save(const random_model *m, uint64_t seed, char *path) {
  strcpy(path, "/tmp/hornito-test-XXXXXX");
  int fd = mkstemp(path);
  FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
  if (!file || !random_model_stream(m, seed, false, file) || fclose(file))
    exit(99);
}
