#include "spirv_fault.h"

#include <stdlib.h>
#include <string.h>

enum {
  HEADER_WORDS = 5,
  OP_IADD = 128, OP_FADD = 129, OP_FSUB = 131, OP_IMUL = 132, OP_FMUL = 133, OP_FORD_LESS = 184, OP_FORD_GREATER = 186, OP_OR = 197,
  OP_AND = 199
};

static size_t find_last(const uint32_t *words, size_t n_words, uint32_t opcode) {
  size_t found = 0;
  for (size_t at = HEADER_WORDS; at < n_words && words[at] >> 16; at += words[at] >> 16)
    if ((words[at] & 0xFFFF) == opcode)
      found = at;
  return found;
}

static bool find_fault(const uint32_t *words, size_t n_words, size_t *at, uint32_t *value) {
  static const uint32_t faults[][2] = {
      {OP_FADD, OP_FSUB}, {OP_FMUL, OP_FADD}, {OP_FORD_GREATER, OP_FORD_LESS}, {OP_OR, OP_AND}, {OP_IMUL, OP_IADD}};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    *at = find_last(words, n_words, faults[i][0]);
    if (*at) {
      *value = (words[*at] & 0xFFFF0000u) | faults[i][1];
      return true;
    }
  }
  return false;
}

uint32_t *spirv_fault_copy(const uint32_t *words, size_t n_words) {
  size_t at = 0;
  uint32_t value = 0, *copy = NULL;
  if (find_fault(words, n_words, &at, &value))
    copy = malloc(n_words * sizeof *copy);
  if (copy) {
    memcpy(copy, words, n_words * sizeof *copy);
    copy[at] = value;
  }
  return copy;
}

bool spirv_fault_put(spirv_module *module) {
  uint32_t *words = spirv_words(module), *copy = words ? spirv_fault_copy(words, module->n_words) : NULL;
  free(words);
  if (copy) {
    module->bytes = (const unsigned char *)copy;
    module->n_bytes = module->n_words * sizeof *copy;
  }
  return copy;
}
