/* threads.h: a few threads that share loops. */
#ifndef HN_THREADS_H
#define HN_THREADS_H

#include "error.h"

enum { MAX_THREADS = 64 };

typedef struct threads threads;

/* n: 1 .. MAX_THREADS threads, the caller's own among them; 0: one per processor. Errors: OUT_OF_MEMORY. */
hn_status threads_create(uint32_t n, threads **out, hn_error *err);
void threads_destroy(threads **pool);

/* Works on items begin .. end - 1. */
typedef void (*threads_fn)(void *arg, uint32_t begin, uint32_t end);

/* Calls fn until it has covered 0 .. n_items - 1, in pieces of at most `grain`, in any order, and returns when all is done.
 * One thread at a time may call it. */
void threads_run(threads *pool, uint32_t n_items, uint32_t grain, threads_fn fn, void *arg);

#endif
