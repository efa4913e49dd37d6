/* write_model OUT: a small random model in a file, for scripts. */
#include <stdio.h>
#include <stdlib.h>

#include "random_model.h"

int main(int argc, char **argv) {
  static const random_model model = {.type = QUANT_Q4_0, .v = QUANT_Q8_0, .n_embd = 256, .n_ff = 512, .n_layers = 2, .n_heads = 4, .n_kv_heads = 2,
                                     .head_dim = 64, .n_vocab = 512, .tied = true};
  size_t size = 0;
  uint8_t *image = random_model_write(&model, 1, &size);
  FILE *out = argc == 2 ? fopen(argv[1], "wb") : NULL;
  int failed = !out || fwrite(image, 1, size, out) != size || fclose(out);
  free(image);
  return failed;
}
