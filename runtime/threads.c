#include "threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct threads {
  pthread_t workers[MAX_THREADS];
  uint32_t n_workers;
  pthread_mutex_t lock;
  pthread_cond_t wake, idle;
  uint64_t round; /* of the loop that runs or ran last */
  uint32_t n_busy;
  bool stop;
  threads_fn fn; /* the loop */
  void *arg;
  uint32_t n_items, grain;
  atomic_uint_fast64_t next; /* the first item that nobody has taken */
};

static void work(threads *self) {
  for (;;) {
    uint64_t begin = atomic_fetch_add(&self->next, self->grain);
    if (begin >= self->n_items)
      return;
    uint64_t end = begin + self->grain;
    self->fn(self->arg, (uint32_t)begin, end < self->n_items ? (uint32_t)end : self->n_items);
  }
}

static void *worker(void *arg) {
  threads *self = arg;
  uint64_t seen = 0;
  pthread_mutex_lock(&self->lock);
  for (;;) {
    while (self->round == seen && !self->stop)
      pthread_cond_wait(&self->wake, &self->lock);
    if (self->stop)
      break;
    seen = self->round;
    pthread_mutex_unlock(&self->lock);
    work(self);
    pthread_mutex_lock(&self->lock);
    if (--self->n_busy == 0)
      pthread_cond_signal(&self->idle);
  }
  pthread_mutex_unlock(&self->lock);
  return NULL;
}

hn_status threads_create(uint32_t n, threads **out, hn_error *err) {
  *out = NULL;
  threads *self = calloc(1, sizeof *self);
  if (!self)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for threads");
  if (n == 0) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    n = processors < 1 ? 1 : (uint32_t)processors;
  }
  if (n > MAX_THREADS)
    n = MAX_THREADS;
  pthread_mutex_init(&self->lock, NULL);
  pthread_cond_init(&self->wake, NULL);
  pthread_cond_init(&self->idle, NULL);
  while (self->n_workers + 1 < n && pthread_create(&self->workers[self->n_workers], NULL, worker, self) == 0)
    self->n_workers++; /* fewer threads than asked for are slower, not wrong */
  *out = self;
  return HN_OK;
}

void threads_destroy(threads **pool) {
  threads *self = *pool;
  if (!self)
    return;
  pthread_mutex_lock(&self->lock);
  self->stop = true;
  pthread_cond_broadcast(&self->wake);
  pthread_mutex_unlock(&self->lock);
  for (uint32_t i = 0; i < self->n_workers; i++)
    pthread_join(self->workers[i], NULL);
  pthread_cond_destroy(&self->wake);
  pthread_cond_destroy(&self->idle);
  pthread_mutex_destroy(&self->lock);
  free(self);
  *pool = NULL;
}

void threads_run(threads *self, uint32_t n_items, uint32_t grain, threads_fn fn, void *arg) {
  if (n_items <= grain || self->n_workers == 0) {
    if (n_items)
      fn(arg, 0, n_items);
    return;
  }
  pthread_mutex_lock(&self->lock);
  self->fn = fn;
  self->arg = arg;
  self->n_items = n_items;
  self->grain = grain;
  atomic_store(&self->next, 0);
  self->n_busy = self->n_workers;
  self->round++;
  pthread_cond_broadcast(&self->wake);
  pthread_mutex_unlock(&self->lock);
  work(self);
  pthread_mutex_lock(&self->lock);
  while (self->n_busy)
    pthread_cond_wait(&self->idle, &self->lock);
  pthread_mutex_unlock(&self->lock);
}
