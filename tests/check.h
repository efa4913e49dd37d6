/*
 * check.h: the laboratory. Each kernel has one function (check_KERNEL.c) that draws random shapes and values and describes a case:
 * tensors, the C reference, the launch. check_run then proves the case or, with --bench, times it.
 *
 * Proof: every tensor gets a VkBuffer of its own with guard zones. The case runs twice, with two patterns in the guards, in the outputs
 * and in all bytes of inputs that the launch does not declare as read. Outputs must have the bits of the reference, byte for byte, where
 * neither wrote the pattern must be left, inputs and guards must be unchanged, declared ranges must lie within tensors, and declared
 * writes must be the bytes that the reference writes.
 */
#ifndef CHECK_H
#define CHECK_H

#include "../runtime/kernels.h"
#include "../runtime/kernels_cpu.h"
#include "../tools/bench/measure.h"

enum { CHECK_MAX_TENSORS = 20, CHECK_EXIT_MEMORY = 99 };

typedef enum check_tensor_use { CHECK_IN, CHECK_OUT, CHECK_INOUT, CHECK_SCRATCH } check_tensor_use;

typedef struct check_tensor {
  const char *name;
  uint64_t bytes;
  uint8_t *host; /* what the C side reads and writes */
  check_tensor_use use;
  bool whole; /* never too short, as others are where overruns are wanted: it holds sizes and addresses */
  gpu_buffer buffer;
  VkDeviceAddress at; /* for the launch */
} check_tensor;

typedef struct check {
  bool tight;        /* no guard zones, so that a validation layer sees what lies beyond a buffer */
  bool large;        /* the largest shapes of Llama-3.1-8B instead of small random ones */
  bool overrun;      /* inputs get buffers that are too short: the layer must see it */
  uint64_t random;   /* state of random_bits */
  gpu_device *device;
  gpu_cmd *cmd;
  measure *measure; /* NULL: nothing is timed */
  kernels kernels; /* the module under test, and no other */
  const spirv_module *module;
  kernel_id id;
  uint32_t type;    /* of weights, or of the cache */
  uint32_t kv_type; /* of the cache, where the kernel has one */
  bool expects_failure; /* it is told in other words */
  bool device_failed;
  uint32_t n_cases, n_failed;
  /* of the current case */
  check_tensor tensors[CHECK_MAX_TENSORS];
  uint32_t n_tensors;
  gpu_access access;
  uint32_t n_dispatches;
} check;

/* ---- what a check function calls ---- */

/* lowest .. highest; often at a bound, near a power of two, or small */
uint32_t check_size(check *c, uint32_t lowest, uint32_t highest);

/* Blocks of 32 that are all zero, tiny (below X_TINY), huge, equal, of mixed magnitude or plain; finite, magnitudes of 2^-120 .. 2^high. */
void check_floats(check *c, float *x, size_t n, int high);

/* -127 .. 127 or, in some blocks of 32, all at a bound or zero */
void check_codes(check *c, int8_t *q, size_t n);
void check_bytes(check *c, void *out, size_t n);

/* Steps of q8 blocks: zero or 2^-60 / 127 .. 2^20, mostly positive. */
void check_steps(check *c, float *d, size_t n);

/* Pairs of cos and sin, or what could be some: -1 .. 1, the bounds among them. */
void check_rotation(check *c, check_tensor *t);

/* Multiplies all floats of a tensor. */
void check_scale(check_tensor *t, float factor);

/* A tensor of the case; host is zeroed. Its contents come from the caller, but for CHECK_OUT. */
check_tensor *check_in(check *c, const char *name, uint64_t bytes);
check_tensor *check_out(check *c, const char *name, uint64_t bytes);
check_tensor *check_inout(check *c, const char *name, uint64_t bytes);
check_tensor *check_scratch(check *c, const char *name, uint64_t bytes); /* what a kernel leaves there is anything */

typedef struct check_case {
  char shape[128];               /* for people */
  void (*reference)(void *data); /* writes host of the outputs */
  void (*launch)(void *data);    /* records one dispatch on check.cmd, with check.kernels */
  void *data;
} check_case;

/* Proves or times, and releases the tensors. What fails is printed and counted. */
void check_run(check *c, const check_case *one);

/* ---- one per kernel: a random case, or the largest ---- */

void check_argmax(check *c);
void check_attention(check *c); /* attention and attention_prompt */
void check_embed(check *c);
void check_matmul(check *c); /* matvec and matmat */
void check_matvec_norm(check *c);
void check_matvec_rope(check *c);
void check_matvec_swiglu(check *c);
void check_norm_quant(check *c);
void check_quantize(check *c);
void check_rearrange(check *c);
void check_rope_store(check *c);
void check_swiglu_quant(check *c);

/* ---- shared by check functions ---- */

typedef struct check_q8 { /* rows of quantized activations: see cpu_q8 */
  check_tensor *q, *d, *sums;
} check_q8;

typedef check_tensor *(*check_use)(check *c, const char *name, uint64_t bytes);
check_q8 check_act(check *c, check_use use, uint64_t n_blocks);
void check_fill_act(check *c, check_q8 rows, uint64_t n_blocks); /* random values of consistent sums */

typedef struct check_weights {
  uint8_t *blocks; /* as in a file; check_matrix_free */
  gpu_matrix gpu;  /* without planes: see check_gpu_matrix */
  check_tensor *planes[N_PLANES]; /* NULL: none */
  size_t row_bytes;
} check_weights;

/* A random matrix of the module's type. */
check_weights check_matrix(check *c, uint32_t n_rows, uint32_t n_granules);
void check_matrix_free(check_weights *w);

/* The matrix as a launch takes it, to be called in the launch; and as the reference does. */
gpu_matrix check_gpu_matrix(const check_weights *w);
cpu_matrix check_cpu_matrix(const check_weights *w);
cpu_q8 check_cpu_act(check_q8 rows);

typedef struct check_operands { /* of a product */
  uint32_t n_granules;
  check_weights w;
  check_q8 x; /* (n_tokens) rows */
} check_operands;

/* Random ones, with rows of large_cols weights where check.large, else of up to `most` granules. check_matrix_free(&out->w) */
check_operands check_product(check *c, uint32_t n_rows, uint32_t large_cols, uint32_t most, uint32_t n_tokens);

/* Shapes of attention: heads that share a key head or do not. */
cpu_heads check_heads(check *c);

typedef struct check_cache { /* of the module's type */
  check_tensor *device, *host; /* NULL: no block lies there */
  uint32_t n_device_blocks;
} check_cache;

/* A KV cache of n_ctx positions; contents are left to the caller. */
check_cache check_kv(check *c, check_use use, const cpu_heads *h, uint32_t n_ctx);
void check_fill_kv(check *c, const check_cache *cache, const cpu_heads *h); /* random codes and scales */
cpu_cache check_cpu_cache(const check *c, const check_cache *cache);

/* (tokens->n) positions of tokens in a cache of n_ctx, which is at least n: neighbours or, if `any`, anywhere, each its own. */
check_tensor *check_positions(check *c, uint32_t n_ctx, bool any, kv_tokens *tokens);

/* 0 for NULL; to be called in the launch. */
VkDeviceAddress check_at(const check_tensor *t);

/* Writes a tensor's bytes in the launch, where addresses are known. Where a device that is timed has no memory that the CPU sees, nothing. */
void check_put(check_tensor *t, const void *data);

#endif
