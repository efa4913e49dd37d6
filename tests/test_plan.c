/* test_plan.c: plans of Llama-3.1-8B and of small models, from headers alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../loader/quant.h"
#include "../runtime/plan.h"
#include "../shaders/shared.h"
#include "../tools/bench/llama_8b.h"

#define MIB ((uint64_t)1 << 20)

static const model_header *header_of(uint32_t type) {
  static llama_8b model;
  llama_8b_init(&model, type);
  return &model.header;
}

static const hn_memory card = {.device_bytes = 6144 * MIB, .device_free = 6144 * MIB, .host_free = 32768 * MIB, .max_allocation_bytes = 4096 * MIB};

static plan make(const model_header *m, const hn_memory *memory, plan_wish wish) {
  wish.n_host_layers = -1;
  wish.kv_type = wish.kv_type ? wish.kv_type : QUANT_Q8_0;
  plan p;
  hn_error err = {0};
  assert_int_equal(plan_init(m, memory, &wish, &p, &err), HN_OK);
  /* Items lie in their allocations one behind the other, and the sums are those of the allocations. */
  uint64_t device = 0, host = 0, *end = calloc(p.n_allocations, sizeof *end);
  assert_non_null(end);
  for (size_t i = 0; i < p.base.n_items; i++) {
    const hn_plan_item *item = &p.base.items[i];
    assert_true(item->bytes % PLAN_ALIGNMENT == 0 && item->bytes > 0 && item->allocation < p.n_allocations);
    assert_true(item->offset == end[item->allocation]);
    end[item->allocation] += item->bytes;
    assert_true(item->on_host == (p.allocations[item->allocation].place != PLAN_DEVICE));
  }
  for (uint32_t i = 0; i < p.n_allocations; i++) {
    const plan_allocation *a = &p.allocations[i];
    assert_true(a->bytes >= end[i] && a->bytes < end[i] + PLAN_PAGE && a->bytes % PLAN_PAGE == 0);
    assert_true(!p.base.fits || a->bytes <= memory->max_allocation_bytes);
    *(a->place == PLAN_DEVICE ? &device : &host) += a->bytes;
  }
  free(end);
  assert_true(device == p.base.device_bytes && host == p.base.host_bytes);
  assert_true(!p.base.fits || device <= p.base.budget_bytes);
  assert_true(!p.base.fits || (memory->unified ? device + host <= memory->device_free : host <= memory->host_free));
  return p;
}

static uint64_t bytes_of(const plan *p, const char *name) {
  uint64_t sum = 0;
  for (size_t i = 0; i < p->base.n_items; i++)
    sum += strcmp(p->base.items[i].name, name) == 0 ? p->base.items[i].bytes : 0;
  return sum;
}

/* A 6 GiB card with 512 MiB left for the desktop. */
static void test_8b_in_6_gib(void **state) {
  (void)state;
  static const struct {
    uint32_t type;
    uint32_t kv;
    uint32_t n_ctx;
  } cases[] = {{QUANT_Q4_0, QUANT_Q8_0, 21500}, {QUANT_Q4_0, QUANT_Q4_0, 39500},
               {QUANT_Q4_K, QUANT_Q8_0, 17700}, {QUANT_Q4_K, QUANT_Q4_0, 32500}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const model_header *m = header_of(cases[i].type);
    plan p = make(m, &card, (plan_wish){.budget_bytes = 5632 * MIB, .kv_type = cases[i].kv});
    printf("%s, KV %s: %u tokens, %llu MiB of %llu\n", quant_info(cases[i].type).name, quant_info(cases[i].kv).name, (unsigned)p.base.n_ctx,
           (unsigned long long)(p.base.device_bytes / MIB), (unsigned long long)(p.base.budget_bytes / MIB));
    assert_true(p.base.fits && p.base.n_ctx == p.base.n_ctx_max && p.base.n_ctx >= cases[i].n_ctx);
    assert_int_equal(p.n_host_blocks, 0);
    assert_true(bytes_of(&p, "activations") + bytes_of(&p, "logits") <= 64 * MIB);
    /* One block more would not fit. */
    assert_true(p.base.device_bytes + bytes_of(&p, "KV cache") / p.n_blocks > p.base.budget_bytes);
    plan automatic = make(m, &card, (plan_wish){.kv_type = cases[i].kv}); /* leaves as much for a desktop */
    assert_true(automatic.base.n_ctx == p.base.n_ctx && automatic.base.budget_bytes == 5632 * MIB);
    plan_finish(&automatic);
    plan_finish(&p);
  }
}

/* 128K: blocks of the cache go to the host, all weights stay. */
static void test_host_blocks(void **state) {
  (void)state;
  const model_header *m = header_of(QUANT_Q4_K);
  plan p = make(m, &card, (plan_wish){.budget_bytes = 6144 * MIB, .n_ctx = 131072});
  assert_true(p.base.fits && p.base.n_ctx == 131072 && p.n_blocks == 2048);
  assert_true(p.n_host_blocks > 0 && p.n_host_blocks < p.n_blocks && p.base.n_host_layers == 0);
  assert_true(bytes_of(&p, "KV cache") + bytes_of(&p, "KV cache, last positions") == (uint64_t)2048 * KV_BLOCK * 8 * 268 * 32);
  assert_true(p.base.device_bytes + (uint64_t)KV_BLOCK * 8 * 268 * 32 > p.base.budget_bytes);
  plan_finish(&p);
}

/* A card on which not even the weights fit: the last layers go, and the whole cache. */
static void test_host_layers(void **state) {
  (void)state;
  const model_header *m = header_of(QUANT_Q4_0);
  hn_memory small = {.device_bytes = 4096 * MIB, .device_free = 4096 * MIB, .host_free = 16384 * MIB, .max_allocation_bytes = 2048 * MIB};
  plan p = make(m, &small, (plan_wish){.budget_bytes = 3000 * MIB, .n_ctx = 8192});
  assert_true(p.base.fits && p.base.n_ctx_max == 0 && p.n_host_blocks > 0);
  /* The room that the last of them left is used by the cache. */
  assert_true(p.base.device_bytes + (uint64_t)KV_BLOCK * 8 * 268 * 32 + PLAN_PAGE > p.base.budget_bytes);
  assert_true(p.base.n_host_layers > 0 && p.base.n_host_layers < 32);
  for (size_t i = 0; i < p.base.n_items; i++)
    if (strcmp(p.base.items[i].name, "ffn_gate") == 0)
      assert_true(p.base.items[i].on_host == (p.base.items[i].layer >= 32 - (int32_t)p.base.n_host_layers));
  plan_finish(&p);
  small.host_free = 1024 * MIB;
  p = make(m, &small, (plan_wish){.budget_bytes = 3000 * MIB, .n_ctx = 8192});
  assert_false(p.base.fits);
  plan_finish(&p);
}

/* Where device and CPU share their memory, half of it is left free, whatever part ours lies in; only a budget says otherwise. */
static void test_shared_memory(void **state) {
  (void)state;
  static const struct {
    uint64_t mib;
    uint32_t type;
    bool fits;
  } cases[] = {{8192, QUANT_Q4_0, false}, {8192, QUANT_Q4_K, false}, {16384, QUANT_Q4_0, true}, {16384, QUANT_Q4_K, true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const model_header *m = header_of(cases[i].type);
    const hn_memory memory = {.device_bytes = cases[i].mib * MIB, .device_free = cases[i].mib * MIB,
                              .max_allocation_bytes = 4096 * MIB, .unified = true};
    plan p = make(m, &memory, (plan_wish){0});
    uint64_t half = memory.device_bytes / 2, block = p.n_blocks ? bytes_of(&p, "KV cache") / p.n_blocks : 0;
    assert_int_equal(p.base.fits, cases[i].fits);
    assert_true(p.n_host_blocks == 0 && p.base.n_host_layers == 0);
    assert_true(p.base.budget_bytes + p.base.host_bytes <= half);
    assert_true(!p.base.fits || p.base.device_bytes + p.base.host_bytes + block + PLAN_PAGE > half);
    plan_finish(&p);
    p = make(m, &memory, (plan_wish){.budget_bytes = 5120 * MIB});
    assert_true(p.base.fits && p.base.budget_bytes == 5120 * MIB && p.base.n_host_layers == 0);
    plan_finish(&p);
    p = make(m, &memory, (plan_wish){.budget_bytes = memory.device_bytes}); /* all of it: the host's part has a place there too */
    assert_true(p.base.fits && p.base.n_host_layers == 0 && p.base.n_ctx == p.base.n_ctx_max);
    plan_finish(&p);
    /* The longest is what it is, whatever is wished; it fits, and a block more does not. */
    p = make(m, &memory, (plan_wish){.n_ctx = 131072});
    uint32_t longest = p.base.n_ctx_max;
    assert_true(!p.base.fits && (longest > 0) == cases[i].fits);
    plan_finish(&p);
    for (uint32_t more = 0; more <= KV_BLOCK && longest > 0; more += KV_BLOCK) {
      p = make(m, &memory, (plan_wish){.n_ctx = longest + more});
      assert_true(p.base.fits == (more == 0) && p.base.n_ctx_max == longest);
      plan_finish(&p);
    }
  }
}

/* Any budget that holds what must be on the device is kept to, rounding included. */
static void test_budgets(void **state) {
  (void)state;
  const model_header *m = header_of(QUANT_Q4_0);
  for (uint64_t budget = 400 * MIB; budget < 6000 * MIB; budget += 7 * MIB + 4096) {
    plan p = make(m, &card, (plan_wish){.budget_bytes = budget, .n_ctx = 16384});
    uint64_t least = bytes_of(&p, "output") + bytes_of(&p, "activations") + bytes_of(&p, "parts of attention") + bytes_of(&p, "logits") +
                     3 * PLAN_PAGE;
    assert_true(p.base.fits || budget < least);
    assert_true(p.base.n_ctx_max == 0 || p.base.n_host_layers == 0);
    plan_finish(&p);
  }
}

/* A session of a model that shares memory with the CPU stays in the half that the model was planned in; what others take counts. */
static void test_sessions(void **state) {
  (void)state;
  const model_header *m = header_of(QUANT_Q4_0);
  hn_memory machine = {.device_bytes = 16384 * MIB, .device_free = 16384 * MIB, .max_allocation_bytes = 4096 * MIB, .unified = true};
  plan whole = make(m, &machine, (plan_wish){0});
  assert_true(whole.base.fits && whole.shared && whole.base.device_bytes + whole.base.host_bytes <= 8192 * MIB);
  plan more = make(m, &machine, (plan_wish){.n_ctx = whole.base.n_ctx + 20000});
  assert_false(more.base.fits);
  plan_finish(&more);
  more = make(m, &machine, (plan_wish){.n_ctx = 4096, .taken_host_bytes = 8192 * MIB});
  assert_false(more.base.fits);
  plan_finish(&more);
  plan_finish(&whole);
  /* Positions that do not fill a block. */
  plan odd = make(m, &card, (plan_wish){.budget_bytes = 5632 * MIB, .n_ctx = 30001});
  assert_int_equal(odd.base.n_host_positions, 30001 - (odd.n_blocks - odd.n_host_blocks) * KV_BLOCK);
  plan_finish(&odd);
  /* Why it does not fit. */
  hn_error err = {0};
  hn_memory pieces = card;
  pieces.max_allocation_bytes = 64 * MIB;
  plan p = make(m, &pieces, (plan_wish){.n_ctx = 4096});
  assert_int_equal(plan_check(&p, "it", &err), HN_ERROR_OUT_OF_DEVICE_MEMORY);
  assert_non_null(strstr(err.message, "in one piece"));
  plan_finish(&p);
  hn_memory poor = card;
  poor.host_free = 1024 * MIB;
  p = make(m, &poor, (plan_wish){.n_ctx = 131072});
  assert_int_equal(plan_check(&p, "it", &err), HN_ERROR_OUT_OF_DEVICE_MEMORY);
  assert_non_null(strstr(err.message, "the host has less"));
  plan_finish(&p);
}

static void test_limits(void **state) {
  (void)state;
  plan p;
  hn_error err = {0};
  const model_header *m = header_of(QUANT_Q4_0);
  assert_int_equal(plan_init(m, &card, &(plan_wish){.n_ctx = 131073}, &p, &err), HN_ERROR_ARGUMENT);
  assert_non_null(strstr(err.message, "131072"));
  plan_finish(&p);
  /* A budget above what the card has is no more than the card; a huge card gives the model's context. */
  p = make(m, &card, (plan_wish){.budget_bytes = 100000 * MIB});
  assert_true(p.base.budget_bytes == card.device_bytes);
  plan_finish(&p);
  hn_memory huge = card;
  huge.device_bytes = huge.device_free = 81920 * MIB;
  p = make(m, &huge, (plan_wish){0});
  assert_true(p.base.fits && p.base.n_ctx == 131072 && p.n_host_blocks == 0);
  plan_finish(&p);
  plan_finish(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_8b_in_6_gib), cmocka_unit_test(test_host_blocks),
                                     cmocka_unit_test(test_host_layers), cmocka_unit_test(test_shared_memory),
                                     cmocka_unit_test(test_budgets), cmocka_unit_test(test_sessions), cmocka_unit_test(test_limits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
