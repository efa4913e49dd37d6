#include "kernels_cpu.h"

#include <string.h>

#include "../shaders/exact.h"
#include "../shaders/shared.h"
#include "sizes.h"

/* A matrix is multiplied in tiles of ROWS x TOKENS; from MANY tokens on, the tokens are the lanes of vectors. */
enum { ROWS = 16, TOKENS = 16, MANY = 4 };

static uint32_t min_u32(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

/* ---- activations ---- */

static float max_abs(const float *x, uint32_t n) {
  float m = 0;
  for (uint32_t i = 0; i < n; i++)
    m = x_abs(x[i]) > m ? x_abs(x[i]) : m;
  return m;
}

/* q = round(x * 127 / amax); returns the step amax / 127. All zero below X_TINY. */
static float round_to_int8(const float *x, uint32_t n, float amax, int8_t *q) {
  if (!(amax >= X_TINY)) {
    memset(q, 0, n);
    return 0;
  }
  float scale = X_Q8_MAX * x_rcp(amax);
  for (uint32_t i = 0; i < n; i++)
    q[i] = (int8_t)(uint8_t)x_round(x[i] * scale);
  return amax * X_Q8_STEP;
}

static void store_block(cpu_q8 out, size_t block, const float x[ACT_BLOCK]) {
  int8_t *q = out.q + block * ACT_BLOCK;
  out.d[block] = round_to_int8(x, ACT_BLOCK, max_abs(x, ACT_BLOCK), q);
  int sums[2] = {0, 0};
  for (int i = 0; i < ACT_BLOCK; i++)
    sums[i / 16] += q[i];
  out.sums[2 * block] = (int16_t)sums[0];
  out.sums[2 * block + 1] = (int16_t)sums[1];
}

void cpu_quantize(const float *x, size_t first, size_t end, cpu_q8 out) {
  for (size_t b = first; b < end; b++)
    store_block(out, b, x + b * ACT_BLOCK);
}

void cpu_swiglu_quant(const float *gate, const float *up, size_t first, size_t end, cpu_q8 out) {
  for (size_t b = first; b < end; b++) {
    float h[ACT_BLOCK];
    for (size_t i = 0; i < ACT_BLOCK; i++)
      h[i] = x_silu(gate[b * ACT_BLOCK + i]) * up[b * ACT_BLOCK + i];
    store_block(out, b, h);
  }
}

/* Squares by 256 lanes, then a binary tree. */
static float sum_squares(const float *x, uint32_t n) {
  float sums[NORM_LANES];
  for (uint32_t lane = 0; lane < NORM_LANES; lane++) {
    float sum = 0;
    for (uint32_t i = lane; i < n; i += NORM_LANES)
      sum = sum + x[i] * x[i];
    sums[lane] = sum;
  }
  for (uint32_t width = NORM_LANES / 2; width > 0; width /= 2)
    for (uint32_t lane = 0; lane < width; lane++)
      sums[lane] = sums[lane] + sums[lane + width];
  return sums[0];
}

void cpu_norm_quant(const float *x, const float *weight, uint32_t n, float inverse_n, float eps, cpu_q8 out, size_t row) {
  float r = x_rsqrt(sum_squares(x, n) * inverse_n + eps);
  uint32_t blocks = n / ACT_BLOCK;
  for (uint32_t b = 0; b < blocks; b++) {
    float y[ACT_BLOCK];
    for (uint32_t i = 0; i < ACT_BLOCK; i++)
      y[i] = (x[b * ACT_BLOCK + i] * r) * weight[b * ACT_BLOCK + i];
    store_block(out, row * blocks + b, y);
  }
}

/* ---- matrices ---- */

void cpu_embed(const cpu_matrix *table, int32_t id, float *x) {
  const uint8_t *row = table->blocks + (size_t)id * table->row_bytes;
  for (uint32_t k = 0; k < table->n_cols / QUANT_GRANULE; k++) {
    quant_granule g;
    quant_load_granule(table->type, row, k, &g);
    for (int j = 0; j < QUANT_GRANULE; j++) {
      float v = (float)(g.q[j] * g.scale[j / 16]) * g.d;
      if (quant_has_minimum(table->type))
        v = v + (float)g.minimum[j / 16] * g.m;
      x[k * QUANT_GRANULE + (uint32_t)j] = v;
    }
  }
}

static int dot16(const int8_t *a, const int8_t *b) {
  int sum = 0;
  for (int i = 0; i < 16; i++)
    sum += a[i] * b[i];
  return sum;
}

/* Granule k of the inputs of up to TOKENS tokens. */
typedef struct input_granule {
  const int8_t *q[TOKENS];
  float d[TOKENS], sums[2][TOKENS]; /* sums: of each 16 */
  float columns[QUANT_GRANULE][TOKENS]; /* q again, a token a lane; only where there are many */
} input_granule;

static void load_input(const cpu_product *p, uint32_t first, uint32_t n, uint32_t k, input_granule *x) {
  uint32_t n_granules = p->w->n_cols / QUANT_GRANULE;
  for (uint32_t t = 0; t < n; t++) {
    size_t block = (size_t)(first + t) * n_granules + k;
    x->q[t] = p->x.q + block * ACT_BLOCK;
    x->d[t] = p->x.d[block];
    x->sums[0][t] = p->x.sums[2 * block];
    x->sums[1][t] = p->x.sums[2 * block + 1];
  }
  for (uint32_t t = 0; n >= MANY && t < TOKENS; t++)
    for (uint32_t j = 0; j < QUANT_GRANULE; j++)
      x->columns[j][t] = t < n ? x->q[t][j] : 0;
}

/* dots[t] = scale . (weights . input t), an integer below 2^24, so that floats hold it exactly and in any order. */
static void multiply_granule(const quant_granule *g, const input_granule *x, uint32_t n, float dots[TOKENS]) {
  if (n < MANY) {
    for (uint32_t t = 0; t < n; t++)
      dots[t] = (float)(dot16(g->q, x->q[t]) * g->scale[0] + dot16(g->q + 16, x->q[t] + 16) * g->scale[1]);
    return;
  }
  memset(dots, 0, TOKENS * sizeof *dots);
  for (int j = 0; j < QUANT_GRANULE; j++) {
    float w = (float)(g->q[j] * g->scale[j / 16]);
    for (int t = 0; t < TOKENS; t++)
      dots[t] += w * x->columns[j][t];
  }
}

static void add_granule(const quant_granule *g, bool has_minimum, const input_granule *x, uint32_t n, float acc[TOKENS]) {
  float dots[TOKENS];
  multiply_granule(g, x, n, dots);
  for (uint32_t t = 0; t < n; t++) {
    float s = dots[t] * g->d;
    if (has_minimum) /* an integer below 2^24 as well: minimums have 6 bits, sums 12 */
      s = s + (x->sums[0][t] * (float)g->minimum[0] + x->sums[1][t] * (float)g->minimum[1]) * g->m;
    acc[t] = acc[t] + s * x->d[t];
  }
}

/* total = rows . inputs for up to ROWS rows and TOKENS tokens: chunk sums, added in order. */
static void product_tile(const cpu_product *p, uint32_t row, uint32_t n_rows, uint32_t first, uint32_t n, float total[ROWS][TOKENS]) {
  const cpu_matrix *w = p->w;
  uint32_t unit = quant_info(w->type).block_weights / QUANT_GRANULE; /* chunks are cut at blocks */
  uint32_t units = w->n_cols / QUANT_GRANULE / unit;
  bool has_minimum = quant_has_minimum(w->type), first_chunk = true;
  for (uint32_t c = 0; c < N_CHUNKS; c++) {
    uint32_t begin = c * units / N_CHUNKS * unit, end = (c + 1) * units / N_CHUNKS * unit;
    if (begin == end)
      continue;
    float acc[ROWS][TOKENS] = {{0}};
    for (uint32_t k = begin; k < end; k++) {
      input_granule x;
      load_input(p, first, n, k, &x);
      for (uint32_t r = 0; r < n_rows; r++) {
        quant_granule g;
        quant_load_granule(w->type, w->blocks + (size_t)(row + r) * w->row_bytes, k, &g);
        add_granule(&g, has_minimum, &x, n, acc[r]);
      }
    }
    for (uint32_t r = 0; r < n_rows; r++)
      for (uint32_t t = 0; t < n; t++)
        total[r][t] = first_chunk ? acc[r][t] : total[r][t] + acc[r][t];
    first_chunk = false;
  }
}

static void store_product(const cpu_product *p, uint32_t row, uint32_t token, float y) {
  size_t at = (size_t)token * p->y_stride + row;
  if (p->bias)
    y = y + p->bias[row];
  if (p->residual)
    y = p->residual[at] + y;
  p->y[at] = y;
}

void cpu_matmul(const cpu_product *p, uint32_t first_row, uint32_t end_row) {
  for (uint32_t row = first_row; row < end_row; row += ROWS)
    for (uint32_t first = 0; first < p->n_tokens; first += TOKENS) {
      uint32_t n_rows = min_u32(end_row - row, ROWS), n = min_u32(p->n_tokens - first, TOKENS);
      float total[ROWS][TOKENS];
      product_tile(p, row, n_rows, first, n, total);
      for (uint32_t r = 0; r < n_rows; r++)
        for (uint32_t t = 0; t < n; t++)
          store_product(p, row + r, first + t, total[r][t]);
    }
}

/* ---- attention ---- */

/* A head with its pairs rotated, padded with zeros. */
static void rotate(const float *x, const float *rotation, uint32_t n, float *out) {
  for (uint32_t i = 0; i + 1 < n; i += 2) {
    float c = rotation[i], s = rotation[i + 1], a = x[i], b = x[i + 1];
    float ac = a * c, bs = b * s, as = a * s, bc = b * c;
    out[i] = ac - bs;
    out[i + 1] = as + bc;
  }
}

/* The mix of queries and keys of a Q4_0 cache: KV_MIX in shaders/shared.h. */
static void mix(float *x, uint32_t head_dim) {
  uint32_t width = KV_MIX(head_dim), padded = HEAD_SCALES(head_dim) * HEAD_BLOCK;
  for (uint32_t apart = 1; apart < width; apart *= 2)
    for (uint32_t i = 0; i < padded; i++)
      if (!(i & apart)) {
        float a = x[i], b = x[i + apart];
        x[i] = a + b;
        x[i + apart] = a - b;
      }
  for (uint32_t i = 0; i < padded; i++)
    x[i] = x[i] * KV_MIX_SCALE(head_dim);
}

static void store_query(const cpu_heads *h, const float *x, const float *rotation, size_t at, cpu_query q, bool mixed) {
  float head[256 + 32] = {0};
  uint32_t blocks = HEAD_SCALES(h->head_dim);
  rotate(x, rotation, h->head_dim, head);
  if (mixed)
    mix(head, h->head_dim);
  for (uint32_t b = 0; b < blocks; b++) {
    const float *block = head + b * HEAD_BLOCK;
    size_t out = at * blocks + b;
    q.d[out] = round_to_int8(block, HEAD_BLOCK, max_abs(block, HEAD_BLOCK), q.q + out * HEAD_BLOCK);
  }
}

/* Where the cache has a head of a position. */
typedef struct cache_row {
  uint8_t *k, *v;
  uint16_t *scales;
} cache_row;

static cache_row row_of(const cpu_heads *h, const cpu_cache *cache, uint32_t head, uint32_t position) {
  uint32_t block = position / KV_BLOCK, at = position % KV_BLOCK, q4 = cache->type == QUANT_Q4_0;
  size_t row = KV_ROW_WORDS(q4, h->head_dim), values = KV_BLOCK * row;
  bool first = block < cache->n_device_blocks;
  uint32_t *words = first ? cache->device : cache->host;
  words += ((size_t)(first ? block : block - cache->n_device_blocks) * h->n_kv_heads + head) * KV_HEAD_WORDS(q4, h->head_dim);
  return (cache_row){(uint8_t *)(words + at * row), (uint8_t *)(words + values + at * row),
                     (uint16_t *)(words + 2 * values + at * KV_SCALE_WORDS(q4, h->head_dim))};
}

/* The scale of block b of a position's key, of its value. */
static size_t key_scale(const cpu_cache *cache, uint32_t b) {
  return cache->type == QUANT_Q4_0 ? 2 * b : b;
}

static size_t value_scale(const cpu_heads *h, const cpu_cache *cache, uint32_t b) {
  return cache->type == QUANT_Q4_0 ? 2 * b + 1 : HEAD_SCALES(h->head_dim);
}

/* HEAD_BLOCK values as Q4_0: codes of 4 bits plus 8. The value of the largest magnitude (the lowest among equals) becomes -8. Returns the scale. */
static float round_to_int4(const float *x, uint8_t *out) {
  float high = x[0], low = -x[0];
  uint8_t code[HEAD_BLOCK];
  for (int i = 1; i < HEAD_BLOCK; i++) {
    high = x[i] > high ? x[i] : high;
    low = -x[i] > low ? -x[i] : low;
  }
  bool flip = high > low;
  float amax = flip ? high : low;
  bool zero = !(amax >= X_TINY);
  float scale = 8.0f * x_rcp(zero ? 1.0f : amax);
  for (int i = 0; i < HEAD_BLOCK; i++) {
    int n = zero ? 0 : x_round(x[i] * scale);
    n = flip ? -n : n;
    code[i] = (uint8_t)((n < 7 ? n : 7) + 8);
  }
  for (int i = 0; i < HEAD_BLOCK / 2; i++)
    out[i] = (uint8_t)(code[i] | code[i + HEAD_BLOCK / 2] << 4);
  return zero ? 0 : flip ? amax * -0.125f : amax * 0.125f;
}

static void store_key_value(const cpu_heads *h, const float *k, const float *v, const float *rotation, cache_row row,
                            const cpu_cache *cache) {
  float key[256 + 32] = {0}, value[256 + 32] = {0};
  uint32_t blocks = HEAD_SCALES(h->head_dim), padded = blocks * HEAD_BLOCK, q4 = cache->type == QUANT_Q4_0;
  rotate(k, rotation, h->head_dim, key);
  if (q4)
    mix(key, h->head_dim);
  memcpy(value, v, h->head_dim * sizeof *v);
  memset(row.scales, 0, KV_SCALE_WORDS(q4, h->head_dim) * 4);
  for (uint32_t b = 0; b < blocks; b++) {
    const float *block = key + b * HEAD_BLOCK;
    float d = q4 ? round_to_int4(block, row.k + b * HEAD_BLOCK / 2)
                 : round_to_int8(block, HEAD_BLOCK, max_abs(block, HEAD_BLOCK), (int8_t *)row.k + b * HEAD_BLOCK);
    row.scales[key_scale(cache, b)] = (uint16_t)x_f32_to_f16(d);
  }
  for (uint32_t b = 0; b < KV_VALUE_SCALES(q4, h->head_dim); b++) {
    float d = q4 ? round_to_int4(value + b * HEAD_BLOCK, row.v + b * HEAD_BLOCK / 2)
                 : round_to_int8(value, padded, max_abs(value, padded), (int8_t *)row.v);
    row.scales[value_scale(h, cache, b)] = (uint16_t)x_f32_to_f16(d);
  }
}

void cpu_rope_store(const cpu_heads *h, const float *qkv, const float *rotation, uint32_t position, uint32_t token, cpu_query q,
                    const cpu_cache *cache) {
  for (uint32_t i = 0; i < h->n_heads; i++)
    store_query(h, qkv + (size_t)i * h->head_dim, rotation, (size_t)token * h->n_heads + i, q, cache->type == QUANT_Q4_0);
  const float *k = qkv + (size_t)h->n_heads * h->head_dim, *v = k + (size_t)h->n_kv_heads * h->head_dim;
  for (uint32_t i = 0; i < h->n_kv_heads; i++)
    store_key_value(h, k + (size_t)i * h->head_dim, v + (size_t)i * h->head_dim, rotation, row_of(h, cache, i, position), cache);
}

/* A row of `padded` values as int8; buffer (256 + 32) is used where it is not stored as such. */
static const int8_t *load_row(const cpu_cache *cache, const uint8_t *row, uint32_t padded, int8_t *buffer) {
  if (cache->type == QUANT_Q8_0)
    return (const int8_t *)row;
  for (uint32_t b = 0; b < padded; b += HEAD_BLOCK)
    for (uint32_t i = 0; i < HEAD_BLOCK / 2; i++) {
      buffer[b + i] = (int8_t)((row[(b >> 1) + i] & 15) - 8);
      buffer[b + i + HEAD_BLOCK / 2] = (int8_t)((row[(b >> 1) + i] >> 4) - 8);
    }
  return buffer;
}

/* q . k / sqrt(head_dim) */
static float score(const cpu_heads *h, const int8_t *q, const float *q_d, const cpu_cache *cache, cache_row row, float scale) {
  uint32_t blocks = HEAD_SCALES(h->head_dim);
  int8_t buffer[256 + 32];
  const int8_t *k = load_row(cache, row.k, blocks * HEAD_BLOCK, buffer);
  float total = 0;
  for (uint32_t b = 0; b < blocks; b++, q += HEAD_BLOCK, k += HEAD_BLOCK) {
    float d = x_f16_to_f32(row.scales[key_scale(cache, b)]) * q_d[b];
    total = total + (float)(dot16(q, k) + dot16(q + 16, k + 16)) * d;
  }
  return total * scale;
}

static float tree_sum(float x[KV_BLOCK]) {
  for (int width = KV_BLOCK / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++)
      x[i] = x[i] + x[i + width];
  return x[0];
}

/* Softmax weights of n positions as integers, for values of scale number s. Returns their unit, 0 where all are zero. */
static float weigh(const cpu_heads *h, const cpu_cache *cache, const cache_row *rows, const float *e, uint32_t n, uint32_t s, int *weights) {
  float weighted[KV_BLOCK], a = 0;
  for (uint32_t i = 0; i < n; i++) {
    weighted[i] = e[i] * x_f16_to_f32(rows[i].scales[value_scale(h, cache, s)]);
    a = x_abs(weighted[i]) > a ? x_abs(weighted[i]) : a;
  }
  bool zero = !(a >= X_TINY);
  float to_integer = P_MAX * x_rcp(zero ? 1.0f : a);
  for (uint32_t i = 0; i < n; i++)
    weights[i] = zero ? 0 : x_round(weighted[i] * to_integer);
  return zero ? 0 : a * P_STEP;
}

typedef struct part { /* a softmax over some positions: see attention.comp */
  float m, l, o[256];
} part;

/* Positions first .. first + n - 1. */
static void block_part(const cpu_heads *h, const int8_t *q, const float *q_d, const cpu_cache *cache, uint32_t head, uint32_t first,
                       uint32_t n, float scale, part *out) {
  uint32_t q4 = cache->type == QUANT_Q4_0, n_scales = KV_VALUE_SCALES(q4, h->head_dim), padded = HEAD_WORDS(h->head_dim) * 4;
  float e[KV_BLOCK] = {0}, units[256 / HEAD_BLOCK];
  cache_row rows[KV_BLOCK];
  int weights[256 / HEAD_BLOCK][KV_BLOCK], sums[256 + 32] = {0};
  out->m = x_from_bits(0xFF7FFFFFu); /* the lowest finite number */
  for (uint32_t i = 0; i < n; i++) {
    rows[i] = row_of(h, cache, head, first + i);
    e[i] = score(h, q, q_d, cache, rows[i], scale);
    out->m = e[i] > out->m ? e[i] : out->m;
  }
  for (uint32_t i = 0; i < n; i++)
    e[i] = x_exp(e[i] - out->m);
  for (uint32_t s = 0; s < n_scales; s++)
    units[s] = weigh(h, cache, rows, e, n, s, weights[s]);
  out->l = tree_sum(e);
  uint32_t width = padded / n_scales;
  for (uint32_t i = 0; i < n; i++) {
    int8_t buffer[256 + 32];
    const int8_t *v = load_row(cache, rows[i].v, padded, buffer);
    for (uint32_t s = 0; s < n_scales; s++)
      for (uint32_t j = s * width; j < (s + 1) * width; j++)
        sums[j] += weights[s][i] * v[j];
  }
  for (uint32_t j = 0; j < h->head_dim; j++)
    out->o[j] = (float)sums[j] * units[j / width];
}

static void merge(part *a, const part *b, uint32_t head_dim) {
  float m = b->m > a->m ? b->m : a->m;
  float scale_a = x_exp(a->m - m), scale_b = x_exp(b->m - m);
  a->m = m;
  a->l = a->l * scale_a + b->l * scale_b;
  for (uint32_t j = 0; j < head_dim; j++)
    a->o[j] = a->o[j] * scale_a + b->o[j] * scale_b;
}

void cpu_attention(const cpu_heads *h, cpu_query query, uint32_t token, uint32_t head, const cpu_cache *cache, uint32_t n_visible,
                   float *o) {
  size_t at = (size_t)token * h->n_heads + head;
  const int8_t *q = query.q + at * HEAD_WORDS(h->head_dim) * 4;
  const float *q_d = query.d + at * HEAD_SCALES(h->head_dim);
  uint32_t kv_head = head / (h->n_heads / h->n_kv_heads);
  float scale = kv_score_scale(cache->type, h->head_dim);
  part total, next;
  block_part(h, q, q_d, cache, kv_head, 0, min_u32(n_visible, KV_BLOCK), scale, &total);
  for (uint32_t i = KV_BLOCK; i < n_visible; i += KV_BLOCK) {
    block_part(h, q, q_d, cache, kv_head, i, min_u32(n_visible - i, KV_BLOCK), scale, &next);
    merge(&total, &next, h->head_dim);
  }
  float inverse = x_rcp(total.l);
  for (uint32_t j = 0; j < h->head_dim; j++)
    o[j] = x_zero_tiny(total.o[j] * inverse);
}

int32_t cpu_argmax(const float *x, uint32_t n) {
  uint32_t best = 0;
  float value = x_from_bits(0xFF800000u); /* -inf */
  for (uint32_t i = 0; i < n; i++)
    if (x[i] > value) {
      value = x[i];
      best = i;
    }
  return (int32_t)best;
}
