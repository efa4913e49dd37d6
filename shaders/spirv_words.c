#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "spirv.h"

uint32_t *spirv_words(const spirv_module *module) {
  uint32_t *words = malloc(module->n_words * sizeof *words);
  uLongf n_bytes = module->n_words * sizeof *words;
  if (words && module->n_bytes == n_bytes)
    memcpy(words, module->bytes, n_bytes);
  else if (words && (uncompress((Bytef *)words, &n_bytes, module->bytes, module->n_bytes) != Z_OK || n_bytes != module->n_words * sizeof *words)) {
    free(words);
    words = NULL;
  }
  return words;
}
