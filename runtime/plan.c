#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../loader/quant.h"
#include "../shaders/shared.h"
#include "forward.h"
#include "gpu_upload.h"
#include "joined.h"
#include "planes.h"
#include "selftest.h"
#include "sizes.h"

#define MIB ((uint64_t)1 << 20)
#define MAX_ACTIVATION_BYTES (64 * MIB)      /* the batch shrinks until they fit */
#define MARGIN_BYTES (512 * MIB)             /* left for a desktop where no budget is given */
#define MAX_ALLOCATION_BYTES (1024 * MIB)    /* items share allocations up to this size */
enum { MIN_BATCH = 16, MAX_SESSIONS = 64, CHOSEN_CTX = 4096 /* at least, where none is wished */,
       MODEL_OTHERS = 5, SESSION_OTHERS = 6 /* items that belong to no layer */, MAX_ROUNDS = 8 };

static uint64_t align(uint64_t bytes) {
  return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

/* ---- sizes ---- */

static uint64_t matrix_bytes(const gguf_tensor *tensor) {
  matrix m = matrix_of(tensor);
  return align(planes_bytes(m.type, m.n_rows, m.n_cols / QUANT_GRANULE));
}

static uint64_t layer_bytes(const model_layer *layer) {
  uint64_t bytes = 0;
  for (int i = 0; i < N_LAYER_MATRICES; i++)
    bytes += align(joined_bytes(layer, i));
  for (int i = 0; i < N_LAYER_VECTORS; i++)
    bytes += align(joined_vector_bytes(layer, i));
  return bytes;
}

static uint64_t host_bytes_of_session(const model_config *c, uint32_t n_batch) {
  return align(logits_bytes(c)) + align(host_input_bytes(c, n_batch));
}

/* ---- what goes where ---- */

typedef struct sums {
  const model_header *model;
  uint64_t weights;        /* on the device, but for those of host layers */
  uint64_t session;        /* on the device, without the cache; each */
  uint64_t host;           /* all that is on the host in any case */
  uint64_t kv_block;       /* of all layers */
  uint64_t part_block;     /* what attention writes of a block, wherever that lies */
  uint32_t n_sessions;
} sums;

static sums sum_up(const model_header *model, const plan_wish *wish, uint32_t n_batch) {
  const model_config *c = &model->config;
  const model_tensors *t = &model->tensors;
  sums s = {.model = model, .n_sessions = wish->n_sessions ? wish->n_sessions : 1};
  s.weights = matrix_bytes(t->output) + align(t->output_norm->bytes);
  for (uint32_t i = 0; i < c->n_layers; i++)
    s.weights += layer_bytes(&t->layers[i]);
  s.session = align(activations_of(c, n_batch).bytes) + align(logits_bytes(c));
  s.host = STAGING_BYTES + (t->tok_embd == t->output ? 0 : matrix_bytes(t->tok_embd)) + s.n_sessions * host_bytes_of_session(c, n_batch);
  s.part_block = part_bytes(c);
  s.kv_block = c->n_layers * kv_block_bytes(c, wish->kv_type);
  return s;
}

static uint32_t choose_batch(const model_config *c) {
  uint32_t n = MAX_BATCH;
  while (n > MIN_BATCH && activations_of(c, n).bytes + logits_bytes(c) > MAX_ACTIVATION_BYTES)
    n /= 2;
  return n;
}

static uint32_t smaller(uint64_t a, uint32_t b) {
  return a < b ? (uint32_t)a : b;
}

static uint64_t less(uint64_t a, uint64_t b) {
  return a > b ? a - b : 0;
}

/* Fills the numbers of the plan such that what is on the device takes at most `budget`, where that can be. n_ctx 0: as many tokens as that
 * leaves room for. spill: what it does not hold may go to the host. Returns the bytes on the device, not rounded up. */
static uint64_t place(plan *p, const sums *s, uint32_t n_ctx, int32_t n_host_layers, uint64_t budget, bool spill) {
  const model_config *c = &s->model->config;
  uint64_t device = s->weights + s->n_sessions * s->session, each = s->n_sessions * s->kv_block, parts = s->n_sessions * s->part_block;
  if (n_ctx)
    device += kv_blocks(n_ctx) * parts;
  else
    each += parts;
  /* Layers leave, last first, only where no block of the cache is left on the device. */
  p->base.n_host_layers = n_host_layers > 0 ? (uint32_t)n_host_layers : 0;
  for (uint32_t i = 0; i < p->base.n_host_layers; i++)
    device -= layer_bytes(&s->model->tensors.layers[c->n_layers - 1 - i]);
  while (spill && n_host_layers < 0 && device > budget && p->base.n_host_layers < c->n_layers)
    device -= layer_bytes(&s->model->tensors.layers[c->n_layers - ++p->base.n_host_layers]);
  uint64_t blocks = less(budget, device) / each;
  p->base.n_ctx = n_ctx ? n_ctx : smaller(blocks * KV_BLOCK, c->n_ctx_train);
  p->n_blocks = kv_blocks(p->base.n_ctx);
  p->n_host_blocks = spill ? p->n_blocks - smaller(blocks, p->n_blocks) : 0;
  p->base.n_host_positions = (uint32_t)less(p->base.n_ctx, (uint64_t)(p->n_blocks - p->n_host_blocks) * KV_BLOCK);
  return device + (p->n_blocks - p->n_host_blocks) * each;
}

/* ---- items and allocations ---- */

typedef struct builder {
  plan *plan;
  uint64_t max_allocation;
  plan_owner owner;
  uint32_t session;
  uint32_t last[PLAN_PROCESS + 1]; /* the allocation of each place that is being filled; UINT32_MAX: none */
} builder;

static void begin(builder *b, plan_owner owner, uint32_t session) {
  b->owner = owner;
  b->session = session;
  for (int i = 0; i <= PLAN_PROCESS; i++)
    b->last[i] = UINT32_MAX;
}

/* NULL where bytes is 0. */
static const hn_plan_item *add(builder *b, hn_plan_kind kind, const char *name, int32_t layer, plan_place place, uint64_t bytes) {
  plan *p = b->plan;
  uint64_t limit = b->max_allocation < MAX_ALLOCATION_BYTES ? b->max_allocation : MAX_ALLOCATION_BYTES;
  if (bytes == 0)
    return NULL;
  bytes = align(bytes);
  uint32_t *last = &b->last[place];
  if (*last == UINT32_MAX || p->allocations[*last].bytes + bytes > limit) {
    *last = p->n_allocations++;
    p->allocations[*last] = (plan_allocation){place, b->owner, b->session, 0};
  }
  plan_allocation *a = &p->allocations[*last];
  hn_plan_item *item = &p->items[p->base.n_items++];
  *item = (hn_plan_item){kind, name, layer, place != PLAN_DEVICE, bytes, *last, a->bytes};
  a->bytes += bytes;
  return item;
}

static void add_layer(builder *b, const sums *s, uint32_t i) {
  const model_layer *from = &s->model->tensors.layers[i];
  plan_layer *to = &b->plan->layers[i];
  plan_place place = i + b->plan->base.n_host_layers < s->model->config.n_layers ? PLAN_DEVICE : PLAN_HOST;
  for (int m = 0; m < N_LAYER_MATRICES; m++)
    to->matrices[m] = add(b, HN_PLAN_WEIGHTS, from->matrices[m]->name, (int32_t)i, place, joined_bytes(from, m));
  for (int v = 0; v < N_LAYER_VECTORS; v++)
    if (from->vectors[v])
      to->vectors[v] = add(b, HN_PLAN_WEIGHTS, from->vectors[v]->name, (int32_t)i, place, joined_vector_bytes(from, v));
}

static void add_model(builder *b, const sums *s) {
  plan *p = b->plan;
  const model_tensors *t = &s->model->tensors;
  begin(b, PLAN_MODEL, 0);
  p->output = add(b, HN_PLAN_OUTPUT, t->output->name, -1, PLAN_DEVICE, matrix_bytes(t->output));
  p->output_norm = add(b, HN_PLAN_WEIGHTS, t->output_norm->name, -1, PLAN_DEVICE, t->output_norm->bytes);
  for (uint32_t i = 0; i < s->model->config.n_layers; i++)
    add_layer(b, s, i);
  p->tok_embd = t->tok_embd == t->output ? p->output : add(b, HN_PLAN_EMBEDDING, t->tok_embd->name, -1, PLAN_HOST, matrix_bytes(t->tok_embd));
  begin(b, PLAN_LOADING, 0);
  add(b, HN_PLAN_LOADING, "staging", -1, PLAN_HOST, STAGING_BYTES);
  add(b, HN_PLAN_LOADING, "self-test", -1, PLAN_HOST, sizeof(selftest_input) + sizeof(selftest_output));
}

static void add_session(builder *b, const sums *s, uint32_t index) {
  plan *p = b->plan;
  const model_config *c = &s->model->config;
  uint64_t block = kv_block_bytes(c, p->kv_type);
  begin(b, PLAN_SESSION, index);
  const hn_plan_item *scratch = add(b, HN_PLAN_ACTIVATIONS, "activations", -1, PLAN_DEVICE, activations_of(c, p->base.n_batch).bytes);
  const hn_plan_item *parts = add(b, HN_PLAN_ACTIVATIONS, "parts of attention", -1, PLAN_DEVICE, p->n_blocks * part_bytes(c));
  const hn_plan_item *logits = add(b, HN_PLAN_LOGITS, "logits", -1, PLAN_DEVICE, logits_bytes(c));
  const hn_plan_item *readback = add(b, HN_PLAN_LOGITS, "logits, read back", -1, PLAN_READBACK, logits_bytes(c));
  const hn_plan_item *input = add(b, HN_PLAN_LOGITS, "tokens and rotation", -1, PLAN_HOST, host_input_bytes(c, p->base.n_batch));
  add(b, HN_PLAN_LOGITS, "tokens", -1, PLAN_PROCESS, 4ull * p->base.n_ctx);
  for (uint32_t i = 0; i < c->n_layers; i++) {
    const hn_plan_item *device = add(b, HN_PLAN_KV_CACHE, "KV cache", (int32_t)i, PLAN_DEVICE, (p->n_blocks - p->n_host_blocks) * block);
    const hn_plan_item *host = add(b, HN_PLAN_KV_CACHE, "KV cache, last positions", (int32_t)i, PLAN_HOST, p->n_host_blocks * block);
    if (index > 0)
      continue;
    p->layers[i].cache_device = device;
    p->layers[i].cache_host = host;
  }
  if (index > 0)
    return;
  p->activations = scratch;
  p->parts = parts;
  p->logits = logits;
  p->readback = readback;
  p->input = input;
}

static void build(plan *p, const sums *s, uint64_t max_allocation) {
  builder b = {.plan = p, .max_allocation = max_allocation};
  p->n_allocations = 0;
  p->base.n_items = 0;
  p->base.device_bytes = p->base.host_bytes = 0;
  add_model(&b, s);
  for (uint32_t i = 0; i < s->n_sessions; i++)
    add_session(&b, s, i);
  for (uint32_t i = 0; i < p->n_allocations; i++) {
    plan_allocation *a = &p->allocations[i];
    a->bytes = (a->bytes + PLAN_PAGE - 1) / PLAN_PAGE * PLAN_PAGE;
    *(a->place == PLAN_DEVICE ? &p->base.device_bytes : &p->base.host_bytes) += a->bytes;
  }
}

/* What one decoded token reads with a full context. */
static void count_reads(plan *p) {
  uint64_t device = 0, host = 0;
  for (size_t i = 0; i < p->base.n_items; i++) {
    const hn_plan_item *item = &p->items[i];
    const plan_allocation *a = &p->allocations[item->allocation];
    bool weights = item->kind == HN_PLAN_WEIGHTS || item->kind == HN_PLAN_OUTPUT;
    if (weights || (item->kind == HN_PLAN_KV_CACHE && a->session == 0))
      *(item->on_host ? &host : &device) += item->bytes;
  }
  p->base.token_device_bytes = device;
  p->base.token_host_bytes = host;
}

/* ---- the plan ---- */

/* Of a unified device without a budget: half of the machine, for what is on the host too, so that nothing is gained by going there. */
static bool is_shared(const hn_memory *memory, const plan_wish *wish) {
  return memory->unified && !wish->budget_bytes;
}

/* For the device's part; is_shared: for both. */
static uint64_t choose_limit(const hn_memory *memory, const plan_wish *wish) {
  uint64_t limit = wish->budget_bytes;
  if (is_shared(memory, wish))
    limit = memory->device_bytes / 2;
  else if (!limit)
    limit = memory->device_free > MARGIN_BYTES ? memory->device_free - MARGIN_BYTES : 0;
  return limit < memory->device_free ? limit : memory->device_free;
}

static plan_lack find_lack(const plan *p, const hn_memory *memory, const plan_wish *wish) {
  uint64_t device = p->base.device_bytes + wish->taken_device_bytes, host = p->base.host_bytes + wish->taken_host_bytes;
  for (size_t i = 0; i < p->n_allocations; i++)
    if (p->allocations[i].bytes > memory->max_allocation_bytes && p->allocations[i].place != PLAN_PROCESS)
      return PLAN_LACKS_ALLOCATION;
  if (device > p->base.budget_bytes)
    return PLAN_LACKS_DEVICE;
  return (memory->unified ? device + host <= memory->device_free : host <= memory->host_free) ? PLAN_LACKS_NOTHING : PLAN_LACKS_HOST;
}

/* By how much it exceeds the budget, or the memory that host and device share. */
static uint64_t excess(const plan *p, const hn_memory *memory, const plan_wish *wish) {
  uint64_t device = p->base.device_bytes + wish->taken_device_bytes, over = less(device, p->base.budget_bytes);
  uint64_t over_all = memory->unified ? less(device + p->base.host_bytes + wish->taken_host_bytes, memory->device_free) : 0;
  return over > over_all ? over : over_all;
}

/* Places and builds: allocations are rounded up, so that a little less is placed where the sum of them exceeds the budget. */
static void fill(plan *p, const sums *s, const hn_memory *memory, const plan_wish *wish, uint32_t n_ctx, int32_t n_host_layers, bool spill) {
  bool shared = is_shared(memory, wish);
  uint64_t limit = choose_limit(memory, wish);
  uint64_t budget = less(limit, (shared ? s->host + wish->taken_host_bytes : 0) + wish->taken_device_bytes);
  for (int i = 0; i < MAX_ROUNDS; i++) {
    uint64_t placed = place(p, s, n_ctx, n_host_layers, budget, spill);
    build(p, s, memory->max_allocation_bytes);
    p->base.budget_bytes = less(limit, shared ? p->base.host_bytes + wish->taken_host_bytes : 0);
    uint64_t over = excess(p, memory, wish);
    if (!over)
      break;
    budget = less(placed, over); /* so that at least a block, or a layer, leaves */
  }
}

/* The longest context that lies wholly on the device; then the one that is wished. */
static void fill_twice(plan *p, const sums *s, const hn_memory *memory, const plan_wish *wish) {
  uint32_t n_ctx_train = s->model->config.n_ctx_train, least = n_ctx_train < CHOSEN_CTX ? n_ctx_train : CHOSEN_CTX;
  fill(p, s, memory, wish, 0, 0, false);
  uint32_t n_ctx_max = p->base.n_ctx;
  uint32_t chosen = n_ctx_max > least ? n_ctx_max : least;
  fill(p, s, memory, wish, wish->n_ctx ? wish->n_ctx : chosen, wish->n_host_layers, !is_shared(memory, wish));
  p->base.n_ctx_max = n_ctx_max;
  count_reads(p);
  p->lack = find_lack(p, memory, wish);
  p->base.fits = p->lack == PLAN_LACKS_NOTHING;
}

static hn_status check(const model_header *model, const plan_wish *wish, hn_error *err) {
  uint32_t longest = model->config.n_ctx_train;
  if (wish->n_ctx > longest)
    return hn_fail(err, HN_ERROR_ARGUMENT, "a context of %u tokens: the model was made for %u", (unsigned)wish->n_ctx, (unsigned)longest);
  if (wish->n_batch > MAX_BATCH)
    return hn_fail(err, HN_ERROR_ARGUMENT, "batches of %u tokens: at most %d", (unsigned)wish->n_batch, MAX_BATCH);
  if (wish->n_sessions > MAX_SESSIONS)
    return hn_fail(err, HN_ERROR_ARGUMENT, "%u sessions: at most %d", (unsigned)wish->n_sessions, MAX_SESSIONS);
  return HN_OK;
}

hn_status plan_init(const model_header *model, const hn_memory *memory, const plan_wish *wish, plan *out, hn_error *err) {
  const model_config *c = &model->config;
  *out = (plan){.kv_type = wish->kv_type, .shared = is_shared(memory, wish), .taken_bytes = wish->taken_device_bytes};
  hn_status status = check(model, wish, err);
  if (status)
    return status;
  out->base.n_batch = wish->n_batch ? wish->n_batch : choose_batch(c);
  sums s = sum_up(model, wish, out->base.n_batch);
  size_t n_items = (size_t)c->n_layers * ((size_t)N_LAYER_MATRICES + N_LAYER_VECTORS + 2 * s.n_sessions) + MODEL_OTHERS +
                   s.n_sessions * SESSION_OTHERS;
  out->items = calloc(n_items, sizeof *out->items);
  out->allocations = calloc(n_items, sizeof *out->allocations);
  out->layers = calloc(c->n_layers, sizeof *out->layers);
  if (!out->items || !out->allocations || !out->layers) {
    plan_finish(out);
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a plan");
  }
  out->base.items = out->items;
  fill_twice(out, &s, memory, wish);
  return HN_OK;
}

hn_status plan_check(const plan *p, const char *device, hn_error *err) {
  const hn_plan *b = &p->base;
  char needs[160], taken[80] = "";
  if (b->fits)
    return HN_OK;
  snprintf(needs, sizeof needs, "a context of %u tokens needs %" PRIu64 " MiB of its memory and %" PRIu64 " MiB of the host's", (unsigned)b->n_ctx,
           b->device_bytes / MIB + 1, b->host_bytes / MIB + 1);
  if (p->taken_bytes)
    snprintf(taken, sizeof taken, ", of which other sessions take %" PRIu64 " MiB", p->taken_bytes / MIB + 1);
  if (p->lack == PLAN_LACKS_ALLOCATION)
    return hn_fail(err, HN_ERROR_OUT_OF_DEVICE_MEMORY, "%s: %s, some of it in one piece that is larger than the device allocates; a shorter context "
                   "needs smaller ones", device, needs);
  if (p->lack == PLAN_LACKS_HOST)
    return hn_fail(err, HN_ERROR_OUT_OF_DEVICE_MEMORY, "%s: %s, and the host has less; a shorter context needs less", device, needs);
  return hn_fail(err, HN_ERROR_OUT_OF_DEVICE_MEMORY,
                 "%s: %s, and the budget is %" PRIu64 " MiB%s; a shorter context needs less, a larger budget may be "
                 "given", device, needs, b->budget_bytes / MIB, taken);
}

void plan_finish(plan *p) {
  free(p->items);
  free(p->allocations);
  free(p->layers);
  *p = (plan){0};
}
