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
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

enum { MAX_ALLOCATIONS = 10000, ALL_SUCCEED = 1 << 30 };

static atomic_long until_failure = ALL_SUCCEED; /* allocations that still succeed */
static atomic_bool failed;

static bool fails_now(void) {
  if (atomic_load(&until_failure) >= ALL_SUCCEED || atomic_fetch_sub(&until_failure, 1) > 0)
    return false;
  atomic_store(&failed, true);
  return true;
}

void *__wrap_malloc(size_t size) {
  return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
  return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size) {
  return fails_now() ? NULL : __real_realloc(old, size);
}

long each_allocation_fails(hn_status (*fn)(void *arg), void *arg) {
  for (long i = 0; i < MAX_ALLOCATIONS; i++) {
    atomic_store(&failed, false);
    atomic_store(&until_failure, i);
    hn_status status = fn(arg);
    atomic_store(&until_failure, ALL_SUCCEED);
    assert_true(status == HN_OK || (atomic_load(&failed) && status == HN_ERROR_OUT_OF_MEMORY));
    if (!atomic_load(&failed)) {
      assert_int_equal(status, HN_OK);
      return i;
    }
  }
  fail_msg("more than %d allocations", MAX_ALLOCATIONS);
  return 0;
}
