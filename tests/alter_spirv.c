/*
 * alter_spirv PROGRAM MODULE.spv OUT: copies a program and changes one byte of the shader embedded in it: the last addition of
 * floats in it becomes a subtraction. Tests that compare results must then fail.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OP_FADD = 129, OP_FSUB = 131, HEADER_WORDS = 5 };

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

/* The offset of the last OpFAdd; 0: there is none. */
static size_t find_add(const uint8_t *spirv, size_t n) {
  size_t found = 0;
  for (size_t at = HEADER_WORDS * 4; at + 4 <= n;) {
    uint32_t opcode = spirv[at] | (uint32_t)spirv[at + 1] << 8, words = spirv[at + 2] | (uint32_t)spirv[at + 3] << 8;
    if (opcode == OP_FADD)
      found = at;
    if (words == 0)
      return 0;
    at += words * 4;
  }
  return found;
}

static size_t find(const uint8_t *in, size_t n, const uint8_t *what, size_t n_what) {
  for (size_t i = 0; i + n_what <= n; i++)
    if (memcmp(in + i, what, n_what) == 0)
      return i;
  return n;
}

int main(int argc, char **argv) {
  size_t n = 0, n_spirv = 0;
  uint8_t *program = argc == 4 ? read_file(argv[1], &n) : NULL, *spirv = argc == 4 ? read_file(argv[2], &n_spirv) : NULL;
  size_t add = spirv ? find_add(spirv, n_spirv) : 0, base = program && spirv ? find(program, n, spirv, n_spirv) : n;
  FILE *out = add && base < n ? fopen(argv[3], "wb") : NULL;
  bool ok = false;
  if (out) {
    program[base + add] = OP_FSUB;
    ok = fwrite(program, 1, n, out) == n;
    ok = fclose(out) == 0 && ok;
  }
  free(program);
  free(spirv);
  if (!ok)
    fprintf(stderr, "alter_spirv: expected PROGRAM MODULE.spv OUT, the module with an addition and within the program\n");
  return ok ? 0 : 1;
}
