/* gguf.c: what a good file gives, and that each kind of damage is refused with a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../loader/gguf.h"
#include "../loader/quant.h"
#include "gguf_writer.h"

typedef struct image {
  uint8_t *data;
  size_t size;
} image;

static image sample(void) {
  gguf_writer w = {0};
  const char *const words[] = {"a", "", "three"};
  const int32_t numbers[] = {-1, 7};
  const float floats[64] = {1.5f, -2};
  writer_u32(&w, "u", 42);
  writer_f32(&w, "f", 0.5f);
  writer_bool(&w, "b", 1);
  writer_string(&w, "s", "text");
  writer_strings(&w, "words", words, 3);
  writer_i32s(&w, "numbers", numbers, 2);
  writer_f32s(&w, "floats", floats, 2);
  writer_tensor(&w, "one", QUANT_F32, 32, 2, floats, sizeof floats);
  writer_tensor(&w, "two", QUANT_F32, 5, 0, floats, 20);
  image out;
  out.data = writer_finish(&w, &out.size);
  return out;
}

static void reads_values(void **state) {
  (void)state;
  image f = sample();
  gguf_file *file;
  assert_int_equal(gguf_open_memory(f.data, f.size, "sample", &file, NULL), HN_OK);
  uint32_t u = 0;
  int32_t i = 0;
  float x = 0;
  bool b = false;
  gguf_str s;
  assert_true(gguf_u32(gguf_find(file, "u"), &u) && u == 42);
  assert_true(gguf_f32(gguf_find(file, "f"), &x) && x == 0.5f);
  assert_true(gguf_f32(gguf_find(file, "u"), &x) && x == 42);
  assert_true(gguf_bool(gguf_find(file, "b"), &b) && b);
  assert_true(gguf_string(gguf_find(file, "s"), &s) && s.len == 4 && memcmp(s.data, "text", 4) == 0);
  assert_false(gguf_u32(gguf_find(file, "s"), &u));
  assert_false(gguf_u32(gguf_find(file, "absent"), &u));
  const gguf_value *numbers = gguf_find(file, "numbers");
  assert_true(gguf_array_i32(numbers, 0, &i) && i == -1);
  assert_true(gguf_array_i32(numbers, 1, &i) && i == 7);
  assert_false(gguf_array_i32(numbers, 2, &i));
  assert_true(gguf_array_f32(gguf_find(file, "floats"), 1, &x) && x == -2);
  const gguf_value *words = gguf_find(file, "words");
  const uint8_t *cursor = words->data;
  size_t lengths[3], n = 0;
  while (n < 3 && gguf_next_string(words, &cursor, &s))
    lengths[n++] = s.len;
  assert_true(n == 3 && lengths[0] == 1 && lengths[1] == 0 && lengths[2] == 5);
  assert_false(gguf_next_string(words, &cursor, &s));
  gguf_close(&file);
  assert_null(file);
  free(f.data);
}

static void reads_tensors(void **state) {
  (void)state;
  image f = sample();
  gguf_file *file;
  assert_int_equal(gguf_open_memory(f.data, f.size, "sample", &file, NULL), HN_OK);
  const gguf_tensor *t = gguf_find_tensor(file, "one");
  assert_non_null(t);
  assert_true(t->n_dims == 2 && t->dims[0] == 32 && t->dims[1] == 2 && t->dims[2] == 1 && t->bytes == 256);
  float x;
  memcpy(&x, t->data + 4, 4);
  assert_true(x == -2);
  assert_null(gguf_find_tensor(file, "three"));
  gguf_close(&file);
  free(f.data);
}

/* Every shorter file is refused: no cut goes unnoticed. */
static void refuses_truncation(void **state) {
  (void)state;
  image f = sample();
  for (size_t size = 0; size < f.size; size++) {
    uint8_t *cut = malloc(size ? size : 1); /* an exact allocation, so that the sanitizer sees a read beyond it */
    assert_non_null(cut);
    memcpy(cut, f.data, size);
    gguf_file *file;
    hn_error err = {0};
    if (gguf_open_memory(cut, size, "cut", &file, &err) == HN_OK)
      fail_msg("accepted with %zu of %zu bytes", size, f.size);
    assert_null(file);
    assert_non_null(strstr(err.message, "cut"));
    free(cut);
  }
  free(f.data);
}

static void expect(image f, hn_status status, const char *part) {
  gguf_file *file;
  hn_error err = {0};
  assert_int_equal(gguf_open_memory(f.data, f.size, "bad", &file, &err), status);
  if (!strstr(err.message, part))
    fail_msg("expected '%s' in '%s'", part, err.message);
  free(f.data);
}

static image patched(size_t at, const void *bytes, size_t n) {
  image f = sample();
  memcpy(f.data + at, bytes, n);
  return f;
}

static size_t find_bytes(image f, const char *text) {
  for (size_t i = 0; i + strlen(text) <= f.size; i++)
    if (memcmp(f.data + i, text, strlen(text)) == 0)
      return i;
  fail_msg("no '%s'", text);
  return 0;
}

static void refuses_bad_headers(void **state) {
  (void)state;
  const uint64_t huge = UINT64_MAX, many = 1u << 20;
  const uint32_t big_endian = 0x03000000, version = 4, bad_type = 77;
  expect(patched(0, "XXXX", 4), HN_ERROR_FORMAT, "offset 0");
  expect(patched(4, &big_endian, 4), HN_ERROR_UNSUPPORTED, "big-endian");
  expect(patched(4, &version, 4), HN_ERROR_UNSUPPORTED, "version 2 or 3");
  expect(patched(8, &huge, 8), HN_ERROR_FORMAT, "number of tensors");
  expect(patched(16, &many, 8), HN_ERROR_FORMAT, "number of metadata entries");
  expect(patched(24, &huge, 8), HN_ERROR_FORMAT, "offset 32");
  expect(patched(24 + 8 + 1, &bad_type, 4), HN_ERROR_FORMAT, "value type");
}

static void refuses_bad_tensors(void **state) {
  (void)state;
  image f = sample();
  size_t one = find_bytes(f, "one") + 3, two = find_bytes(f, "two") + 3;
  free(f.data);
  const uint64_t zero = 0, huge = UINT64_C(1) << 62, odd = 8, first = 0, far = 1 << 20;
  const uint32_t n_dims = 5, type = 99, q4 = QUANT_Q4_0;
  expect(patched(one, &n_dims, 4), HN_ERROR_FORMAT, "dimensions");
  expect(patched(one + 4, &zero, 8), HN_ERROR_FORMAT, "at least 1");
  expect(patched(one + 4, &huge, 8), HN_ERROR_FORMAT, "tensor 'one'");
  expect(patched(one + 20, &type, 4), HN_ERROR_UNSUPPORTED, "type 99");
  expect(patched(two + 12, &q4, 4), HN_ERROR_FORMAT, "multiple of 32");
  expect(patched(two + 16, &odd, 8), HN_ERROR_FORMAT, "multiple of");
  expect(patched(two + 16, &first, 8), HN_ERROR_FORMAT, "overlap");
  expect(patched(two + 16, &far, 8), HN_ERROR_FORMAT, "file ends");
  expect(patched(two - 3, "one", 3), HN_ERROR_FORMAT, "twice");
}

static void refuses_bad_metadata(void **state) {
  (void)state;
  image f = sample();
  size_t s = find_bytes(f, "text") - 8 - 4 - 1;
  free(f.data);
  expect(patched(s, "u", 1), HN_ERROR_FORMAT, "twice");
  gguf_writer w = {0};
  writer_u32(&w, "general.alignment", 48);
  f.data = writer_finish(&w, &f.size);
  expect(f, HN_ERROR_FORMAT, "general.alignment");
}

static void refuses_missing_files(void **state) {
  (void)state;
  gguf_file *file;
  hn_error err;
  assert_int_equal(gguf_open("/nonexistent/model.gguf", &file, &err), HN_ERROR_IO);
  assert_int_equal(gguf_open("/", &file, &err), HN_ERROR_IO);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(reads_values),         cmocka_unit_test(reads_tensors),
                                     cmocka_unit_test(refuses_truncation),   cmocka_unit_test(refuses_bad_headers),
                                     cmocka_unit_test(refuses_bad_tensors),  cmocka_unit_test(refuses_bad_metadata),
                                     cmocka_unit_test(refuses_missing_files)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
