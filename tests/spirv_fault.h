/* spirv_fault.h: one deliberate fault in a shader, which a check of bits must find. */
#ifndef HN_TESTS_SPIRV_FAULT_H
#define HN_TESTS_SPIRV_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../shaders/spirv.h"

/* A copy, malloc'ed, with one instruction changed: the last addition of floats becomes a subtraction; where there is none, the last
 * multiplication an addition, or the last "greater" a "less"; without floats, the last bitwise "or" an "and", or the last product of integers
 * a sum. The module stays valid. NULL: nothing to change, or out of memory. */
uint32_t *spirv_fault_copy(const uint32_t *words, size_t n_words);

/* The same of a module, which becomes its owner: bytes. */
bool spirv_fault_put(spirv_module *module);

#endif
