/* spirv.h: the compiled shaders. A module is found by its name: the source's, with the weight type behind it where the
 * source is built once per type ("rope_store", "matvec_Q4_K"). */
#ifndef HN_SPIRV_H
#define HN_SPIRV_H

#include <stddef.h>
#include <stdint.h>

typedef struct spirv_module {
  const char *name;
  const uint32_t *words;
  size_t n_words;
} spirv_module;

extern const spirv_module spirv_modules[]; /* ends with an empty one */

#endif
