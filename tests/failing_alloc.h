/*
 * failing_alloc.h: counts the allocations of a piece of code, and makes every one fail in turn. For programs linked with the --wrap
 * options of `wraps_alloc` in CMakeLists.txt. Allocations inside libraries and drivers are not reached, but those of VMA, which is
 * compiled into ours: they (aligned_alloc) are counted and do not fail, as VMA does not expect it.
 */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include "../runtime/error.h"

/*
 * Calls fn(arg) with its first, then its second, ... allocation failing, until none fails any more: once with that one alone, once with
 * all later ones too. Asserts that it gives HN_ERROR_OUT_OF_MEMORY (or HN_OK, where it can do without), HN_OK in the end, and that
 * nothing stays allocated. Returns the number of allocations.
 */
long each_allocation_fails(hn_status (*fn)(void *arg), void *arg);

/* How many there were since the program began, and how many of them were not freed. */
long allocations_made(void);
long allocations_live(void);

#endif
