#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant.h"

/* Bounds of what the kernels and 32-bit indices carry; real models stay far below. */
#define MAX_LAYERS 1024u
#define MAX_WIDTH (1u << 17) /* n_embd, n_ff, n_heads * head_dim */
#define MAX_VOCAB (65535u * 16) /* every device takes 65535 workgroups, of 16 rows each */
#define MAX_WEIGHTS (UINT64_C(1) << 31) /* of a matrix: 1 GiB of a plane; kernels count the bytes of three joined ones in 32 bits */
#define MIN_HEAD_DIM 8u
#define MAX_HEAD_DIM 256u /* a workgroup of 64 lanes holds 4 dimensions per lane */
#define MAX_CTX (1u << 24)
#define MIN_EPS 1e-12f       /* keeps x_rsqrt and the square sums out of the denormal range */
#define MAX_NORM_WEIGHT 1e6f /* far beyond any model; keeps activations finite */

#define SUPPORTED_ARCHITECTURES "llama"

const char *model_rope_name(rope_scaling_type type) {
  static const char *const names[] = {"none", "linear", "llama3", "yarn"};
  return names[type];
}

const gguf_value *model_find(const gguf_file *file, const char *key) {
  gguf_str arch;
  char full[128];
  if (!gguf_string(gguf_find(file, "general.architecture"), &arch) || arch.len > 32)
    return NULL;
  snprintf(full, sizeof full, "%.*s.%s", (int)arch.len, arch.data, key);
  return gguf_find(file, full);
}

/* ---- numbers ---- */

static hn_status read_size(const gguf_file *file, const char *key, uint32_t low, uint32_t high, uint32_t *out,
                           hn_error *err) {
  const gguf_value *value = model_find(file, key);
  uint32_t v;
  if (!value)
    return hn_fail(err, HN_ERROR_FORMAT, "%s: the metadata has no llama.%s", file->path, key);
  if (!gguf_u32(value, &v))
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s: llama.%s: expected one whole number", file->path, key);
  if (v < low || v > high)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s: llama.%s: expected %" PRIu32 " to %" PRIu32 ", found %" PRIu32,
                   file->path, key, low, high, v);
  *out = v;
  return HN_OK;
}

/* As read_size for an optional key: *out keeps its value where it is absent. */
static hn_status read_optional_size(const gguf_file *file, const char *key, uint32_t low, uint32_t high, uint32_t *out,
                                    hn_error *err) {
  return model_find(file, key) ? read_size(file, key, low, high, out, err) : HN_OK;
}

static hn_status read_optional_float(const gguf_file *file, const char *key, float low, float high, float *out,
                                     hn_error *err) {
  const gguf_value *value = model_find(file, key);
  float v = 0;
  if (!value)
    return HN_OK;
  if (!gguf_f32(value, &v) || !(v >= low && v <= high))
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s: llama.%s: expected a number of %g to %g, found %g", file->path, key,
                   (double)low, (double)high, (double)v);
  *out = v;
  return HN_OK;
}

static hn_status read_rope_type(const gguf_file *file, model_rope *rope, hn_error *err) {
  gguf_str type;
  if (!gguf_string(model_find(file, "rope.scaling.type"), &type)) {
    if (model_find(file, "rope.scaling.factor")) /* a factor alone means linear */
      rope->scaling = ROPE_LINEAR;
    return HN_OK;
  }
  static const struct {
    const char *name;
    rope_scaling_type type;
  } known[] = {{"none", ROPE_NONE}, {"linear", ROPE_LINEAR}, {"llama3", ROPE_LLAMA3}, {"yarn", ROPE_YARN}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (type.len == strlen(known[i].name) && memcmp(type.data, known[i].name, type.len) == 0) {
      rope->scaling = known[i].type;
      return HN_OK;
    }
  return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s: llama.rope.scaling.type '%.*s': expected none, linear, llama3 or yarn",
                 file->path, (int)(type.len < 40 ? type.len : 40), type.data);
}

static hn_status read_rope(const gguf_file *file, model_config *c, hn_error *err) {
  model_rope *r = &c->rope;
  *r = (model_rope){
      .n_rot = c->head_dim, .theta = 10000, .factor = 1, .attn_factor = 1, .beta_fast = 32, .beta_slow = 1};
  r->n_ctx_original = c->n_ctx_train;
  float factor = 0;
  hn_status status = read_optional_size(file, "rope.dimension_count", 2, c->head_dim, &r->n_rot, err);
  if (!status)
    status = read_optional_float(file, "rope.freq_base", 1.5f, 1e12f, &r->theta, err);
  if (!status)
    status = read_optional_float(file, "rope.scale_linear", 0, 1e6f, &factor, err);
  if (!status && factor >= 1)
    r->scaling = ROPE_LINEAR;
  if (!status)
    status = read_rope_type(file, r, err);
  if (!status)
    status = read_optional_float(file, "rope.scaling.factor", 0, 1e6f, &factor, err);
  if (!status)
    status = read_optional_float(file, "rope.scaling.attn_factor", 0.01f, 100, &r->attn_factor, err);
  if (!status)
    status = read_optional_float(file, "rope.scaling.yarn_beta_fast", 0.1f, 1e4f, &r->beta_fast, err);
  if (!status)
    status = read_optional_float(file, "rope.scaling.yarn_beta_slow", 0.1f, 1e4f, &r->beta_slow, err);
  if (!status)
    status = read_optional_size(file, "rope.scaling.original_context_length", 1, MAX_CTX, &r->n_ctx_original, err);
  if (status)
    return status;
  if (r->n_rot % 2)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s: llama.rope.dimension_count: expected an even number, found %" PRIu32,
                   file->path, r->n_rot);
  if ((r->scaling == ROPE_LINEAR || r->scaling == ROPE_YARN) && factor >= 1)
    r->factor = factor;
  return HN_OK;
}

hn_status model_check_architecture(const gguf_file *file, hn_error *err) {
  gguf_str arch;
  if (!gguf_string(gguf_find(file, "general.architecture"), &arch))
    return hn_fail(err, HN_ERROR_FORMAT, "%s: the metadata has no general.architecture", file->path);
  if (arch.len != 5 || memcmp(arch.data, "llama", 5) != 0)
    return hn_fail(err, HN_ERROR_UNSUPPORTED,
                   "%s: the architecture '%.*s' is not supported; supported: " SUPPORTED_ARCHITECTURES, file->path,
                   (int)(arch.len < 40 ? arch.len : 40), arch.data);
  uint32_t experts = 0;
  if (gguf_u32(model_find(file, "expert_count"), &experts) && experts > 0)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s: mixtures of experts are not supported", file->path);
  return HN_OK;
}

static hn_status read_config(const gguf_file *file, uint32_t n_vocab, model_config *c, hn_error *err) {
  c->n_vocab = n_vocab;
  c->norm_eps = 1e-5f;
  hn_status status = model_check_architecture(file, err);
  if (!status)
    status = read_size(file, "context_length", 1, MAX_CTX, &c->n_ctx_train, err);
  if (!status)
    status = read_size(file, "embedding_length", 32, MAX_WIDTH, &c->n_embd, err);
  if (!status)
    status = read_size(file, "block_count", 1, MAX_LAYERS, &c->n_layers, err);
  if (!status)
    status = read_size(file, "feed_forward_length", 32, MAX_WIDTH, &c->n_ff, err);
  if (!status)
    status = read_size(file, "attention.head_count", 1, MAX_WIDTH / MIN_HEAD_DIM, &c->n_heads, err);
  if (status)
    return status;
  c->n_kv_heads = c->n_heads;
  c->head_dim = c->n_embd / c->n_heads;
  status = read_optional_size(file, "attention.head_count_kv", 1, c->n_heads, &c->n_kv_heads, err);
  if (!status)
    status = read_optional_size(file, "attention.key_length", MIN_HEAD_DIM, MAX_HEAD_DIM, &c->head_dim, err);
  if (!status)
    status = read_optional_float(file, "attention.layer_norm_rms_epsilon", MIN_EPS, 1, &c->norm_eps, err);
  if (status)
    return status;
  uint32_t value_dim = c->head_dim;
  status = read_optional_size(file, "attention.value_length", MIN_HEAD_DIM, MAX_HEAD_DIM, &value_dim, err);
  if (status)
    return status;
  if (c->head_dim < MIN_HEAD_DIM || c->head_dim > MAX_HEAD_DIM || c->head_dim % 4 || value_dim != c->head_dim)
    return hn_fail(err, HN_ERROR_UNSUPPORTED,
                   "%s: heads of %" PRIu32 " keys and %" PRIu32 " values: expected equal multiples of 4 of %u to %u",
                   file->path, c->head_dim, value_dim, MIN_HEAD_DIM, MAX_HEAD_DIM);
  if (c->n_heads % c->n_kv_heads)
    return hn_fail(err, HN_ERROR_FORMAT, "%s: %" PRIu32 " heads cannot share %" PRIu32 " key/value heads", file->path,
                   c->n_heads, c->n_kv_heads);
  if (c->n_embd % 32 || c->n_ff % 32 || (uint64_t)c->n_heads * c->head_dim % 32 ||
      (uint64_t)c->n_heads * c->head_dim > MAX_WIDTH)
    return hn_fail(
        err, HN_ERROR_UNSUPPORTED,
        "%s: embedding length, feed-forward length and heads * head length: expected multiples of 32, at most %u",
        file->path, MAX_WIDTH);
  if (n_vocab < 1 || n_vocab > MAX_VOCAB)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s: expected a vocabulary of 1 to %u tokens, found %" PRIu32, file->path,
                   MAX_VOCAB, n_vocab);
  uint64_t most_rows = c->n_ff > n_vocab ? c->n_ff : n_vocab;
  if (most_rows < (uint64_t)c->n_heads * c->head_dim)
    most_rows = (uint64_t)c->n_heads * c->head_dim;
  if (c->n_embd * most_rows > MAX_WEIGHTS)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "%s: a matrix of %" PRIu64 " weights; the kernels take %" PRIu64, file->path, c->n_embd * most_rows,
                   MAX_WEIGHTS);
  return read_rope(file, c, err);
}

/* ---- tensors ---- */

typedef struct finder {
  const gguf_file *file;
  hn_error *err;
  hn_status status; /* the first failure; later calls do nothing */
} finder;

static const gguf_tensor *find(finder *f, const char *name, uint64_t columns, uint64_t rows, bool optional) {
  if (f->status)
    return NULL;
  const gguf_tensor *t = gguf_find_tensor(f->file, name);
  if (!t) {
    if (!optional)
      f->status = hn_fail(f->err, HN_ERROR_FORMAT, "%s: the tensor '%s' is missing", f->file->path, name);
    return NULL;
  }
  if (t->dims[0] != columns || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1) {
    f->status = hn_fail(f->err, HN_ERROR_FORMAT,
                        "%s: tensor '%s': expected (%" PRIu64 ", %" PRIu64 "), found (%" PRIu64 ", %" PRIu64
                        ", %" PRIu64 ", %" PRIu64 ")",
                        f->file->path, name, columns, rows, t->dims[0], t->dims[1], t->dims[2], t->dims[3]);
    return NULL;
  }
  return t;
}

/* A vector of f32 whose values are finite and of sane size. */
static const gguf_tensor *find_vector(finder *f, const char *name, uint32_t n, bool optional) {
  const gguf_tensor *t = find(f, name, n, 1, optional);
  if (!t)
    return NULL;
  if (t->type != QUANT_F32) {
    f->status = hn_fail(f->err, HN_ERROR_UNSUPPORTED, "%s: tensor '%s': expected F32, found %s", f->file->path, name,
                        quant_info(t->type).name);
    return NULL;
  }
  for (uint32_t i = 0; i < n; i++) {
    float v;
    memcpy(&v, t->data + 4 * (size_t)i, sizeof v);
    if (!(v >= -MAX_NORM_WEIGHT && v <= MAX_NORM_WEIGHT)) {
      f->status = hn_fail(f->err, HN_ERROR_FORMAT, "%s: tensor '%s': expected numbers of at most %g, found %g",
                          f->file->path, name, (double)MAX_NORM_WEIGHT, (double)v);
      return NULL;
    }
  }
  return t;
}

static const gguf_tensor *find_in_layer(finder *f, uint32_t layer, const char *part, uint32_t columns, uint32_t rows,
                                        bool bias) {
  char name[64];
  snprintf(name, sizeof name, "blk.%" PRIu32 ".%s", layer, part);
  return rows ? find(f, name, columns, rows, false) : find_vector(f, name, columns, bias);
}

static void find_layer(finder *f, const model_config *c, uint32_t i, model_layer *l) {
  uint32_t n_q = c->n_heads * c->head_dim, n_kv = c->n_kv_heads * c->head_dim;
  l->vectors[ATTN_NORM] = find_in_layer(f, i, "attn_norm.weight", c->n_embd, 0, false);
  l->matrices[WQ] = find_in_layer(f, i, "attn_q.weight", c->n_embd, n_q, false);
  l->matrices[WK] = find_in_layer(f, i, "attn_k.weight", c->n_embd, n_kv, false);
  l->matrices[WV] = find_in_layer(f, i, "attn_v.weight", c->n_embd, n_kv, false);
  l->matrices[WO] = find_in_layer(f, i, "attn_output.weight", n_q, c->n_embd, false);
  l->vectors[BQ] = find_in_layer(f, i, "attn_q.bias", n_q, 0, true);
  l->vectors[BK] = find_in_layer(f, i, "attn_k.bias", n_kv, 0, true);
  l->vectors[BV] = find_in_layer(f, i, "attn_v.bias", n_kv, 0, true);
  l->vectors[BO] = find_in_layer(f, i, "attn_output.bias", c->n_embd, 0, true);
  l->vectors[FFN_NORM] = find_in_layer(f, i, "ffn_norm.weight", c->n_embd, 0, false);
  l->matrices[W_GATE] = find_in_layer(f, i, "ffn_gate.weight", c->n_embd, c->n_ff, false);
  l->matrices[W_UP] = find_in_layer(f, i, "ffn_up.weight", c->n_embd, c->n_ff, false);
  l->matrices[W_DOWN] = find_in_layer(f, i, "ffn_down.weight", c->n_ff, c->n_embd, false);
}

/* Divisors of the RoPE frequencies must be positive: they turn up in a division. */
static hn_status check_rope_freqs(const gguf_file *file, const gguf_tensor *t, hn_error *err) {
  for (uint64_t i = 0; t && i < t->dims[0]; i++) {
    float v;
    memcpy(&v, t->data + 4 * i, sizeof v);
    if (!(v >= 1e-6f))
      return hn_fail(err, HN_ERROR_FORMAT, "%s: tensor 'rope_freqs.weight': expected positive numbers, found %g",
                     file->path, (double)v);
  }
  return HN_OK;
}

/* A layer beyond the count means that the count is damaged. */
static hn_status check_layer_count(const gguf_file *file, uint32_t n_layers, hn_error *err) {
  char name[64];
  snprintf(name, sizeof name, "blk.%" PRIu32 ".attn_norm.weight", n_layers);
  if (gguf_find_tensor(file, name))
    return hn_fail(err, HN_ERROR_FORMAT, "%s: llama.block_count is %" PRIu32 ", but there is a tensor '%s'", file->path, n_layers, name);
  return HN_OK;
}

hn_status model_read(const gguf_file *file, uint32_t n_vocab, model_header *out, hn_error *err) {
  *out = (model_header){0};
  model_config *c = &out->config;
  model_tensors *t = &out->tensors;
  hn_status status = read_config(file, n_vocab, c, err);
  if (status)
    return status;
  t->layers = calloc(c->n_layers, sizeof *t->layers);
  if (!t->layers)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "%s: out of memory", file->path);
  finder f = {file, err, HN_OK};
  t->tok_embd = find(&f, "token_embd.weight", c->n_embd, n_vocab, false);
  t->output_norm = find_vector(&f, "output_norm.weight", c->n_embd, false);
  t->output = find(&f, "output.weight", c->n_embd, n_vocab, true);
  t->rope_freqs = find_vector(&f, "rope_freqs.weight", c->rope.n_rot / 2, true);
  for (uint32_t i = 0; i < c->n_layers && !f.status; i++)
    find_layer(&f, c, i, &t->layers[i]);
  status = f.status ? f.status : check_rope_freqs(file, t->rope_freqs, err);
  if (!status)
    status = check_layer_count(file, c->n_layers, err);
  if (status) {
    model_finish(out);
    return status;
  }
  if (!t->output)
    t->output = t->tok_embd;
  if (t->rope_freqs && c->rope.scaling == ROPE_NONE)
    c->rope.scaling = ROPE_LLAMA3;
  return HN_OK;
}

void model_finish(model_header *header) {
  free(header->tensors.layers);
  *header = (model_header){0};
}

uint64_t model_matrix_bytes(const model_header *header) {
  const model_tensors *t = &header->tensors;
  uint64_t sum = t->output->bytes + (t->output == t->tok_embd ? 0 : t->tok_embd->bytes);
  for (uint32_t i = 0; i < header->config.n_layers; i++)
    for (int m = 0; m < N_LAYER_MATRICES; m++)
      sum += t->layers[i].matrices[m]->bytes;
  return sum;
}
