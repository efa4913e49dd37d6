/*
 * write_model [--shape S] [--type T] [--layers N] [--ctx N] [--seed N] [--header-only] OUT: a model of a real shape with random weights
 * in a file, for scripts. Without options: a small one.
 *
 *   --shape  tiny (the default), smollm2 (SmolLM2-135M), llama-8b (Llama-3.1-8B)
 *   --type   q4_0 or q4_k_m, with the mixture of types that such files have; without it q4_0, but tiny has Q8_0 in v and no Q6_K
 *   --layers, --ctx  as many layers, as long a context, instead of the shape's
 *   --header-only    vectors are written, matrices are holes: the size is right and takes no disk
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random_model.h"

typedef struct choice {
  const char *name;
  random_model model;
} choice;

static const choice shapes[] = {
    {"tiny", {.n_embd = 256, .n_ff = 512, .n_layers = 2, .n_heads = 4, .n_kv_heads = 2, .head_dim = 64, .n_vocab = 512, .tied = true,
              .type = QUANT_Q4_0, .v = QUANT_Q8_0}},
    {"smollm2", {.n_embd = 576, .n_ff = 1536, .n_layers = 30, .n_heads = 9, .n_kv_heads = 3, .head_dim = 64, .n_vocab = 49152,
                 .n_special = 17, .n_ctx = 8192, .rope_theta = 100000, .pre = "smollm", .tied = true,
                 .type = QUANT_Q4_0, .output = QUANT_Q6_K}},
    {"llama-8b", {.n_embd = 4096, .n_ff = 14336, .n_layers = 32, .n_heads = 32, .n_kv_heads = 8, .head_dim = 128, .n_vocab = 128256,
                  .n_special = 256, .n_ctx = 131072, .rope_theta = 500000, .rope_scaling = "llama3", .pre = "llama-bpe",
                  .type = QUANT_Q4_0, .output = QUANT_Q6_K}},
};

static const choice types[] = {
    {"q4_0", {.type = QUANT_Q4_0, .output = QUANT_Q6_K}},
    {"q4_k_m", {.type = QUANT_Q4_K, .v = QUANT_Q6_K, .down = QUANT_Q6_K, .output = QUANT_Q6_K, .some_layers = true}},
};

enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_TYPES = sizeof types / sizeof *types, MAX_LAYERS = 1024 };

typedef struct request {
  random_model model;
  const random_model *types; /* NULL: the shape's */
  uint32_t n_layers, n_ctx, seed;
  bool header_only;
  const char *out;
} request;

static const random_model *find(const choice *choices, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(choices[i].name, name) == 0)
      return &choices[i].model;
  return NULL;
}

static bool read_number(const char *text, uint32_t max, uint32_t *out) {
  char *end;
  errno = 0;
  unsigned long number = strtoul(text, &end, 10);
  if (errno || *text < '0' || *text > '9' || *end || number < 1 || number > max)
    return false;
  *out = (uint32_t)number;
  return true;
}

static bool read_option(request *r, const char *name, const char *value) {
  if (strcmp(name, "--shape") == 0) {
    const random_model *shape = find(shapes, N_SHAPES, value);
    r->model = shape ? *shape : r->model;
    return shape != NULL;
  }
  if (strcmp(name, "--type") == 0)
    return (r->types = find(types, N_TYPES, value)) != NULL;
  if (strcmp(name, "--layers") == 0)
    return read_number(value, MAX_LAYERS, &r->n_layers);
  if (strcmp(name, "--ctx") == 0)
    return read_number(value, UINT32_MAX, &r->n_ctx);
  return strcmp(name, "--seed") == 0 && read_number(value, UINT32_MAX, &r->seed);
}

static bool read_arguments(request *r, int argc, char **argv) {
  *r = (request){.model = shapes[0].model, .seed = 1};
  int i = 1;
  for (; i < argc && argv[i][0] == '-'; i++) {
    if (strcmp(argv[i], "--header-only") == 0) {
      r->header_only = true;
      continue;
    }
    if (i + 1 >= argc || !read_option(r, argv[i], argv[i + 1]))
      return false;
    i++;
  }
  r->out = argv[i];
  return i + 1 == argc;
}

static random_model requested(const request *r) {
  random_model m = r->model;
  if (r->types) {
    m.type = r->types->type;
    m.v = r->types->v;
    m.down = r->types->down;
    m.output = r->types->output;
    m.some_layers = r->types->some_layers;
  }
  m.n_layers = r->n_layers ? r->n_layers : m.n_layers;
  m.n_ctx = r->n_ctx ? r->n_ctx : m.n_ctx;
  return m;
}

int main(int argc, char **argv) {
  request r;
  if (!read_arguments(&r, argc, argv)) {
    fprintf(stderr, "usage: write_model [--shape tiny|smollm2|llama-8b] [--type q4_0|q4_k_m] [--layers N] [--ctx N] [--seed N] "
                    "[--header-only] OUT\n");
    return 2;
  }
  random_model m = requested(&r);
  FILE *out = fopen(r.out, "wb");
  bool ok = out && random_model_stream(&m, r.seed, r.header_only, out);
  ok = out && fclose(out) == 0 && ok;
  if (!ok)
    fprintf(stderr, "write_model: %s cannot be written: %s\n", r.out, strerror(errno));
  return !ok;
}
