/*
 * joined.h: matrices of a layer that lie on the device as one, the rows of the second behind those of the first, so that one dispatch
 * multiplies them all: q, k and v, or two of them that follow each other; gate and up. They have one type and, all or none, biases, which lie
 * behind each other too.
 */
#ifndef HN_JOINED_H
#define HN_JOINED_H

#include "../loader/model.h"

/* How many matrices of the layer, from m on, are one: 1 where m is alone; 0 where m belongs to one before. */
uint32_t joined_count(const model_layer *layer, int m);

/* Bytes of their planes together; 0 where m belongs to one before. */
uint64_t joined_bytes(const model_layer *layer, int m);

/* The bytes of a vector and of those that are joined to it; 0 where it is joined itself, and where there is none. */
uint64_t joined_vector_bytes(const model_layer *layer, int v);

#endif
