/* spirv.h: the compiled shaders, from variants.txt. Variants of one kernel and type stand in the order of that file. */
#ifndef HN_SPIRV_H
#define HN_SPIRV_H

#include <stddef.h>
#include <stdint.h>

typedef struct spirv_module {
  const char *name;    /* kernel[_type][_variant], as the file in the build folder: "matvec_q4_k_intf32" */
  const char *kernel;  /* "matvec" */
  const char *type;    /* of weights, "q4_k"; "": the kernel has none */
  const char *variant; /* "intf32"; "": the plain one */
  const unsigned char *bytes; /* of its words, in zlib's format; the words themselves where n_bytes is 4 * n_words */
  size_t n_bytes, n_words;
} spirv_module;

extern const spirv_module spirv_modules[]; /* ends with an empty one */

/* The module's words, malloc'ed. NULL: out of memory. */
uint32_t *spirv_words(const spirv_module *module);

#endif
