/* random_model.h: models of the llama architecture with random weights, of any size, for tests. */
#ifndef RANDOM_MODEL_H
#define RANDOM_MODEL_H

#include <stdio.h>

#include "../loader/quant.h"

typedef struct random_model {
  uint32_t n_embd, n_ff, n_layers, n_heads, n_kv_heads, head_dim;
  uint32_t n_vocab;   /* at least 256: the first are the bytes, the others pairs of tokens before them */
  uint32_t n_special; /* the last of the vocabulary: control tokens, from 3 on those of ChatML; 0: none */
  uint32_t n_ctx;     /* 0: 512 */
  quant_type type;    /* of all matrices, but: */
  quant_type v, down, output; /* 0 (F32): as type */
  bool some_layers;   /* v and down have their own types in some layers alone: those in which Q4_K_M files have Q6_K */
  float rope_theta;   /* 0: the format's default */
  const char *rope_scaling; /* NULL: none; "linear", "yarn", "llama3" (with the rope_freqs of Llama 3.1) */
  const char *pre;          /* the pre-tokenizer; NULL: "default" */
  bool tied, bias;
} random_model;

/* xorshift64*, the tests' generator. *state must not be 0. */
uint64_t random_bits(uint64_t *state);

/*
 * Writes a GGUF file from the start of out, which can seek, a few KiB at a time. Weights have a standard deviation near 1 / sqrt(columns),
 * so that activations stay finite through any number of layers; some blocks have subnormal scales. Rows that are no whole number of a
 * type's blocks have the type that files have there. header_only: out is a file, and matrices are holes in it. False where out cannot
 * be written, with errno; ends the program when memory runs out.
 */
bool random_model_stream(const random_model *m, uint64_t seed, bool header_only, FILE *out);

/* The same in memory, malloc'ed. */
uint8_t *random_model_write(const random_model *m, uint64_t seed, size_t *size);

/* The same into a new temporary file, whose path goes to path (at least 64 bytes). */
void random_model_save(const random_model *m, uint64_t seed, char *path);

#endif
