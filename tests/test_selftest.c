/*
 * test_selftest.c: the digests that runtime/selftest.c stores are those of the C kernels on the self-test's data.
 * `test_selftest --print` writes the table, after a deliberate change of the arithmetic or of the data.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../runtime/kernels_cpu.h"
#include "../runtime/selftest.h"

static selftest_input in;
static selftest_output out;

static cpu_q8 activations(void) {
  return (cpu_q8){out.act.q, out.act.d, out.act.sums};
}

static const cpu_heads heads = {SELFTEST_HEADS, SELFTEST_KV_HEADS, SELFTEST_HEAD_DIM};
static const cpu_heads attended = {SELFTEST_HEADS, SELFTEST_KV_HEADS, SELFTEST_ATTEND_DIM};

static void rope_store(uint32_t kv_type) {
  const cpu_cache cache = {kv_type, 1, out.cache.device, out.cache.host};
  for (uint32_t t = 0; t < SELFTEST_ATTEND; t++)
    cpu_rope_store(&heads, in.qkv + t * (SELFTEST_HEADS + 2 * SELFTEST_KV_HEADS) * SELFTEST_HEAD_DIM, in.rotation + t * SELFTEST_HEAD_DIM,
                   SELFTEST_STORE + t, t, (cpu_query){out.query.q, out.query.d}, &cache);
}

static void attention(uint32_t kv_type) {
  const cpu_cache cache = {kv_type, SELFTEST_DEVICE_BLOCKS, in.kv_device, in.kv_host};
  static float o[SELFTEST_ATTEND * SELFTEST_HEADS * SELFTEST_ATTEND_DIM];
  selftest_fill_cache(kv_type, &in);
  for (uint32_t t = 0; t < SELFTEST_ATTEND; t++)
    for (uint32_t head = 0; head < SELFTEST_HEADS; head++)
      cpu_attention(&attended, (cpu_query){in.query, in.query_d}, t, head, &cache, SELFTEST_FIRST + t + 1,
                    o + (t * SELFTEST_HEADS + head) * SELFTEST_ATTEND_DIM);
  cpu_quantize(o, 0, sizeof o / 4 / ACT_BLOCK, (cpu_q8){out.o.q, out.o.d, out.o.sums});
}

static void run_plain(kernel_id id) {
  const uint32_t blocks = SELFTEST_ACT_ROWS * SELFTEST_BLOCKS;
  switch (id) {
  case KERNEL_NORM_QUANT:
    for (uint32_t row = 0; row < SELFTEST_ACT_ROWS; row++)
      cpu_norm_quant(in.gate + row * SELFTEST_COLS, in.norm, SELFTEST_COLS, 1.0f / (float)SELFTEST_COLS, 1e-5f, activations(), row);
    break;
  case KERNEL_QUANTIZE: cpu_quantize(in.gate, 0, blocks, activations()); break;
  case KERNEL_SWIGLU_QUANT: cpu_swiglu_quant(in.gate, in.up, 0, blocks, activations()); break;
  case KERNEL_ARGMAX: out.id = cpu_argmax(in.x, SELFTEST_TOKENS * SELFTEST_ROWS); break;
  default: fail();
  }
}

static void write_planes(uint32_t type, const uint8_t *blocks) {
  planes p = planes_of(type, SELFTEST_ROWS, SELFTEST_COLS / QUANT_GRANULE);
  uint8_t *to[N_PLANES];
  uint64_t at = 0;
  for (int i = 0; i < N_PLANES; i++) {
    to[i] = out.bytes + at;
    at += p.n_tiles * p.tile_bytes[i];
  }
  assert_true(at <= sizeof out.bytes);
  planes_write(type, SELFTEST_ROWS, SELFTEST_COLS, blocks, to);
}

static void run_then(kernel_id id, uint32_t kv_type, const cpu_matrix *w) {
  enum { N = SELFTEST_THEN_TOKENS, ROWS = SELFTEST_TILED_ROWS, N_FF = ROWS / 2 };
  static float gate[N * N_FF], up[N * N_FF];
  const cpu_heads small = {SELFTEST_THEN_HEADS, SELFTEST_THEN_KV_HEADS, SELFTEST_THEN_HEAD_DIM};
  const cpu_cache cache = {kv_type, 1, out.then.device, out.then.host};
  const cpu_q8 to = {out.then.q, out.then.d, out.then.sums};
  const bool plain = id == KERNEL_MATVEC_SWIGLU;
  cpu_matmul(&(cpu_product){w, {in.q, in.d, in.sums}, N, plain ? NULL : in.bias, id == KERNEL_MATVEC_NORM ? in.x : NULL, out.then.y, ROWS}, 0,
             ROWS);
  for (uint32_t t = 0; t < N; t++)
    if (id == KERNEL_MATVEC_NORM)
      cpu_norm_quant(out.then.y + t * ROWS, in.norm, ROWS, 1.0f / (float)ROWS, 1e-5f, to, t);
    else if (id == KERNEL_MATVEC_ROPE)
      cpu_rope_store(&small, out.then.y + t * ROWS, in.rotation + t * SELFTEST_THEN_HEAD_DIM, SELFTEST_STORE + t, t,
                     (cpu_query){out.then.query, out.then.query_d}, &cache);
  for (uint32_t i = 0; plain && i < N * N_FF; i++) {
    gate[i] = out.then.y[i / N_FF * ROWS + i % N_FF];
    up[i] = out.then.y[i / N_FF * ROWS + N_FF + i % N_FF];
  }
  if (plain) {
    memset(out.then.y, 0, sizeof out.then.y); /* it is nowhere */
    cpu_swiglu_quant(gate, up, 0, SELFTEST_THEN_BLOCKS / 2, to);
  }
}

static void run_typed(kernel_id id, uint32_t type, uint32_t kv_type) {
  size_t bytes = selftest_matrix_bytes(type), row_bytes = bytes / SELFTEST_ROWS;
  uint8_t *blocks = calloc(SELFTEST_TILED_ROWS, row_bytes); /* rows behind the matrix are zero */
  assert_non_null(blocks);
  selftest_fill_matrix(type, blocks);
  cpu_matrix w = {type, SELFTEST_ROWS, SELFTEST_COLS, blocks, row_bytes}, tiled = w;
  tiled.n_rows = SELFTEST_TILED_ROWS;
  if (id == KERNEL_EMBED)
    for (int i = 0; i < SELFTEST_ACT_ROWS; i++)
      cpu_embed(&w, in.ids[i], out.x + i * SELFTEST_COLS);
  else if (id == KERNEL_REARRANGE)
    write_planes(type, blocks);
  else if (id == KERNEL_MATVEC_NORM || id == KERNEL_MATVEC_ROPE || id == KERNEL_MATVEC_SWIGLU)
    run_then(id, kv_type, &tiled);
  else
    cpu_matmul(&(cpu_product){&w, {in.q, in.d, in.sums}, SELFTEST_TOKENS, in.bias, in.x, out.y, SELFTEST_ROWS}, 0, SELFTEST_ROWS);
  free(blocks);
}

static uint64_t digest_of(kernel_id id, uint32_t type, uint32_t kv_type) {
  memset(&out, 0, sizeof out);
  if (id < KERNEL_FIRST_TYPED)
    run_plain(id);
  else if (id == KERNEL_ROPE_STORE)
    rope_store(type);
  else if (id == KERNEL_ATTENTION || id == KERNEL_ATTENTION_PROMPT)
    attention(type);
  else
    run_typed(id, type, kv_type);
  return selftest_digest(&out);
}

static void test_digests(void **state) {
  (void)state;
  for (const spirv_module *m = spirv_modules; m->name; m++) {
    kernel_id id;
    uint32_t type;
    assert_true(kernel_of(m, &id, &type));
    for (uint32_t kv_type = QUANT_Q8_0;; kv_type = QUANT_Q4_0) {
      uint64_t want = digest_of(id, type, kv_type), stored = selftest_expected(id, type, kv_type);
      if (want != stored)
        fail_msg("%s: the C kernel gives %016llx, selftest.c has %016llx", m->name, (unsigned long long)want, (unsigned long long)stored);
      if (kv_type == QUANT_Q4_0)
        break;
    }
  }
}

/* Most are not zero, and none is large or no number. */
static void check_values(const float *x, size_t n) {
  size_t zeros = 0;
  for (size_t i = 0; i < n; i++) {
    assert_true(x[i] > -1e9f && x[i] < 1e9f);
    zeros += x[i] == 0;
  }
  assert_true(4 * zeros < n);
}

/* Data on which a kernel gives zeros, or no number, would hide faults. */
static void test_data_is_telling(void **state) {
  (void)state;
  for (const spirv_module *m = spirv_modules; m->name; m++) {
    kernel_id id;
    uint32_t type;
    assert_true(kernel_of(m, &id, &type));
    digest_of(id, type, QUANT_Q8_0);
    if (id == KERNEL_MATVEC || id == KERNEL_MATVEC_BATCH || id == KERNEL_MATMAT)
      check_values(out.y, sizeof out.y / 4);
    else if (id == KERNEL_EMBED)
      check_values(out.x, sizeof out.x / 4);
    else if (id == KERNEL_ATTENTION || id == KERNEL_ATTENTION_PROMPT)
      check_values(out.o.d, sizeof out.o.d / 4);
    else if (id == KERNEL_NORM_QUANT || id == KERNEL_QUANTIZE || id == KERNEL_SWIGLU_QUANT)
      check_values(out.act.d, sizeof out.act.d / 4);
    else if (id == KERNEL_MATVEC_NORM || id == KERNEL_MATVEC_SWIGLU)
      check_values(out.then.d, id == KERNEL_MATVEC_NORM ? SELFTEST_THEN_BLOCKS : SELFTEST_THEN_BLOCKS / 2);
    else if (id == KERNEL_MATVEC_ROPE)
      check_values(out.then.query_d, sizeof out.then.query_d / 4);
    else if (id == KERNEL_ROPE_STORE)
      check_values(out.query.d, sizeof out.query.d / 4);
  }
}

static const char *const ids[N_KERNELS] = {"NORM_QUANT", "QUANTIZE", "SWIGLU_QUANT", "ARGMAX", "ROPE_STORE",
                                           "ATTENTION",  "ATTENTION_PROMPT", "EMBED", "REARRANGE", "MATVEC", "MATVEC_NORM",
                                           "MATVEC_ROPE", "MATVEC_SWIGLU"};

static void print_typed(kernel_id id, uint32_t kv_type, const uint32_t *types, size_t n) {
  for (size_t i = 0; i < n; i++)
    printf("[QUANT_%s] = 0x%016llx%s", quant_info(types[i]).name, (unsigned long long)digest_of(id, types[i], kv_type),
           i + 1 == n ? "},\n" : i % 2 ? ",\n           " : ", ");
}

static void print_digests(void) {
  static const uint32_t kv_types[] = {QUANT_Q8_0, QUANT_Q4_0};
  uint32_t types[N_KERNEL_TYPES], n_types = 0;
  for (uint32_t type = 0; type < N_KERNEL_TYPES; type++)
    if (quant_is_quantized(type))
      types[n_types++] = type;
  for (int id = 0; id < KERNEL_FIRST_TYPED; id++)
    printf("      [KERNEL_%s] = {0x%016llx},\n", ids[id], (unsigned long long)digest_of((kernel_id)id, 0, 0));
  for (int id = KERNEL_FIRST_TYPED; id <= KERNEL_MATVEC_SWIGLU; id++) { /* behind these, kernels have the bits of KERNEL_MATVEC */
    if (id == KERNEL_ATTENTION_PROMPT) /* the bits of KERNEL_ATTENTION */
      continue;
    printf("      [KERNEL_%s] =\n          {", ids[id]);
    if (id < KERNEL_FIRST_OF_WEIGHTS)
      print_typed((kernel_id)id, 0, kv_types, sizeof kv_types / sizeof *kv_types);
    else
      print_typed((kernel_id)id, QUANT_Q8_0, types, n_types);
  }
  printf("  };\n  static const uint64_t rope_q4_0[N_KERNEL_TYPES] =\n          {");
  print_typed(KERNEL_MATVEC_ROPE, QUANT_Q4_0, types, n_types);
}

int main(int argc, char **argv) {
  selftest_fill(&in);
  if (argc == 2 && strcmp(argv[1], "--print") == 0) {
    print_digests();
    return 0;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_digests), cmocka_unit_test(test_data_is_telling)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
