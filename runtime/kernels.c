#include "kernels.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tuning.h"

static const char *const names[N_KERNELS] = {
    [KERNEL_NORM_QUANT] = "norm_quant", [KERNEL_QUANTIZE] = "quantize",   [KERNEL_SWIGLU_QUANT] = "swiglu_quant",
    [KERNEL_ARGMAX] = "argmax",         [KERNEL_ROPE_STORE] = "rope_store", [KERNEL_ATTENTION] = "attention",
    [KERNEL_ATTENTION_PROMPT] = "attention_prompt", [KERNEL_EMBED] = "embed", [KERNEL_REARRANGE] = "rearrange", [KERNEL_MATVEC] = "matvec",
    [KERNEL_MATVEC_NORM] = "matvec_norm", [KERNEL_MATVEC_ROPE] = "matvec_rope", [KERNEL_MATVEC_SWIGLU] = "matvec_swiglu",
    [KERNEL_MATVEC_BATCH] = "matvec_batch", [KERNEL_MATMAT] = "matmat",
};

const char *kernel_name(kernel_id id) {
  return names[id];
}

static bool type_of(const char *name, uint32_t *type) {
  for (*type = 0; *type < N_KERNEL_TYPES; ++*type)
    if (quant_is_quantized(*type) && strcasecmp(name, quant_info(*type).name) == 0)
      return true;
  *type = 0;
  return false;
}

bool kernel_of(const spirv_module *module, kernel_id *id, uint32_t *type) {
  for (int i = 0; i < N_KERNELS; i++)
    if (strcmp(module->kernel, names[i]) == 0) {
      *id = (kernel_id)i;
      return type_of(module->type, type) == (i >= KERNEL_FIRST_TYPED);
    }
  return false;
}

bool kernels_suit(const hn_device_info *device, const spirv_module *module) {
  uint32_t constants[GPU_MAX_CONSTANTS];
  return !tuning_is_cooperative(module) || tuning_of(device, KERNEL_MATMAT, module, constants) > 0;
}

hn_status kernels_use_constants(kernels *k, kernel_id id, uint32_t type, const spirv_module *module, const uint32_t *constants, uint32_t n,
                                hn_error *err) {
  gpu_pipeline *pipeline = &k->pipelines[id][type];
  uint32_t all[GPU_MAX_CONSTANTS], *words = spirv_words(module);
  if (!words)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the shader %s", module->name);
  memcpy(all, constants, n * sizeof *all);
  if (id == KERNEL_MATVEC_ROPE && n < GPU_MAX_CONSTANTS)
    all[n++] = k->kv_type == QUANT_Q4_0; /* its last one */
  n = tuning_add_matrix(&k->device->info, module, all, n);
  gpu_pipeline_finish(k->device, pipeline);
  hn_status status = gpu_pipeline_init(k->device, module->name, words, module->n_words, all, n, tuning_subgroup_size(&k->device->info, module, all),
                                       pipeline, err);
  free(words);
  return status;
}

hn_status kernels_use(kernels *k, kernel_id id, uint32_t type, const spirv_module *module, hn_error *err) {
  uint32_t constants[GPU_MAX_CONSTANTS], n = tuning_file_find(&k->tuned, module->name, constants);
  if (n == 0)
    n = tuning_of(&k->device->info, id, module, constants);
  return kernels_use_constants(k, id, type, module, constants, n, err);
}

bool kernels_has(const kernels *k, kernel_id id, uint32_t type) {
  return k->pipelines[id][type].handle != VK_NULL_HANDLE;
}

uint32_t kernels_batch_tokens(const kernels *k, uint32_t type) {
  return k->pipelines[KERNEL_MATVEC_BATCH][type].constants[MATVEC_COLUMNS];
}

void kernels_init(gpu_device *device, kernels *out) {
  *out = (kernels){.device = device};
}

void kernels_finish(kernels *k) {
  for (int id = 0; k->device && id < N_KERNELS; id++)
    for (int type = 0; type < N_KERNEL_TYPES; type++)
      gpu_pipeline_finish(k->device, &k->pipelines[id][type]);
  tuning_file_finish(&k->tuned);
  *k = (kernels){0};
}

gpu_matrix gpu_matrix_at(uint32_t type, uint32_t n_rows, uint32_t n_granules, VkDeviceAddress at) {
  gpu_matrix m = {.type = type, .n_rows = n_rows, .n_granules = n_granules};
  planes p = planes_of(type, n_rows, n_granules);
  for (int i = 0; i < N_PLANES; i++) {
    m.planes[i] = p.tile_bytes[i] ? at : 0;
    at += p.n_tiles * p.tile_bytes[i];
  }
  return m;
}

gpu_matrix gpu_matrix_rows(const gpu_matrix *m, uint32_t first, uint32_t n) {
  gpu_matrix rows = *m;
  planes p = planes_of(m->type, m->n_rows, m->n_granules);
  rows.n_rows = n;
  for (int i = 0; i < N_PLANES; i++)
    rows.planes[i] += m->planes[i] ? first / TILE_ROWS * p.tile_bytes[i] : 0;
  return rows;
}

/* ---- what a launch touches ---- */

static void reads_runs(gpu_access *a, VkDeviceAddress at, uint64_t bytes, uint32_t count, uint64_t stride) {
  if (at && bytes)
    a->reads[a->n_reads++] = (gpu_range){at, bytes, stride, count};
}

static void reads(gpu_access *a, VkDeviceAddress at, uint64_t bytes) {
  reads_runs(a, at, bytes, 1, 0);
}

static void writes_runs(gpu_access *a, VkDeviceAddress at, uint64_t bytes, uint32_t count, uint64_t stride) {
  if (at && bytes)
    a->writes[a->n_writes++] = (gpu_range){at, bytes, stride, count};
}

static void writes(gpu_access *a, VkDeviceAddress at, uint64_t bytes) {
  writes_runs(a, at, bytes, 1, 0);
}

static void reads_q8(gpu_access *a, gpu_q8 rows, uint64_t n_blocks) {
  reads(a, rows.q, n_blocks * ACT_BLOCK);
  reads(a, rows.d, n_blocks * 4);
  reads(a, rows.sums, n_blocks * 4);
}

static void writes_q8(gpu_access *a, gpu_q8 rows, uint64_t n_blocks) {
  writes(a, rows.q, n_blocks * ACT_BLOCK);
  writes(a, rows.d, n_blocks * 4);
  writes(a, rows.sums, n_blocks * 4);
}

/* n values, each taking about so many float operations */
static void computes(gpu_access *a, uint64_t n, uint64_t ops_each) {
  a->ops = n * ops_each;
  a->float_ops = true;
}

static void reads_matrix(gpu_access *a, const gpu_matrix *w) {
  planes p = planes_of(w->type, w->n_rows, w->n_granules);
  for (int i = 0; i < N_PLANES; i++)
    reads(a, w->planes[i], p.n_tiles * p.tile_bytes[i]);
}

/* ---- launches ---- */

static uint32_t groups(uint32_t n, uint32_t per_group) {
  return (n + per_group - 1) / per_group;
}

#define DISPATCH(id, type, push, x, y) \
  gpu_cmd_dispatch(cmd, &(gpu_launch){&k->pipelines[id][type], push, sizeof *(push), x, y}, &a)

void kernel_embed(gpu_cmd *cmd, const kernels *k, const gpu_matrix *table, VkDeviceAddress ids, VkDeviceAddress x, uint32_t n_tokens) {
  const VkDeviceAddress *w = table->planes;
  struct push_embed push = {w[PLANE_Q], w[PLANE_HIGH], w[PLANE_SCALE], w[PLANE_D], ids, x, table->n_granules};
  gpu_access a = {0};
  reads_matrix(&a, table);
  reads(&a, ids, 4ull * n_tokens);
  uint64_t n_values = (uint64_t)n_tokens * table->n_granules * QUANT_GRANULE;
  quant_type_info info = quant_info(table->type);
  writes(&a, x, 4 * n_values);
  a.least_bytes = 4 * n_values + n_values / info.block_weights * info.block_bytes + 4ull * n_tokens; /* any rows, but not all */
  computes(&a, n_values, 2);
  DISPATCH(KERNEL_EMBED, table->type, &push, groups(push.n_granules, 64), n_tokens);
}

void kernel_rearrange(gpu_cmd *cmd, const kernels *k, const gpu_matrix *to, uint32_t first, uint32_t n, VkDeviceAddress raw) {
  enum { GROUP_GRANULES = 64 * 8 }; /* of a pair of rows */
  planes p = planes_of(to->type, to->n_rows, to->n_granules);
  quant_type_info info = quant_info(to->type);
  VkDeviceAddress at[N_PLANES];
  gpu_access a = {0};
  reads(&a, raw, (uint64_t)n * TILE_ROWS * (to->n_granules * QUANT_GRANULE / info.block_weights) * info.block_bytes);
  for (int i = 0; i < N_PLANES; i++) {
    at[i] = to->planes[i] ? to->planes[i] + first * p.tile_bytes[i] : 0;
    if (at[i])
      writes(&a, at[i], n * p.tile_bytes[i]);
  }
  struct push_rearrange push = {raw, at[PLANE_Q], at[PLANE_HIGH], at[PLANE_SCALE], at[PLANE_D], to->n_granules};
  DISPATCH(KERNEL_REARRANGE, to->type, &push, groups(to->n_granules * (TILE_ROWS / 2), GROUP_GRANULES), n);
}

/* But for x. */
static void touch_norm(gpu_access *a, const struct push_norm *push, uint32_t n_tokens) {
  reads(a, push->weight, 4ull * push->n);
  writes_q8(a, (gpu_q8){push->q, push->d, push->sums}, (uint64_t)n_tokens * (push->n / ACT_BLOCK));
}

void kernel_norm_quant(gpu_cmd *cmd, const kernels *k, const struct push_norm *push, uint32_t n_tokens) {
  gpu_access a = {0};
  reads(&a, push->x, 4ull * n_tokens * push->n);
  touch_norm(&a, push, n_tokens);
  computes(&a, (uint64_t)n_tokens * push->n, 6);
  DISPATCH(KERNEL_NORM_QUANT, 0, push, n_tokens, 1);
}

void kernel_quantize(gpu_cmd *cmd, const kernels *k, const struct push_quantize *push) {
  gpu_access a = {0};
  reads(&a, push->x, 4ull * ACT_BLOCK * push->n_blocks);
  writes_q8(&a, (gpu_q8){push->q, push->d, push->sums}, push->n_blocks);
  computes(&a, (uint64_t)push->n_blocks * ACT_BLOCK, 2);
  DISPATCH(KERNEL_QUANTIZE, 0, push, groups(push->n_blocks, 64), 1);
}

void kernel_swiglu_quant(gpu_cmd *cmd, const kernels *k, const struct push_swiglu *push) {
  gpu_access a = {0};
  reads(&a, push->gate, 4ull * ACT_BLOCK * push->n_blocks);
  reads(&a, push->up, 4ull * ACT_BLOCK * push->n_blocks);
  writes_q8(&a, (gpu_q8){push->q, push->d, push->sums}, push->n_blocks);
  computes(&a, (uint64_t)push->n_blocks * ACT_BLOCK, 40); /* x_exp, x_rcp */
  DISPATCH(KERNEL_SWIGLU_QUANT, 0, push, groups(push->n_blocks, 64), 1);
}

/* ---- the KV cache: see shaders/shared.h ---- */

typedef struct cache_shape {
  VkDeviceAddress device, host;
  uint64_t head_bytes, row_bytes, scale_bytes; /* of a block, a key or value, a position's scales */
  uint32_t n_kv_heads, n_device_blocks;
} cache_shape;

static cache_shape shape_of(uint32_t kv_type, VkDeviceAddress device, VkDeviceAddress host, uint32_t n_device_blocks, uint32_t n_kv_heads,
                            uint32_t head_dim) {
  uint32_t q4 = kv_type == QUANT_Q4_0;
  return (cache_shape){device, host, 4ull * KV_HEAD_WORDS(q4, head_dim), 4ull * KV_ROW_WORDS(q4, head_dim), 4ull * KV_SCALE_WORDS(q4, head_dim),
                       n_kv_heads, n_device_blocks};
}

typedef void (*touch)(gpu_access *a, VkDeviceAddress at, uint64_t bytes, uint32_t count, uint64_t stride);

static VkDeviceAddress block_at(const cache_shape *c, uint32_t block) {
  uint64_t bytes = c->n_kv_heads * c->head_bytes;
  return block < c->n_device_blocks ? c->device + block * bytes : c->host + (block - c->n_device_blocks) * bytes;
}

/* Positions first .. end - 1 of one block. */
static void touch_rows(gpu_access *a, touch fn, const cache_shape *c, uint32_t block, uint32_t first, uint32_t end) {
  VkDeviceAddress at = block_at(c, block);
  uint64_t n = end - first, values = KV_BLOCK * c->row_bytes;
  fn(a, at + first * c->row_bytes, n * c->row_bytes, c->n_kv_heads, c->head_bytes);
  fn(a, at + values + first * c->row_bytes, n * c->row_bytes, c->n_kv_heads, c->head_bytes);
  fn(a, at + 2 * values + first * c->scale_bytes, n * c->scale_bytes, c->n_kv_heads, c->head_bytes);
}

static void touch_blocks(gpu_access *a, touch fn, const cache_shape *c, uint32_t first, uint32_t end) {
  if (first < end)
    fn(a, block_at(c, first), (end - first) * c->n_kv_heads * c->head_bytes, 1, 0);
}

/* Positions first .. end - 1: rows of a first and a last block that are not whole, and the blocks between, which may lie in two places. */
static void touch_cache(gpu_access *a, touch fn, const cache_shape *c, uint32_t first, uint32_t end) {
  uint32_t begin = first / KV_BLOCK, whole = end / KV_BLOCK;
  if (first % KV_BLOCK) {
    uint32_t block_end = (begin + 1) * KV_BLOCK;
    touch_rows(a, fn, c, begin, first % KV_BLOCK, (end < block_end ? end : block_end) - begin * KV_BLOCK);
    begin++;
  }
  uint32_t border = c->n_device_blocks < begin ? begin : c->n_device_blocks < whole ? c->n_device_blocks : whole;
  touch_blocks(a, fn, c, begin, border);
  touch_blocks(a, fn, c, border, whole);
  if (end % KV_BLOCK && whole >= begin)
    touch_rows(a, fn, c, whole, 0, end % KV_BLOCK);
}

/* But for qkv. */
static void touch_rope_store(gpu_access *a, uint32_t kv_type, const struct push_rope_store *push, const kv_tokens *tokens) {
  uint64_t n_heads = (uint64_t)tokens->n * push->n_heads;
  cache_shape c = shape_of(kv_type, push->kv_device, push->kv_host, push->n_device_blocks, push->n_kv_heads, push->head_dim);
  reads(a, push->positions, 4ull * tokens->n);
  reads(a, push->rotation, 4ull * tokens->n * push->head_dim);
  writes(a, push->q, 4 * n_heads * HEAD_WORDS(push->head_dim));
  writes(a, push->q_d, 4 * n_heads * HEAD_SCALES(push->head_dim));
  touch_cache(a, writes_runs, &c, tokens->first, tokens->end);
}

void kernel_rope_store(gpu_cmd *cmd, const kernels *k, uint32_t kv_type, const struct push_rope_store *push, const kv_tokens *tokens) {
  uint64_t n_all = (uint64_t)tokens->n * (push->n_heads + 2ull * push->n_kv_heads);
  gpu_access a = {0};
  reads(&a, push->qkv, 4 * n_all * push->head_dim);
  touch_rope_store(&a, kv_type, push, tokens);
  computes(&a, n_all * push->head_dim, 5);
  DISPATCH(KERNEL_ROPE_STORE, kv_type, push, push->n_heads + push->n_kv_heads, tokens->n);
}

/* What both forms read and write. */
static gpu_access attention_access(uint32_t kv_type, const struct push_attention *push, const kv_tokens *tokens) {
  uint64_t n_heads = (uint64_t)tokens->n * push->n_heads;
  cache_shape c = shape_of(kv_type, push->kv_device, push->kv_host, push->n_device_blocks, push->n_kv_heads, push->head_dim);
  gpu_access a = {0};
  reads(&a, push->positions, 4ull * tokens->n);
  reads(&a, push->q, 4 * n_heads * HEAD_WORDS(push->head_dim));
  reads(&a, push->q_d, 4 * n_heads * HEAD_SCALES(push->head_dim));
  touch_cache(&a, reads_runs, &c, 0, tokens->end);
  if (push->o)
    writes(&a, push->o, 4 * n_heads * push->head_dim);
  else
    writes_q8(&a, (gpu_q8){push->a_q, push->a_d, push->a_sums}, n_heads * push->head_dim / ACT_BLOCK);
  uint64_t n = tokens->n, n_seen = n * (tokens->end - n) + n * (n + 1) / 2; /* by all together, where they are the last ones */
  a.ops = 4 * n_seen * push->n_heads * push->head_dim;
  return a;
}

void kernel_attention(gpu_cmd *cmd, const kernels *k, uint32_t kv_type, const struct push_attention *push, const kv_tokens *tokens) {
  gpu_access a = attention_access(kv_type, push, tokens);
  uint32_t n_blocks = groups(tokens->end, KV_BLOCK);
  uint64_t n_parts = (uint64_t)tokens->n * n_blocks * push->n_heads;
  if (n_blocks > 1) { /* what it reads of them it has written */
    writes(&a, push->part_o, 4 * n_parts * push->head_dim);
    writes(&a, push->part_sums, 8 * n_parts);
    writes(&a, push->counters, 4ull * tokens->n * push->n_kv_heads);
  }
  DISPATCH(KERNEL_ATTENTION, kv_type, push, tokens->n * push->n_kv_heads, n_blocks);
}

void kernel_attention_prompt(gpu_cmd *cmd, const kernels *k, uint32_t kv_type, const struct push_attention *push, const kv_tokens *tokens) {
  gpu_access a = attention_access(kv_type, push, tokens);
  uint32_t n_rows = tokens->n * (push->n_heads / push->n_kv_heads);
  DISPATCH(KERNEL_ATTENTION_PROMPT, kv_type, push, groups(n_rows, PROMPT_ROWS), push->n_kv_heads * groups(push->head_dim, ATTENTION_DIMS));
}

void kernel_argmax(gpu_cmd *cmd, const kernels *k, const struct push_argmax *push) {
  gpu_access a = {0};
  reads(&a, push->logits, 4ull * push->n);
  writes(&a, push->result, 4);
  computes(&a, push->n, 1);
  DISPATCH(KERNEL_ARGMAX, 0, push, 1, 1);
}

static struct push_matmul push_product(const gpu_matrix *w, const gpu_product *p) {
  return (struct push_matmul){w->planes[PLANE_Q], w->planes[PLANE_HIGH], w->planes[PLANE_SCALE], w->planes[PLANE_D],
                              p->x.q, p->x.d, p->x.sums, p->bias, p->residual, p->y,
                              w->n_granules, w->n_rows, p->n_tokens, p->y_stride};
}

static gpu_access product_access(const gpu_matrix *w, const gpu_product *p) {
  gpu_access a = {0};
  reads_matrix(&a, w);
  reads_q8(&a, p->x, (uint64_t)p->n_tokens * w->n_granules);
  reads(&a, p->bias, 4ull * w->n_rows);
  reads_runs(&a, p->residual, 4ull * w->n_rows, p->n_tokens, 4ull * p->y_stride);
  a.ops = 2ull * w->n_rows * w->n_granules * QUANT_GRANULE * p->n_tokens;
  writes_runs(&a, p->y, 4ull * w->n_rows, p->n_tokens, 4ull * p->y_stride);
  return a;
}

/* A record of what follows a product, and its counters. */
static void touch_then(gpu_access *a, VkDeviceAddress at, uint64_t bytes, VkDeviceAddress counters, uint64_t n_counters) {
  reads(a, at, bytes);
  reads(a, counters, 4 * n_counters);
  writes(a, counters, 4 * n_counters);
}

/* Workgroups for these rows by a kernel of matvec.glsl. */
static uint32_t row_groups(const kernels *k, kernel_id id, const gpu_matrix *w, uint32_t n_rows) {
  return groups(n_rows, matvec_rows_of(k->pipelines[id][w->type].constants));
}

void kernel_matvec(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p) {
  struct push_matmul push = push_product(w, p);
  gpu_access a = product_access(w, p);
  DISPATCH(KERNEL_MATVEC, w->type, &push, row_groups(k, KERNEL_MATVEC, w, w->n_rows), p->n_tokens);
}

void kernel_matvec_batch(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p) {
  struct push_matmul push = push_product(w, p);
  gpu_access a = product_access(w, p);
  uint32_t n_groups = groups(p->n_tokens, kernels_batch_tokens(k, w->type));
  DISPATCH(KERNEL_MATVEC_BATCH, w->type, &push, row_groups(k, KERNEL_MATVEC_BATCH, w, w->n_rows), n_groups);
}

void kernel_matvec_norm(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p, const struct then_norm *then,
                        VkDeviceAddress at) {
  struct push_matvec_then push = {push_product(w, p), at, 0};
  gpu_access a = product_access(w, p);
  touch_norm(&a, &then->norm, p->n_tokens);
  touch_then(&a, at, sizeof *then, then->counters, p->n_tokens);
  DISPATCH(KERNEL_MATVEC_NORM, w->type, &push, row_groups(k, KERNEL_MATVEC_NORM, w, w->n_rows), p->n_tokens);
}

void kernel_matvec_rope(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p, const struct then_rope *then,
                        VkDeviceAddress at, uint32_t first_row, const kv_tokens *tokens) {
  struct push_matvec_then push = {push_product(w, p), at, first_row};
  gpu_access a = product_access(w, p);
  touch_rope_store(&a, k->kv_type, &then->heads, tokens);
  touch_then(&a, at, sizeof *then, then->counters, (uint64_t)p->n_tokens * (then->heads.n_heads + then->heads.n_kv_heads));
  DISPATCH(KERNEL_MATVEC_ROPE, w->type, &push, row_groups(k, KERNEL_MATVEC_ROPE, w, w->n_rows), p->n_tokens);
}

void kernel_matvec_swiglu(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, gpu_q8 x, gpu_q8 to, uint32_t n_tokens) {
  gpu_product p = {.x = x, .n_tokens = n_tokens};
  struct push_matvec_swiglu push = {push_product(w, &p), to.q, to.d, to.sums};
  gpu_access a = product_access(w, &p);
  push.product.n_rows = w->n_rows / 2; /* of each */
  writes_q8(&a, to, (uint64_t)n_tokens * (w->n_rows / 2 / ACT_BLOCK));
  DISPATCH(KERNEL_MATVEC_SWIGLU, w->type, &push, row_groups(k, KERNEL_MATVEC_SWIGLU, w, w->n_rows / 2), n_tokens);
}

void kernel_matmat(gpu_cmd *cmd, const kernels *k, const gpu_matrix *w, const gpu_product *p) {
  struct push_matmul push = push_product(w, p);
  gpu_access a = product_access(w, p);
  matmat_tile tile = matmat_tile_of(k->pipelines[KERNEL_MATMAT][w->type].constants);
  DISPATCH(KERNEL_MATMAT, w->type, &push, groups(w->n_rows, tile.rows), groups(p->n_tokens, tile.tokens));
}
