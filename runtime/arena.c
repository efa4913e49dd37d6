#include "arena.h"

#include <stdio.h>
#include <stdlib.h>

static bool belongs(const plan_allocation *a, plan_owner owner) {
  return a->owner == owner && a->session == 0;
}

static gpu_memory_kind kind_of(plan_place place) {
  return place == PLAN_DEVICE ? GPU_MEMORY_DEVICE : place == PLAN_HOST ? GPU_MEMORY_HOST : GPU_MEMORY_READBACK;
}

/* "output.weight and what follows" */
static void describe(const plan *p, uint32_t allocation, char *out, size_t size) {
  const hn_plan_item *first = NULL;
  bool more = false;
  for (size_t i = 0; i < p->base.n_items && !more; i++)
    if (p->items[i].allocation == allocation) {
      more = first != NULL;
      first = first ? first : &p->items[i];
    }
  if (first && first->layer >= 0)
    snprintf(out, size, "%s of layer %d%s", first->name, (int)first->layer, more ? " and what follows" : "");
  else
    snprintf(out, size, "%s%s", first ? first->name : "nothing", more ? " and what follows" : "");
}

hn_status arena_init(gpu_device *device, const plan *p, plan_owner owner, arena *out, hn_error *err) {
  *out = (arena){.device = device};
  while (out->first < p->n_allocations && !belongs(&p->allocations[out->first], owner))
    out->first++;
  while (out->first + out->n < p->n_allocations && belongs(&p->allocations[out->first + out->n], owner))
    out->n++;
  out->buffers = calloc(out->n ? out->n : 1, sizeof *out->buffers);
  if (!out->buffers)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for %u allocations", (unsigned)out->n);
  hn_status status = HN_OK;
  for (uint32_t i = 0; i < out->n && !status; i++) {
    const plan_allocation *a = &p->allocations[out->first + i];
    char name[128];
    if (a->place == PLAN_PROCESS)
      continue;
    describe(p, out->first + i, name, sizeof name);
    status = gpu_buffer_init(device, kind_of(a->place), a->bytes, name, &out->buffers[i], err);
  }
  if (status)
    arena_finish(out);
  return status;
}

void arena_finish(arena *a) {
  for (uint32_t i = 0; a->buffers && i < a->n; i++)
    gpu_buffer_finish(a->device, &a->buffers[i]);
  free(a->buffers);
  *a = (arena){0};
}

arena_place arena_at(const arena *a, const hn_plan_item *item) {
  if (!item)
    return (arena_place){0};
  const gpu_buffer *b = &a->buffers[item->allocation - a->first];
  return (arena_place){b, item->offset, b->address + item->offset, b->mapped ? (uint8_t *)b->mapped + item->offset : NULL};
}
