/*
 * selftest.h: a few milliseconds that show whether a device computes a kernel's bits. Fixed data, one dispatch, and a digest
 * of all that it wrote, which is compared with the one stored here. tests/test_selftest.c computes the digests from the C
 * kernels.
 */
#ifndef HN_SELFTEST_H
#define HN_SELFTEST_H

#include "kernels.h"

enum { /* shapes: odd where the kernels allow it */
  SELFTEST_TOKENS = 37, /* of products: more than one workgroup's */
  SELFTEST_ROWS = 53,   /* of a matrix */
  SELFTEST_TILED_ROWS = 64, /* of whole tiles: the last ones are zero */
  SELFTEST_COLS = 768,  /* three super-blocks: most chunks of a row are empty */
  SELFTEST_BLOCKS = SELFTEST_COLS / ACT_BLOCK,
  SELFTEST_ACT_ROWS = 3, /* of what is normed or quantized */
  SELFTEST_HEADS = 6, SELFTEST_KV_HEADS = 2, SELFTEST_HEAD_DIM = 80, /* padded to 96 */
  SELFTEST_FIRST = 127, SELFTEST_ATTEND = 2, /* tokens at positions 127 and 128, the last of a block and the first of the next */
  SELFTEST_STORE = KV_BLOCK - 1, /* the first position that rope_store writes, in a cache of two blocks */
  SELFTEST_KV_BLOCKS = 3, SELFTEST_DEVICE_BLOCKS = 2,
  SELFTEST_ATTEND_DIM = 96, /* of attention: as SELFTEST_HEAD_DIM padded, so that it rounds what it writes */
  SELFTEST_PARTS = SELFTEST_ATTEND * SELFTEST_KV_BLOCKS * SELFTEST_HEADS,
  SELFTEST_KV_BLOCK_WORDS = SELFTEST_KV_HEADS * KV_HEAD_WORDS(0, SELFTEST_HEAD_DIM), /* Q4_0 needs less */
  /* What follows a product has small heads: their rows are those of the matrix. */
  SELFTEST_THEN_TOKENS = SELFTEST_ATTEND, SELFTEST_THEN_HEADS = 2, SELFTEST_THEN_KV_HEADS = 1, SELFTEST_THEN_HEAD_DIM = 16,
  SELFTEST_THEN_BLOCKS = SELFTEST_THEN_TOKENS * SELFTEST_TILED_ROWS / ACT_BLOCK,
  SELFTEST_THEN_KV_WORDS = SELFTEST_THEN_KV_HEADS * KV_HEAD_WORDS(0, SELFTEST_THEN_HEAD_DIM),
  SELFTEST_OUT_BYTES = 65536,
};

typedef struct selftest_input {
  _Alignas(16) float x[SELFTEST_TOKENS * SELFTEST_ROWS];               /* residual; logits */
  _Alignas(16) float gate[SELFTEST_ACT_ROWS * SELFTEST_COLS], up[SELFTEST_ACT_ROWS * SELFTEST_COLS], norm[SELFTEST_COLS];
  _Alignas(16) int8_t q[SELFTEST_TOKENS * SELFTEST_COLS];
  _Alignas(16) float d[SELFTEST_TOKENS * SELFTEST_BLOCKS];
  _Alignas(16) int16_t sums[SELFTEST_TOKENS * SELFTEST_BLOCKS * 2];
  _Alignas(16) float bias[SELFTEST_TILED_ROWS];
  _Alignas(16) int32_t ids[SELFTEST_ACT_ROWS];
  _Alignas(16) uint32_t positions[SELFTEST_ATTEND], stored[SELFTEST_ATTEND]; /* of attention, of rope_store */
  _Alignas(16) float qkv[SELFTEST_ATTEND * (SELFTEST_HEADS + 2 * SELFTEST_KV_HEADS) * SELFTEST_HEAD_DIM];
  _Alignas(16) float rotation[SELFTEST_ATTEND * SELFTEST_HEAD_DIM];
  _Alignas(16) int8_t query[SELFTEST_ATTEND * SELFTEST_HEADS * HEAD_WORDS(SELFTEST_HEAD_DIM) * 4];
  _Alignas(16) float query_d[SELFTEST_ATTEND * SELFTEST_HEADS * HEAD_SCALES(SELFTEST_HEAD_DIM)];
  _Alignas(16) uint32_t kv_device[SELFTEST_DEVICE_BLOCKS * SELFTEST_KV_BLOCK_WORDS];
  _Alignas(16) uint32_t kv_host[(SELFTEST_KV_BLOCKS - SELFTEST_DEVICE_BLOCKS) * SELFTEST_KV_BLOCK_WORDS];
  /* what attention writes for itself */
  _Alignas(16) float part_o[SELFTEST_PARTS * SELFTEST_ATTEND_DIM], part_sums[SELFTEST_PARTS * 2];
  _Alignas(16) uint32_t counters[SELFTEST_ATTEND * SELFTEST_KV_HEADS];
  _Alignas(16) struct then_norm then_norm;
  _Alignas(16) struct then_rope then_rope;
  _Alignas(16) uint8_t planes[SELFTEST_TILED_ROWS * SELFTEST_COLS * 2]; /* of the weights under test, plane behind plane; rearrange: their rows */
} selftest_input;

/* What a kernel writes, from the start (rearrange: plane behind plane); all else stays zero. */
typedef union selftest_output {
  uint8_t bytes[SELFTEST_OUT_BYTES];
  float y[SELFTEST_TOKENS * SELFTEST_ROWS];
  float x[SELFTEST_ACT_ROWS * SELFTEST_COLS];
  struct {
    int8_t q[SELFTEST_ATTEND * SELFTEST_HEADS * SELFTEST_ATTEND_DIM];
    float d[SELFTEST_ATTEND * SELFTEST_HEADS * SELFTEST_ATTEND_DIM / ACT_BLOCK];
    int16_t sums[SELFTEST_ATTEND * SELFTEST_HEADS * SELFTEST_ATTEND_DIM / 16];
  } o; /* attention */
  int32_t id;
  struct {
    int8_t q[SELFTEST_ACT_ROWS * SELFTEST_COLS];
    float d[SELFTEST_ACT_ROWS * SELFTEST_BLOCKS];
    int16_t sums[SELFTEST_ACT_ROWS * SELFTEST_BLOCKS * 2];
  } act;
  struct {
    int8_t q[SELFTEST_ATTEND * SELFTEST_HEADS * HEAD_WORDS(SELFTEST_HEAD_DIM) * 4];
    float d[SELFTEST_ATTEND * SELFTEST_HEADS * HEAD_SCALES(SELFTEST_HEAD_DIM)];
  } query; /* rope_store; the cache it writes follows at 8192 */
  struct {
    uint8_t before[8192];
    uint32_t device[SELFTEST_KV_BLOCK_WORDS], host[SELFTEST_KV_BLOCK_WORDS]; /* a block each: the positions are SELFTEST_STORE and the next */
  } cache;
  struct {
    float y[SELFTEST_THEN_TOKENS * SELFTEST_TILED_ROWS];
    int8_t q[SELFTEST_THEN_TOKENS * SELFTEST_TILED_ROWS];
    float d[SELFTEST_THEN_BLOCKS];
    int16_t sums[SELFTEST_THEN_BLOCKS * 2];
    uint32_t counters[SELFTEST_THEN_TOKENS * (SELFTEST_THEN_HEADS + SELFTEST_THEN_KV_HEADS)]; /* zero */
    int8_t query[SELFTEST_THEN_TOKENS * SELFTEST_THEN_HEADS * HEAD_WORDS(SELFTEST_THEN_HEAD_DIM) * 4];
    float query_d[SELFTEST_THEN_TOKENS * SELFTEST_THEN_HEADS * HEAD_SCALES(SELFTEST_THEN_HEAD_DIM)];
    uint32_t device[SELFTEST_THEN_KV_WORDS], host[SELFTEST_THEN_KV_WORDS]; /* as of cache */
  } then; /* products and what follows them */
} selftest_output;

/* All of it but the planes and the cache. Ties, zeros, blocks below X_TINY, the largest codes and subnormal scales are among it. */
void selftest_fill(selftest_input *in);

/* A cache of a type, kv_device and kv_host. */
void selftest_fill_cache(uint32_t kv_type, selftest_input *in);

/* The (SELFTEST_ROWS, SELFTEST_COLS) weights of a type as a file has them; blocks: selftest_matrix_bytes(type). */
size_t selftest_matrix_bytes(uint32_t type);
void selftest_fill_matrix(uint32_t type, uint8_t *blocks);

uint64_t selftest_digest(const selftest_output *out);

/* What is stored for a kernel and type; kv_type: of the cache, where the kernel has one besides. */
uint64_t selftest_expected(kernel_id id, uint32_t type, uint32_t kv_type);

typedef struct selftest selftest; /* the buffers and commands of self-tests on one device; belongs to one thread */

/* Errors: OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status selftest_create(gpu_device *device, selftest **out, hn_error *err);
void selftest_destroy(selftest **test); /* NULL is accepted */

/* Runs the kernel (its pipeline must be there) and gives the digest of what it wrote. Blocks.
 * Errors: DEVICE_LOST, TIMEOUT, OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status selftest_run(selftest *test, const kernels *k, kernel_id id, uint32_t type, uint64_t *digest, hn_error *err);

#endif
