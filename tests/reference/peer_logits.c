/*
 * peer_logits MODEL.gguf TOKENS.txt N OUT.f32: the logits that llama.cpp's CPU backend gives to the first N tokens of a file of
 * ids separated by commas, as rows of f32, as `hornito eval --logits` writes them. Not part of the build:
 *
 *   cc peer_logits.c -lllama -lggml -lggml-base -o peer_logits      (Debian: libllama-dev)
 */
#include <ggml-backend.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_TOKENS = 4096 };

static int32_t read_ids(const char *path, llama_token *ids, int32_t n) {
  FILE *file = fopen(path, "r");
  int32_t count = 0;
  while (file && count < n && fscanf(file, "%d,", &ids[count]) == 1)
    count++;
  if (file)
    fclose(file);
  return count;
}

int main(int argc, char **argv) {
  int32_t n = argc == 5 ? atoi(argv[3]) : 0;
  static llama_token ids[MAX_TOKENS];
  if (n < 1 || n > MAX_TOKENS || read_ids(argv[2], ids, n) != n) {
    fprintf(stderr, "usage: peer_logits MODEL.gguf TOKENS.txt N OUT.f32\n");
    return 2;
  }
  llama_backend_init();
  ggml_backend_load_all();
  struct llama_model_params mp = llama_model_default_params();
  ggml_backend_dev_t none[] = {NULL};
  mp.devices = none;
  mp.n_gpu_layers = 0;
  struct llama_model *model = llama_model_load_from_file(argv[1], mp);
  struct llama_context_params cp = llama_context_default_params();
  cp.n_ctx = cp.n_batch = cp.n_ubatch = (uint32_t)n;
  struct llama_context *ctx = model ? llama_init_from_model(model, cp) : NULL;
  if (!ctx)
    return 1;
  struct llama_batch batch = llama_batch_init(n, 0, 1);
  batch.n_tokens = n;
  for (int32_t i = 0; i < n; i++) {
    batch.token[i] = ids[i];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  size_t count = (size_t)n * (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
  FILE *out = fopen(argv[4], "wb");
  if (!out || llama_decode(ctx, batch) || fwrite(llama_get_logits(ctx), sizeof(float), count, out) != count)
    return 1;
  return fclose(out) ? 1 : 0;
}
