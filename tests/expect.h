/* expect.h: for test programs that are not cmocka's: a condition that must hold is counted and printed where it does not. Included once. */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdio.h>

static int n_failed;

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      printf("FAILED: line %d: %s\n", __LINE__, #condition); \
      n_failed++; \
    } \
  } while (0)

#endif
