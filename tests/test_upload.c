/*
 * test_upload: matrices that go through the ring of staging slots on Vulkan device 0 are there as planes_write writes them. The first is
 * larger than the ring, so that slots are used again; the small ones behind it share a slot that holds old bytes. drivers/on chooses the
 * driver. Exit 77 where there is no device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/upload_matrix.h"
#include "../runtime/variants.h"
#include "random_model.h"
#include "test_device.h"

typedef struct upload_case {
  quant_type type;
  uint32_t n_rows, n_cols;
  gguf_tensor tensor;
  uint8_t *data;
  gpu_matrix matrix;
  gpu_buffer planes;
} upload_case;

static upload_case cases[] = {
    {.type = QUANT_Q4_0, .n_rows = 33005, .n_cols = 4096}, {.type = QUANT_Q6_K, .n_rows = 21, .n_cols = 256},
    {.type = QUANT_F16, .n_rows = 37, .n_cols = 96},       {.type = QUANT_F32, .n_rows = 1, .n_cols = 32},
    {.type = QUANT_Q4_K, .n_rows = 301, .n_cols = 512},    {.type = QUANT_Q5_0, .n_rows = 17, .n_cols = 352},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void *must(void *memory) {
  if (!memory) {
    puts("out of memory");
    exit(1);
  }
  return memory;
}

static void draw(upload_case *c, uint64_t *state) {
  quant_type_info info = quant_info(c->type);
  size_t bytes = (size_t)c->n_rows * c->n_cols / info.block_weights * info.block_bytes;
  c->data = must(malloc(bytes + 8));
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t bits = random_bits(state) & (quant_is_quantized(c->type) ? ~0ull : 0x3FFF3FFF3FFF3FFFull); /* finite */
    memcpy(c->data + i, &bits, 8);
  }
  c->tensor = (gguf_tensor){.name = "a matrix", .type = c->type, .n_dims = 2, .dims = {c->n_cols, c->n_rows, 1, 1}, .bytes = bytes,
                            .data = c->data};
}

static hn_status place(gpu_device *device, upload_case *c, hn_error *err) {
  matrix m = matrix_of(&c->tensor);
  uint32_t n_granules = m.n_cols / QUANT_GRANULE;
  uint64_t bytes = planes_bytes(m.type, m.n_rows, n_granules);
  hn_status status = gpu_buffer_init(device, GPU_MEMORY_READBACK, bytes, "planes", &c->planes, err);
  c->matrix = gpu_matrix_at(m.type, m.n_rows, n_granules, c->planes.address);
  if (!status)
    memset(c->planes.mapped, 0xA5, bytes);
  return status;
}

static bool is_right(const upload_case *c) {
  matrix m = matrix_of(&c->tensor);
  uint8_t *rows = must(malloc(m.n_rows * m.row_bytes)), *want = must(malloc(c->planes.bytes)), *to[N_PLANES];
  for (uint32_t i = 0; i < m.n_rows; i++) {
    uint8_t *out = rows + i * m.row_bytes;
    const uint8_t *row = matrix_row(&m, i, out);
    if (row != out)
      memcpy(out, row, m.row_bytes);
  }
  for (int i = 0; i < N_PLANES; i++)
    to[i] = c->matrix.planes[i] ? want + (c->matrix.planes[i] - c->planes.address) : NULL;
  planes_write(m.type, m.n_rows, m.n_cols, rows, to);
  bool same = memcmp(want, c->planes.mapped, c->planes.bytes) == 0;
  free(rows);
  free(want);
  return same;
}

static hn_status upload_all(gpu_upload *upload, threads *pool, variants *v, hn_error *err) {
  hn_status status = HN_OK;
  for (size_t i = 0; i < N_CASES && !status; i++) {
    matrix m = matrix_of(&cases[i].tensor);
    uint32_t n_tiles = (m.n_rows + TILE_ROWS - 1) / TILE_ROWS;
    variants_want(v, KERNEL_REARRANGE, m.type);
    status = variants_choose(v, pool, err);
    for (uint32_t next = 0; next < n_tiles && !status;)
      status = upload_tiles(upload, pool, v->kernels, &m, &cases[i].matrix, &next, err);
  }
  return status ? status : gpu_upload_wait(upload, err);
}

int main(void) {
  gpu_device *device = test_device_open(false, NULL);
  gpu_upload upload = {0};
  threads *pool = NULL;
  variants v = {0};
  kernels k;
  hn_error err = {0};
  uint64_t state = 11;
  int n_failed = 0;
  printf("%s\n", device->info.name);
  kernels_init(device, &k);
  hn_status status = variants_init(&k, spirv_modules, false, &v, &err);
  for (size_t i = 0; i < N_CASES && !status; i++) {
    draw(&cases[i], &state);
    status = place(device, &cases[i], &err);
  }
  if (!status)
    status = threads_create(2, &pool, &err);
  if (!status)
    status = gpu_upload_init(device, &upload, &err);
  if (!status)
    status = upload_all(&upload, pool, &v, &err);
  for (size_t i = 0; i < N_CASES && !status; i++)
    if (!is_right(&cases[i])) {
      printf("FAILED: %s, %u x %u\n", quant_info(cases[i].type).name, (unsigned)cases[i].n_rows, (unsigned)cases[i].n_cols);
      n_failed++;
    }
  if (status)
    printf("FAILED: %s\n", err.message);
  gpu_upload_finish(&upload);
  threads_destroy(&pool);
  variants_finish(&v);
  kernels_finish(&k);
  for (size_t i = 0; i < N_CASES; i++) {
    gpu_buffer_finish(device, &cases[i].planes);
    free(cases[i].data);
  }
  test_device_close(&device);
  return status || n_failed ? 1 : 0;
}
