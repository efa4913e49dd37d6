/* fuzz_seed FOLDER: writes the files that the fuzzers start from. */
#include <stdio.h>
#include <stdlib.h>

#include "../runtime/hash.h"
#include "../runtime/tuning_file.h"
#include "../tools/bench/report.h"
#include "bench_sample.h"
#include "fuzz_session.h"
#include "random_model.h"
#include "tokenizer_tiny.h"

static void save(const char *folder, const char *name, int mode, const void *data, size_t size) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "wb");
  bool ok = file != NULL;
  if (ok && mode >= 0) /* of fuzz_tokenizer: see there */
    ok = fwrite((uint8_t[]){(uint8_t)mode, (uint8_t)size, (uint8_t)(size >> 8)}, 1, mode < 4 ? 1 : 3, file) > 0;
  ok = ok && fwrite(data, 1, size, file) == size;
  if (!ok || fclose(file)) {
    fprintf(stderr, "fuzz_seed: %s cannot be written\n", path);
    exit(1);
  }
}

/* A line for each module that has constants. */
static void save_tuning(const char *folder) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (out == NULL)
    exit(1);
  for (const spirv_module *m = spirv_modules; m->name; m++) {
    uint32_t constants[GPU_MAX_CONSTANTS], n = tuning_file_choice(0, m, constants);
    if (n == 0)
      continue;
    fprintf(out, "%s %016llx", m->name, (unsigned long long)hash_bytes(HASH_BEGIN, m->bytes, m->n_bytes));
    for (uint32_t i = 0; i < n; i++)
      fprintf(out, " %u", (unsigned)constants[i]);
    fputc('\n', out);
  }
  fclose(out);
  save(folder, "tuning", -1, text, size);
  free(text);
}

int main(int argc, char **argv) {
  static const random_model model = {.type = QUANT_Q4_0, .n_embd = 32, .n_ff = 32, .n_layers = 1, .n_heads = 4, .n_kv_heads = 2,
                                     .head_dim = 8, .n_vocab = 300, .tied = true, .rope_scaling = "llama3"};
  static tiny_gguf image;
  size_t size;
  if (argc != 2)
    return 2;
  uint8_t *data = random_model_write(&model, 3, &size);
  save(argv[1], "gguf_model", -1, data, size);
  free(data);
  tiny_bpe(&image, "llama-bpe");
  save(argv[1], "gguf_bpe", -1, image.data, image.n);
  save(argv[1], "tokenizer_bpe", 4, image.data, image.n);
  tiny_spm(&image, -1.0f);
  save(argv[1], "gguf_spm", -1, image.data, image.n);
  save(argv[1], "tokenizer_spm", 4, image.data, image.n);
  for (int mode = 0; mode < 4; mode++) {
    char name[32];
    snprintf(name, sizeof name, "tokenizer_text%d", mode);
    save(argv[1], name, mode, "hello  w\xC3\xA9<|im_end|> 123\n", 24);
  }
  static const int32_t ids[70] = {1, 2, 3};
  char path[1024];
  fuzz_session subject;
  snprintf(path, sizeof path, "%s/session", argv[1]);
  if (!fuzz_session_open(&subject) || hn_session_eval(subject.session, ids, 70, NULL) || hn_session_save(subject.session, path, NULL))
    return 1;
  fuzz_session_close(&subject);
  bench_result result;
  char *text = bench_sample(&result) ? report_json_text(&result, 1, &size) : NULL;
  if (text != NULL)
    save(argv[1], "bench", -1, text, size);
  free(text);
  bench_finish(&result);
  save_tuning(argv[1]);
  return 0;
}
