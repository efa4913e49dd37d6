/*
 * alter_spirv PROGRAM MODULE.spv OUT: copies a program with a fault (spirv_fault.h) in one byte of the shader embedded in it.
 * Tests that compare results must then notice.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spirv_fault.h"

static uint8_t *read_file(const char *path, size_t *n) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END))
    return NULL;
  long size = ftell(file);
  uint8_t *data = size > 0 ? malloc((size_t)size) : NULL;
  rewind(file);
  *n = data ? fread(data, 1, (size_t)size, file) : 0;
  fclose(file);
  return data;
}

static size_t find(const uint8_t *in, size_t n, const uint8_t *what, size_t n_what) {
  for (size_t i = 0; i + n_what <= n; i++)
    if (memcmp(in + i, what, n_what) == 0)
      return i;
  return n;
}

int main(int argc, char **argv) {
  size_t n = 0, n_spirv = 0, at = 0;
  uint32_t value = 0;
  uint8_t *program = argc == 4 ? read_file(argv[1], &n) : NULL, *spirv = argc == 4 ? read_file(argv[2], &n_spirv) : NULL;
  bool found = spirv && spirv_fault_find((const uint32_t *)(const void *)spirv, n_spirv / 4, &at, &value);
  size_t base = program && found ? find(program, n, spirv, n_spirv) : n;
  FILE *out = base < n ? fopen(argv[3], "wb") : NULL;
  bool ok = false;
  if (out) {
    memcpy(program + base + 4 * at, &value, 4);
    ok = fwrite(program, 1, n, out) == n;
    ok = fclose(out) == 0 && ok;
  }
  free(program);
  free(spirv);
  if (!ok)
    fprintf(stderr, "alter_spirv: expected PROGRAM MODULE.spv OUT, the module with an addition and within the program\n");
  return ok ? 0 : 1;
}
