/*
 * failing_alloc.h: makes every allocation of a piece of code fail in turn. For programs linked with --wrap=malloc, --wrap=calloc and
 * --wrap=realloc (`failing` in CMakeLists.txt). Allocations inside libraries are not reached.
 */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include "../runtime/error.h"

/*
 * Calls fn(arg) with its first, then its second, ... allocation and all later ones failing, until none fails any more, and asserts that
 * it gives HN_ERROR_OUT_OF_MEMORY (or HN_OK, where it can do without) and HN_OK in the end. Returns the number of allocations.
 */
long each_allocation_fails(hn_status (*fn)(void *arg), void *arg);

#endif
