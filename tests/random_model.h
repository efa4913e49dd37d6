/* random_model.h: small models of the llama architecture with random weights, for tests. */
#ifndef RANDOM_MODEL_H
#define RANDOM_MODEL_H

#include "../loader/quant.h"

typedef struct random_model {
  uint32_t n_embd, n_ff, n_layers, n_heads, n_kv_heads, head_dim;
  uint32_t n_vocab; /* at least 256: the first are the bytes */
  quant_type type;  /* of all matrices, but: */
  quant_type v, down, output; /* 0 (F32): as type */
  const char *rope_scaling; /* NULL: none; "linear", "yarn", "llama3" (with rope_freqs) */
  bool tied, bias;
} random_model;

/* xorshift64*, the tests' generator. *state must not be 0. */
uint64_t random_bits(uint64_t *state);

/* A GGUF image, malloc'ed. Weights have a standard deviation near 1 / sqrt(columns), so that activations stay finite; some
 * blocks have subnormal scales. Ends the program when memory runs out. */
uint8_t *random_model_write(const random_model *m, uint64_t seed, size_t *size);

/* The same into a new temporary file, whose path goes to path (at least 64 bytes). */
void random_model_save(const random_model *m, uint64_t seed, char *path);

#endif
