#include "selftest.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../shaders/exact.h"
#include "hash.h"
#include "sizes.h"

/* ---- fixed data ---- */

typedef struct random {
  uint64_t state;
} random;

static uint32_t next(random *r) { /* a linear congruential generator; the upper half */
  r->state = r->state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(r->state >> 32);
}

/* -1 .. 1 in steps of 2^-15 */
static float next_float(random *r) {
  return ((float)(int32_t)(next(r) >> 16) - 32768.0f) * (1.0f / 32768);
}

static void fill_floats(random *r, float *x, size_t n, float scale) {
  for (size_t i = 0; i < n; i++)
    x[i] = next_float(r) * scale;
}

static void fill_bytes(random *r, void *out, size_t n) {
  for (size_t i = 0; i < n; i++)
    ((uint8_t *)out)[i] = (uint8_t)(next(r) >> 11);
}

static void fill_codes(random *r, int8_t *q, size_t n) { /* -127 .. 127 */
  for (size_t i = 0; i < n; i++)
    q[i] = (int8_t)((int)(next(r) % 255) - 127);
}

/* The first three blocks of the first row of gate: ties, a block that counts as zero, and the bounds of exp. */
static void fill_special(float *x) {
  for (int i = 0; i < ACT_BLOCK; i++) {
    x[i] = i ? (float)i - 15.5f : 127.0f;
    x[ACT_BLOCK + i] = (i % 2 ? 0.75f : -0.5f) * X_TINY;
    x[2 * ACT_BLOCK + i] = (float)(i - 16) * 5.5f;
  }
}

static void fill_sums(selftest_input *in) {
  for (size_t i = 0; i < sizeof in->q; i++)
    in->sums[i / 16] = (int16_t)((i % 16 ? in->sums[i / 16] : 0) + in->q[i]);
}

void selftest_fill(selftest_input *in) {
  random r = {1};
  fill_floats(&r, in->x, sizeof in->x / 4, 4);
  fill_floats(&r, in->gate, sizeof in->gate / 4, 9);
  fill_floats(&r, in->up, sizeof in->up / 4, 3);
  fill_floats(&r, in->norm, SELFTEST_COLS, 2);
  fill_special(in->gate);
  fill_codes(&r, in->q, sizeof in->q);
  memset(in->q, 127, 64);
  memset(in->q + 64, -127, 64);
  fill_sums(in);
  fill_floats(&r, in->d, sizeof in->d / 4, 0.125f);
  fill_floats(&r, in->bias, SELFTEST_TILED_ROWS, 1);
  for (int i = 0; i < SELFTEST_ACT_ROWS; i++)
    in->ids[i] = i * (SELFTEST_ROWS - 1) / (SELFTEST_ACT_ROWS - 1);
  for (uint32_t i = 0; i < SELFTEST_ATTEND; i++) {
    in->positions[i] = SELFTEST_FIRST + i;
    in->stored[i] = SELFTEST_STORE + i;
  }
  memset(in->counters, 0, sizeof in->counters);
  fill_floats(&r, in->qkv, sizeof in->qkv / 4, 5);
  fill_floats(&r, in->rotation, sizeof in->rotation / 4, 1);
  fill_codes(&r, in->query, sizeof in->query);
  fill_floats(&r, in->query_d, sizeof in->query_d / 4, 0.0625f);
}

/* One head of one block: rows of codes, then scales of up to 1/64, every 16th a subnormal. */
static void fill_head(random *r, uint32_t q4, uint32_t *words) {
  size_t values = 2u * KV_BLOCK * KV_ROW_WORDS(q4, SELFTEST_HEAD_DIM);
  uint16_t *scales = (uint16_t *)(words + values);
  if (q4)
    fill_bytes(r, words, 4 * values);
  else
    fill_codes(r, (int8_t *)words, 4 * values);
  for (size_t i = 0; i < 2u * KV_BLOCK * KV_SCALE_WORDS(q4, SELFTEST_HEAD_DIM); i++) {
    uint32_t sign = q4 ? next(r) & 0x8000 : 0;
    scales[i] = (uint16_t)(sign | (i % 16 ? next(r) % 0x2400 : next(r) % 0x400));
  }
}

void selftest_fill_cache(uint32_t kv_type, selftest_input *in) {
  uint32_t q4 = kv_type == QUANT_Q4_0, head = (uint32_t)(KV_HEAD_WORDS(q4, SELFTEST_HEAD_DIM));
  random r = {200 + kv_type};
  for (uint32_t i = 0; i < SELFTEST_DEVICE_BLOCKS * SELFTEST_KV_HEADS; i++)
    fill_head(&r, q4, in->kv_device + i * head);
  for (uint32_t i = 0; i < (SELFTEST_KV_BLOCKS - SELFTEST_DEVICE_BLOCKS) * SELFTEST_KV_HEADS; i++)
    fill_head(&r, q4, in->kv_host + i * head);
}

size_t selftest_matrix_bytes(uint32_t type) {
  quant_type_info info = quant_info(type);
  return (size_t)SELFTEST_ROWS * SELFTEST_COLS / info.block_weights * info.block_bytes;
}

/* Where a block has its f16 d, and m or dmin behind it. */
static size_t scale_at(uint32_t type) {
  switch (type) {
  case QUANT_Q2_K: return 80;
  case QUANT_Q3_K: return 108;
  case QUANT_Q6_K: return 208;
  default: return 0;
  }
}

/* Any bytes are weights; the scales get small exponents, and every 8th block a subnormal one. */
void selftest_fill_matrix(uint32_t type, uint8_t *blocks) {
  quant_type_info info = quant_info(type);
  random r = {100 + type};
  size_t n = selftest_matrix_bytes(type), d = scale_at(type);
  bool two = quant_has_minimum(type);
  fill_bytes(&r, blocks, n);
  for (size_t at = 0; at < n; at += info.block_bytes)
    for (size_t i = 0; i < (two ? 2u : 1u); i++)
      blocks[at + d + 2 * i + 1] &= at / info.block_bytes % 8 ? 0xAF : 0x83; /* exponents 0 .. 11, or 0 */
}

uint64_t selftest_digest(const selftest_output *out) {
  return hash_bytes(HASH_BEGIN, out->bytes, sizeof out->bytes);
}

uint64_t selftest_expected(kernel_id id, uint32_t type, uint32_t kv_type) {
  /* Written by tests/test_selftest --print. Both forms of a product give the same. */
  static const uint64_t digests[N_KERNELS][N_KERNEL_TYPES] = {
      [KERNEL_NORM_QUANT] = {0x294c3546e283056e},
      [KERNEL_QUANTIZE] = {0xe3b3872510e2f66a},
      [KERNEL_SWIGLU_QUANT] = {0xc8fb2958f633865e},
      [KERNEL_ARGMAX] = {0x79597cebc12317c2},
      [KERNEL_ROPE_STORE] =
          {[QUANT_Q8_0] = 0x68eabc94a52e3683, [QUANT_Q4_0] = 0x608b5cb493d8d0a0},
      [KERNEL_ATTENTION] =
          {[QUANT_Q8_0] = 0xd5e9c56de52b25cc, [QUANT_Q4_0] = 0x0e264224e99db4e5},
      [KERNEL_EMBED] =
          {[QUANT_Q4_0] = 0x3a2500f702e39191, [QUANT_Q4_1] = 0x7b4e4aab6358aec6,
           [QUANT_Q5_0] = 0x000f913b0a44d652, [QUANT_Q5_1] = 0x020348759641ff81,
           [QUANT_Q8_0] = 0xb48bdbed55acd2be, [QUANT_Q2_K] = 0xcd20d2126b864b59,
           [QUANT_Q3_K] = 0x6c13d5ea52beeeeb, [QUANT_Q4_K] = 0x5d88104f0db320c6,
           [QUANT_Q5_K] = 0x18b1f7d8349e32ef, [QUANT_Q6_K] = 0xfe1c3639236f148d,
           [QUANT_IQ4_NL] = 0x52f73d591df9b08f, [QUANT_IQ4_XS] = 0x551423d6ecf7b3cb},
      [KERNEL_REARRANGE] =
          {[QUANT_Q4_0] = 0x14b1d4ada743368b, [QUANT_Q4_1] = 0x471123c625ec86a4,
           [QUANT_Q5_0] = 0xaedac05bac759ee6, [QUANT_Q5_1] = 0xf87e663ea97559da,
           [QUANT_Q8_0] = 0xad34d6fe4b19e6ed, [QUANT_Q2_K] = 0x25c1a9b8c3b03790,
           [QUANT_Q3_K] = 0x619a56b76d8a07e3, [QUANT_Q4_K] = 0xc41ee7c92bd7a409,
           [QUANT_Q5_K] = 0xf3e7c27ff5ff76de, [QUANT_Q6_K] = 0xe679cc6ae8267525,
           [QUANT_IQ4_NL] = 0x9e1dd3eeea3f0db1, [QUANT_IQ4_XS] = 0x8fb5a932810a1465},
      [KERNEL_MATVEC] =
          {[QUANT_Q4_0] = 0xd4e2d798716b3b90, [QUANT_Q4_1] = 0x25235c6c1db5a5eb,
           [QUANT_Q5_0] = 0x783974474d16910c, [QUANT_Q5_1] = 0xd0b6c9f9cc5220f6,
           [QUANT_Q8_0] = 0xd3beaf3d34a696de, [QUANT_Q2_K] = 0x7bb3dc6fb1702717,
           [QUANT_Q3_K] = 0xc664a75902a872a7, [QUANT_Q4_K] = 0x0983d22166a42641,
           [QUANT_Q5_K] = 0x316abee97539cd71, [QUANT_Q6_K] = 0x204566b0f5d8dac7,
           [QUANT_IQ4_NL] = 0x2776040bf273478b, [QUANT_IQ4_XS] = 0x0a5d08683456a509},
      [KERNEL_MATVEC_NORM] =
          {[QUANT_Q4_0] = 0x7163a4725781e061, [QUANT_Q4_1] = 0x6befa0b20e6b1ef4,
           [QUANT_Q5_0] = 0x4501d9b6cf73e839, [QUANT_Q5_1] = 0x7a1eb258137974de,
           [QUANT_Q8_0] = 0xbb64d4b641b6660f, [QUANT_Q2_K] = 0xe88bf36487c0e01f,
           [QUANT_Q3_K] = 0x602c94d9c15b8286, [QUANT_Q4_K] = 0x530fe34a5c4dc165,
           [QUANT_Q5_K] = 0xd694812c232df3c3, [QUANT_Q6_K] = 0x47575a43d92e0b93,
           [QUANT_IQ4_NL] = 0x31849115ac9b710c, [QUANT_IQ4_XS] = 0x0b70718288d72900},
      [KERNEL_MATVEC_ROPE] =
          {[QUANT_Q4_0] = 0x430aa6716e5de8d5, [QUANT_Q4_1] = 0x1b7ef6bc365dbfd9,
           [QUANT_Q5_0] = 0xf482b251f77d46b2, [QUANT_Q5_1] = 0x82a9fc7c385ac0b8,
           [QUANT_Q8_0] = 0x30bfbd3bc8d50441, [QUANT_Q2_K] = 0xa7e5c569987e2419,
           [QUANT_Q3_K] = 0x6370f5e1adb99028, [QUANT_Q4_K] = 0xc40942e464133e74,
           [QUANT_Q5_K] = 0x56cab9610327226f, [QUANT_Q6_K] = 0xe198ac95c577e4db,
           [QUANT_IQ4_NL] = 0xddb34cd2de3fee24, [QUANT_IQ4_XS] = 0x54b86fe1f2972551},
      [KERNEL_MATVEC_SWIGLU] =
          {[QUANT_Q4_0] = 0x4e3e0bf5b1e9be06, [QUANT_Q4_1] = 0xc1fe706862df7fdc,
           [QUANT_Q5_0] = 0xf3b281f90b49bf4c, [QUANT_Q5_1] = 0x4bc2cd4eff8018ab,
           [QUANT_Q8_0] = 0xbb0709f8d70c9bfc, [QUANT_Q2_K] = 0x842a39fedc068707,
           [QUANT_Q3_K] = 0x59e6b23a785858da, [QUANT_Q4_K] = 0x4f766c95df37788e,
           [QUANT_Q5_K] = 0x9b90ee48a2978771, [QUANT_Q6_K] = 0x29ffd2b28740b50a,
           [QUANT_IQ4_NL] = 0x4e3d9a41f2fe4cd7, [QUANT_IQ4_XS] = 0x1d7a99a5e26e6119},
  };
  static const uint64_t rope_q4_0[N_KERNEL_TYPES] =
          {[QUANT_Q4_0] = 0x9084c9db1ebe4f82, [QUANT_Q4_1] = 0xb2cada36094a620b,
           [QUANT_Q5_0] = 0xa4beba6f98281edf, [QUANT_Q5_1] = 0x0eb25a437c96a395,
           [QUANT_Q8_0] = 0x2a0852997df8e088, [QUANT_Q2_K] = 0xb36c7106486930d1,
           [QUANT_Q3_K] = 0x39dba6c84694882e, [QUANT_Q4_K] = 0x03126705cb38413c,
           [QUANT_Q5_K] = 0x7e35dc9737baeb17, [QUANT_Q6_K] = 0xcba4623937709fd6,
           [QUANT_IQ4_NL] = 0x449b7c7da6077032, [QUANT_IQ4_XS] = 0x6efdfb0b51442f49};
  if (id == KERNEL_MATVEC_ROPE && kv_type == QUANT_Q4_0)
    return rope_q4_0[type];
  const bool product = id == KERNEL_MATMAT || id == KERNEL_MATVEC_BATCH;
  return digests[product ? KERNEL_MATVEC : id == KERNEL_ATTENTION_PROMPT ? KERNEL_ATTENTION : id][type];
}

/* ---- running ---- */

struct selftest {
  gpu_device *device;
  gpu_cmd *cmd;
  gpu_buffer in, out;
};

hn_status selftest_create(gpu_device *device, selftest **out, hn_error *err) {
  *out = NULL;
  selftest *self = calloc(1, sizeof *self);
  if (!self)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the self-test");
  self->device = device;
  hn_status status = gpu_buffer_init(device, GPU_MEMORY_HOST, sizeof(selftest_input), "the self-test", &self->in, err);
  if (!status)
    status = gpu_buffer_init(device, GPU_MEMORY_READBACK, sizeof(selftest_output), "the self-test", &self->out, err);
  if (!status)
    status = gpu_cmd_create(device, 0, &self->cmd, err);
  if (!status)
    selftest_fill(self->in.mapped);
  if (status)
    selftest_destroy(&self);
  *out = self;
  return status;
}

void selftest_destroy(selftest **test) {
  selftest *self = *test;
  if (!self)
    return;
  gpu_cmd_destroy(&self->cmd);
  gpu_buffer_finish(self->device, &self->in);
  gpu_buffer_finish(self->device, &self->out);
  free(self);
  *test = NULL;
}

#define IN(field) (self->in.address + offsetof(selftest_input, field))
#define OUT(field) (self->out.address + offsetof(selftest_output, field))

/* Writes the weights of a type into the input: in planes or, for rearrange, which writes planes, as a file has them. */
static hn_status put_matrix(selftest *self, kernel_id id, uint32_t type, gpu_matrix *out, hn_error *err) {
  selftest_input *in = self->in.mapped;
  if (id == KERNEL_REARRANGE) {
    *out = gpu_matrix_at(type, SELFTEST_ROWS, SELFTEST_COLS / QUANT_GRANULE, OUT(bytes));
    memset(in->planes, 0, sizeof in->planes);
    selftest_fill_matrix(type, in->planes);
    return HN_OK;
  }
  uint8_t *blocks = malloc(selftest_matrix_bytes(type)), *to[N_PLANES];
  if (!blocks)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the self-test");
  selftest_fill_matrix(type, blocks);
  *out = gpu_matrix_at(type, SELFTEST_ROWS, SELFTEST_COLS / QUANT_GRANULE, IN(planes));
  for (int i = 0; i < N_PLANES; i++)
    to[i] = out->planes[i] ? in->planes + (out->planes[i] - IN(planes)) : NULL;
  planes_write(type, SELFTEST_ROWS, SELFTEST_COLS, blocks, to);
  free(blocks);
  return HN_OK;
}

static void launch_plain(selftest *self, const kernels *k, kernel_id id) {
  gpu_q8 act = {OUT(act.q), OUT(act.d), OUT(act.sums)};
  const uint32_t blocks = SELFTEST_ACT_ROWS * SELFTEST_BLOCKS;
  if (id == KERNEL_NORM_QUANT)
    kernel_norm_quant(self->cmd, k,
                      &(struct push_norm){IN(gate), IN(norm), act.q, act.d, act.sums, SELFTEST_COLS, 1.0f / (float)SELFTEST_COLS, 1e-5f},
                      SELFTEST_ACT_ROWS);
  else if (id == KERNEL_QUANTIZE)
    kernel_quantize(self->cmd, k, &(struct push_quantize){IN(gate), act.q, act.d, act.sums, blocks});
  else if (id == KERNEL_SWIGLU_QUANT)
    kernel_swiglu_quant(self->cmd, k, &(struct push_swiglu){IN(gate), IN(up), act.q, act.d, act.sums, blocks});
  else
    kernel_argmax(self->cmd, k, &(struct push_argmax){IN(x), OUT(id), SELFTEST_TOKENS * SELFTEST_ROWS});
}

static void launch_cached(selftest *self, const kernels *k, kernel_id id, uint32_t kv_type) {
  const uint32_t heads = SELFTEST_HEADS, kv = SELFTEST_KV_HEADS, dim = SELFTEST_HEAD_DIM;
  selftest_fill_cache(kv_type, self->in.mapped);
  if (id == KERNEL_ROPE_STORE)
    kernel_rope_store(self->cmd, k, kv_type,
                      &(struct push_rope_store){IN(stored), IN(rotation), IN(qkv), OUT(query.q), OUT(query.d), OUT(cache.device), OUT(cache.host),
                                                heads, kv, dim, 1},
                      &(kv_tokens){SELFTEST_ATTEND, SELFTEST_STORE, SELFTEST_STORE + SELFTEST_ATTEND});
  else
    (id == KERNEL_ATTENTION ? kernel_attention : kernel_attention_prompt)(
        self->cmd, k, kv_type,
        &(struct push_attention){IN(positions), IN(query), IN(query_d), IN(kv_device), IN(kv_host), 0, OUT(o.q), OUT(o.d), OUT(o.sums),
                                 IN(part_o), IN(part_sums), IN(counters), heads, kv, SELFTEST_ATTEND_DIM, SELFTEST_DEVICE_BLOCKS,
                                 SELFTEST_ATTEND, kv_score_scale(kv_type, SELFTEST_ATTEND_DIM)},
        &(kv_tokens){SELFTEST_ATTEND, SELFTEST_FIRST, SELFTEST_FIRST + SELFTEST_ATTEND});
}

static void launch_then(selftest *self, const kernels *k, kernel_id id, const gpu_matrix *w) {
  selftest_input *in = self->in.mapped;
  const uint32_t n = SELFTEST_THEN_TOKENS, rows = SELFTEST_TILED_ROWS;
  const kv_tokens tokens = {n, SELFTEST_STORE, SELFTEST_STORE + n};
  gpu_q8 x = {IN(q), IN(d), IN(sums)};
  gpu_product p = {x, IN(bias), 0, OUT(then.y), n, rows};
  gpu_matrix all = *w;
  all.n_rows = rows;
  in->then_norm = (struct then_norm){{OUT(then.y), IN(norm), OUT(then.q), OUT(then.d), OUT(then.sums), rows, 1.0f / (float)rows, 1e-5f},
                                     OUT(then.counters)};
  in->then_rope = (struct then_rope){{IN(stored), IN(rotation), OUT(then.y), OUT(then.query), OUT(then.query_d), OUT(then.device),
                                      OUT(then.host), SELFTEST_THEN_HEADS, SELFTEST_THEN_KV_HEADS, SELFTEST_THEN_HEAD_DIM, 1},
                                     OUT(then.counters)};
  if (id == KERNEL_MATVEC_NORM) {
    p.residual = IN(x);
    kernel_matvec_norm(self->cmd, k, &all, &p, &in->then_norm, IN(then_norm));
  } else if (id == KERNEL_MATVEC_ROPE) {
    kernel_matvec_rope(self->cmd, k, &all, &p, &in->then_rope, IN(then_rope), 0, &tokens);
  } else {
    kernel_matvec_swiglu(self->cmd, k, &all, x, (gpu_q8){OUT(then.q), OUT(then.d), OUT(then.sums)}, n);
  }
}

static void launch_typed(selftest *self, const kernels *k, kernel_id id, const gpu_matrix *w) {
  gpu_product p = {{IN(q), IN(d), IN(sums)}, IN(bias), IN(x), OUT(y), SELFTEST_TOKENS, SELFTEST_ROWS};
  if (id == KERNEL_EMBED)
    kernel_embed(self->cmd, k, w, IN(ids), OUT(x), SELFTEST_ACT_ROWS);
  else if (id == KERNEL_REARRANGE)
    kernel_rearrange(self->cmd, k, w, 0, (SELFTEST_ROWS + TILE_ROWS - 1) / TILE_ROWS, IN(planes));
  else if (id == KERNEL_MATVEC)
    kernel_matvec(self->cmd, k, w, &p);
  else if (id == KERNEL_MATVEC_BATCH)
    kernel_matvec_batch(self->cmd, k, w, &p);
  else if (id == KERNEL_MATVEC_NORM || id == KERNEL_MATVEC_ROPE || id == KERNEL_MATVEC_SWIGLU)
    launch_then(self, k, id, w);
  else
    kernel_matmat(self->cmd, k, w, &p);
}

hn_status selftest_run(selftest *self, const kernels *k, kernel_id id, uint32_t type, uint64_t *digest, hn_error *err) {
  gpu_matrix w = {0};
  memset(self->out.mapped, 0, sizeof(selftest_output));
  hn_status status = id < KERNEL_FIRST_OF_WEIGHTS ? HN_OK : put_matrix(self, id, type, &w, err);
  if (!status)
    status = gpu_cmd_begin(self->cmd, err);
  if (status)
    return status;
  if (id < KERNEL_FIRST_TYPED)
    launch_plain(self, k, id);
  else if (id < KERNEL_FIRST_OF_WEIGHTS)
    launch_cached(self, k, id, type);
  else
    launch_typed(self, k, id, &w);
  status = gpu_cmd_submit_wait(self->cmd, gpu_wait_limit_ns(self->device), err);
  if (!status)
    *digest = selftest_digest(self->out.mapped);
  return status;
}
