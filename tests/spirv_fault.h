/* spirv_fault.h: one deliberate fault in a shader, which a check of bits must find. */
#ifndef HN_TESTS_SPIRV_FAULT_H
#define HN_TESTS_SPIRV_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The word whose opcode a fault changes, and what it becomes: the last addition of floats a subtraction; where there is none, the
 * last multiplication an addition, or the last "greater" a "less"; without floats, the last bitwise "or" an "and", or the last
 * product of integers a sum. False: nothing to change. The module stays valid. */
bool spirv_fault_find(const uint32_t *words, size_t n_words, size_t *at, uint32_t *value);

/* A copy with that fault, malloc'ed. NULL: nothing to change, or out of memory. */
uint32_t *spirv_fault_copy(const uint32_t *words, size_t n_words);

#endif
