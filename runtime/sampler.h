/* sampler.h: the sampler's generator of random numbers, seen by its test. */
#ifndef HN_SAMPLER_H
#define HN_SAMPLER_H

#include <stdint.h>

/*
 * Philox-4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): a keyed
 * bijection of 128-bit counters. out[i] are 32 random bits each.
 */
void sampler_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
