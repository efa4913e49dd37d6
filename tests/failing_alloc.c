#include "failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);

enum { MAX_ALLOCATIONS = 10000, ALL_SUCCEED = 1 << 30 };

static atomic_long until_failure = ALL_SUCCEED; /* allocations that still succeed */
static atomic_bool failed, one_fails; /* one_fails: those after it succeed */
static atomic_long made, live;

static bool fails_now(void) {
  if (atomic_load(&until_failure) >= ALL_SUCCEED)
    return false;
  long left = atomic_fetch_sub(&until_failure, 1);
  if (left > 0 || (left < 0 && atomic_load(&one_fails)))
    return false;
  atomic_store(&failed, true);
  return true;
}

static void *count(void *memory) {
  if (memory) {
    atomic_fetch_add(&made, 1);
    atomic_fetch_add(&live, 1);
  }
  return memory;
}

void *__wrap_malloc(size_t size) {
  return fails_now() ? NULL : count(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size) {
  return fails_now() ? NULL : count(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size) {
  void *memory = fails_now() ? NULL : __real_realloc(old, size);
  if (memory && old)
    atomic_fetch_sub(&live, 1);
  return count(memory);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  return count(__real_aligned_alloc(alignment, size));
}

char *__wrap_strdup(const char *text) {
  return fails_now() ? NULL : count(__real_strdup(text));
}

void __wrap_free(void *memory) {
  if (memory)
    atomic_fetch_sub(&live, 1);
  __real_free(memory);
}

/* Whether an allocation failed. */
static bool allocation_fails(hn_status (*fn)(void *arg), void *arg, long i, bool alone) {
  long live_before = atomic_load(&live);
  atomic_store(&failed, false);
  atomic_store(&one_fails, alone);
  atomic_store(&until_failure, i);
  hn_status status = fn(arg);
  atomic_store(&until_failure, ALL_SUCCEED);
  assert_int_equal(atomic_load(&live), live_before);
  assert_true(status == HN_OK || (atomic_load(&failed) && status == HN_ERROR_OUT_OF_MEMORY));
  return atomic_load(&failed);
}

long each_allocation_fails(hn_status (*fn)(void *arg), void *arg) {
  for (long i = 0; i < MAX_ALLOCATIONS; i++) {
    bool any = allocation_fails(fn, arg, i, true);
    assert_int_equal(allocation_fails(fn, arg, i, false), any);
    if (!any)
      return i;
  }
  fail_msg("more than %d allocations", MAX_ALLOCATIONS);
  return 0;
}

long allocations_made(void) {
  return atomic_load(&made);
}

long allocations_live(void) {
  return atomic_load(&live);
}
