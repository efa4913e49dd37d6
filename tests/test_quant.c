/* quant.c against vectors of an independent implementation (reference/quant_vectors.py), and its own round trips. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../loader/quant.h"
#include "../runtime/planes.h"

static uint8_t *read_file(const char *path, size_t *size) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  fseek(f, 0, SEEK_END);
  *size = (size_t)ftell(f);
  rewind(f);
  uint8_t *data = malloc(*size);
  assert_non_null(data);
  assert_int_equal(fread(data, 1, *size, f), *size);
  fclose(f);
  return data;
}

/* Both sides multiply and add in f32 but associate differently: a few units in the last place of the largest term. */
static void dequantize_agrees(void **state) {
  (void)state;
  size_t size, at = 0, n_types = 0;
  uint8_t *file = read_file(REFERENCE_DIR "/quant_vectors.bin", &size);
  while (at < size) {
    uint32_t head[3];
    memcpy(head, file + at, sizeof head);
    const uint8_t *blocks = file + at + sizeof head;
    const uint8_t *expected = blocks + head[1];
    float *weights = malloc(head[2] * sizeof *weights);
    assert_non_null(weights);
    quant_dequantize(head[0], blocks, head[2], weights);
    for (size_t i = 0; i < head[2]; i++) {
      float want;
      memcpy(&want, expected + 4 * i, 4);
      quant_granule g;
      quant_load_granule(head[0], blocks, i / 32, &g);
      float term = fabsf(g.d * (float)g.scale[i / 16 % 2] * (float)g.q[i % 32]) + fabsf(g.m * (float)g.minimum[i / 16 % 2]);
      if (!(fabsf(weights[i] - want) <= 4e-7f * term))
        fail_msg("%s weight %zu: %g, expected %g", quant_info(head[0]).name, i, (double)weights[i], (double)want);
    }
    free(weights);
    at += sizeof head + head[1] + 4 * (size_t)head[2];
    n_types++;
  }
  assert_int_equal(at, size);
  assert_int_equal(n_types, 12);
  free(file);
}

static void plain_types(void **state) {
  (void)state;
  const uint16_t halves[] = {0x3C00, 0xC000, 0x0001, 0x7BFF, 0x7C00};
  const float values[] = {1, -2, 5.9604644775390625e-8f, 65504, INFINITY};
  float out[5];
  quant_dequantize(QUANT_F16, halves, 5, out);
  assert_memory_equal(out, values, sizeof out);
  const uint16_t brain[] = {0x3F80, 0xC000};
  quant_dequantize(QUANT_BF16, brain, 2, out);
  assert_true(out[0] == 1 && out[1] == -2);
}

static void q8_0_round_trip(void **state) {
  (void)state;
  float x[64], back[64];
  for (int i = 0; i < 64; i++)
    x[i] = i < 32 ? 0.01f * (float)(i * i - 300) : 1e-20f;
  uint8_t blocks[68];
  quant_to_q8_0(x, 64, blocks);
  quant_dequantize(QUANT_Q8_0, blocks, 64, back);
  for (int i = 0; i < 64; i++)
    assert_true(fabsf(x[i] - back[i]) <= (i < 32 ? 6.61f / 127 * 0.51f : 1e-19f));
}

/* What the device keeps of full tiles has the size of the file's blocks, and planes keep the alignment that planes.h promises. */
static void planes_hold_no_bit_more(void **state) {
  (void)state;
  const uint32_t n_cols = 768;
  for (uint32_t type = 0; type < 64; type++) {
    if (!quant_is_quantized(type))
      continue;
    quant_type_info info = quant_info(type);
    planes p = planes_of(type, 2 * 16, n_cols / QUANT_GRANULE);
    uint64_t bytes = 0;
    for (int i = 0; i < N_PLANES; i++) {
      assert_int_equal(p.tile_bytes[i] % 32, 0);
      bytes += p.n_tiles * p.tile_bytes[i];
    }
    assert_int_equal(bytes, 2 * 16 * n_cols / info.block_weights * info.block_bytes);
  }
}

static void unknown_types(void **state) {
  (void)state;
  assert_null(quant_info(4).name);
  assert_null(quant_info(0xFFFFFFFFu).name);
  assert_false(quant_is_quantized(4));
  assert_false(quant_is_quantized(QUANT_F16));
  assert_true(quant_is_quantized(QUANT_Q6_K));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(dequantize_agrees), cmocka_unit_test(plain_types),
                                     cmocka_unit_test(q8_0_round_trip), cmocka_unit_test(planes_hold_no_bit_more),
                                     cmocka_unit_test(unknown_types)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
