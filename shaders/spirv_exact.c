/*
 * spirv_exact: makes a shader exact, and checks that it is. A build tool.
 *
 *   spirv_exact decorate IN.spv OUT.spv       marks every float add, subtract and multiply NoContraction
 *   spirv_exact embed IN.spv OUT.inc NAME       writes the words as a C array (see spirv.h), if the module is exact:
 *
 * every float add, subtract and multiply is NoContraction (the optimizer may have made new ones), and nothing is used whose
 * result differs between drivers: division, remainders, dot products, matrices, and all of GLSL.std.450 but integer
 * functions and FClamp to 0 .. 1 (of no NaN). Modules whose NAME ends in _intf32 may use fma, where both factors are
 * integers (see integers.glsl). Of cooperative matrices none of floats is a product, and none is added, subtracted or
 * multiplied whole: drivers would fuse that all the same.
 *
 * Format: the SPIR-V specification, version 1.6, sections 2.3 (physical layout) and 3.49 (instructions); SPV_KHR_cooperative_matrix.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { /* opcodes */
  OP_EXT_INST = 12, OP_TYPE_FLOAT = 22, OP_CONSTANT = 43, OP_DECORATE = 71, OP_MEMBER_DECORATE = 72, OP_COMPOSITE_CONSTRUCT = 80,
  OP_CONVERT_S_TO_F = 111, OP_QUANTIZE_TO_F16 = 116, OP_F_ADD = 129, OP_F_SUB = 131, OP_F_MUL = 133,
  OP_F_DIV = 136, OP_F_REM = 140, OP_F_MOD = 141, OP_VECTOR_TIMES_SCALAR = 142, OP_MATRIX_TIMES_SCALAR = 143, OP_DOT = 148,
  OP_TYPE_COOPERATIVE_MATRIX = 4456, OP_COOPERATIVE_MATRIX_MUL_ADD = 4459,
};
enum { HEADER_WORDS = 5, MAGIC = 0x07230203, NO_CONTRACTION = 42, GLSL_CLAMP = 43, GLSL_FMA = 50, BITS_OF_1 = 0x3F800000 };

static const char *path; /* of the input, for messages */

static void fail(const char *what) {
  fprintf(stderr, "spirv_exact: %s: %s\n", path, what);
  exit(1);
}

static uint32_t *read_words(size_t *n) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END))
    fail("cannot be opened");
  long bytes = ftell(file);
  if (bytes < HEADER_WORDS * 4 || bytes % 4)
    fail("is not a SPIR-V module");
  rewind(file);
  uint32_t *words = malloc((size_t)bytes);
  *n = (size_t)bytes / 4;
  if (!words || fread(words, 4, *n, file) != *n)
    fail("cannot be read");
  fclose(file);
  if (words[0] != MAGIC)
    fail("is not a SPIR-V module of this machine's byte order");
  return words;
}

static FILE *create(const char *name) {
  FILE *file = fopen(name, "wb");
  if (!file)
    fail("the output cannot be created");
  return file;
}

static void finish(FILE *file) {
  if (fflush(file) || ferror(file) || fclose(file))
    fail("the output cannot be written");
}

/* The number of words of the instruction at `at`. */
static size_t instruction_words(const uint32_t *words, size_t n, size_t at) {
  size_t count = words[at] >> 16;
  if (count == 0 || at + count > n)
    fail("has a damaged instruction");
  return count;
}

static bool must_not_contract(uint32_t op) {
  return op == OP_F_ADD || op == OP_F_SUB || op == OP_F_MUL || op == OP_VECTOR_TIMES_SCALAR;
}

static bool differs_between_drivers(const uint32_t *instruction, bool fma_allowed) {
  static const uint32_t exact_functions[] = {5, 7, 38, 39, 41, 42, GLSL_CLAMP, 44, 45, 73, 74, 75};
  uint32_t op = instruction[0] & 0xFFFF;
  if (op == OP_EXT_INST) {
    if (fma_allowed && instruction[4] == GLSL_FMA)
      return false;
    for (size_t i = 0; i < sizeof exact_functions / sizeof *exact_functions; i++)
      if (instruction[4] == exact_functions[i])
        return false;
    return true;
  }
  return op == OP_QUANTIZE_TO_F16 || op == OP_F_DIV || op == OP_F_REM || op == OP_F_MOD ||
         (op >= OP_MATRIX_TIMES_SCALAR && op <= OP_DOT);
}

static bool calls(const uint32_t *instruction, uint32_t function) {
  return (instruction[0] & 0xFFFF) == OP_EXT_INST && instruction[4] == function;
}

static bool *decorated_ids(const uint32_t *words, size_t n) {
  bool *ids = calloc((size_t)words[3] + 1, sizeof *ids);
  if (!ids)
    fail("out of memory");
  for (size_t i = HEADER_WORDS; i < n; i += instruction_words(words, n, i))
    if ((words[i] & 0xFFFF) == OP_DECORATE && words[i + 2] == NO_CONTRACTION)
      ids[words[i + 1]] = true;
  return ids;
}

/* The results that are integers in floats: conversions, and vectors of them. */
static bool *integer_ids(const uint32_t *words, size_t n) {
  bool *ids = calloc((size_t)words[3] + 1, sizeof *ids);
  if (!ids)
    fail("out of memory");
  for (size_t i = HEADER_WORDS; i < n; i += instruction_words(words, n, i)) {
    uint32_t op = words[i] & 0xFFFF;
    size_t count = words[i] >> 16;
    if (op == OP_CONVERT_S_TO_F)
      ids[words[i + 2]] = true;
    if (op != OP_COMPOSITE_CONSTRUCT)
      continue;
    bool all = true;
    for (size_t j = 3; j < count; j++)
      all = all && ids[words[i + j]];
    ids[words[i + 2]] = all;
  }
  return ids;
}

/* The types of cooperative matrices of floats. */
static bool *matrix_ids(const uint32_t *words, size_t n) {
  bool *ids = calloc(2 * ((size_t)words[3] + 1), sizeof *ids), *floats = ids + words[3] + 1;
  if (!ids)
    fail("out of memory");
  for (size_t i = HEADER_WORDS; i < n; i += instruction_words(words, n, i)) {
    if ((words[i] & 0xFFFF) == OP_TYPE_FLOAT)
      floats[words[i + 1]] = true;
    if ((words[i] & 0xFFFF) == OP_TYPE_COOPERATIVE_MATRIX)
      ids[words[i + 1]] = floats[words[i + 2]];
  }
  return ids;
}

static bool is_constant(const uint32_t *words, size_t n, uint32_t id, uint32_t bits) {
  for (size_t i = HEADER_WORDS; i < n; i += instruction_words(words, n, i))
    if ((words[i] & 0xFFFF) == OP_CONSTANT && words[i + 2] == id)
      return words[i + 3] == bits;
  return false;
}

static void decorate(const char *out_path) {
  size_t n, start = 0;
  uint32_t *words = read_words(&n);
  bool *done = decorated_ids(words, n);
  FILE *out = create(out_path);
  for (size_t i = HEADER_WORDS; i < n && !start; i += instruction_words(words, n, i)) {
    uint32_t op = words[i] & 0xFFFF;
    if (op == OP_DECORATE || op == OP_MEMBER_DECORATE)
      start = i;
  }
  if (!start)
    fail("has no decorations");
  fwrite(words, 4, start, out);
  for (size_t i = start; i < n; i += instruction_words(words, n, i))
    if (must_not_contract(words[i] & 0xFFFF) && !done[words[i + 2]])
      fwrite((uint32_t[]){3u << 16 | OP_DECORATE, words[i + 2], NO_CONTRACTION}, 4, 3, out);
  fwrite(words + start, 4, n - start, out);
  finish(out);
  free(done);
  free(words);
}

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), n_end = strlen(end);
  return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

static void write_array(const char *out_path, const char *name, const uint32_t *words, size_t n) {
  uLongf n_bytes = compressBound(n * sizeof *words);
  unsigned char *bytes = malloc(n_bytes);
  if (!bytes || compress2(bytes, &n_bytes, (const Bytef *)words, n * sizeof *words, Z_BEST_COMPRESSION) != Z_OK)
    fail("cannot be compressed");
  FILE *out = create(out_path);
  fprintf(out, "enum { %s_words = %zu };\nstatic const unsigned char %s[%lu] = {", name, n, name, n_bytes);
  for (size_t i = 0; i < n_bytes; i++)
    fprintf(out, "%s%d,", i % 32 ? "" : "\n", bytes[i]);
  fprintf(out, "\n};\n");
  finish(out);
  free(bytes);
}

static void embed(const char *out_path, const char *name) {
  size_t n;
  uint32_t *words = read_words(&n);
  bool *decorated = decorated_ids(words, n), *integers = integer_ids(words, n), *matrices = matrix_ids(words, n);
  bool fma_allowed = ends_with(name, "_intf32");
  for (size_t i = HEADER_WORDS; i < n; i += instruction_words(words, n, i)) {
    if (must_not_contract(words[i] & 0xFFFF) && !decorated[words[i + 2]])
      fail("a float operation may be contracted");
    if ((must_not_contract(words[i] & 0xFFFF) || (words[i] & 0xFFFF) == OP_COOPERATIVE_MATRIX_MUL_ADD) && matrices[words[i + 1]])
      fail("computes with whole matrices of floats");
    if (differs_between_drivers(words + i, fma_allowed))
      fail("uses a float operation whose result differs between drivers");
    if (calls(words + i, GLSL_FMA) && !(integers[words[i + 5]] && integers[words[i + 6]]))
      fail("uses fma on what is no integer");
    if (calls(words + i, GLSL_CLAMP) && !(is_constant(words, n, words[i + 6], 0) && is_constant(words, n, words[i + 7], BITS_OF_1)))
      fail("clamps to other bounds than 0 and 1");
  }
  write_array(out_path, name, words, n);
  free(decorated);
  free(integers);
  free(matrices);
  free(words);
}

int main(int argc, char **argv) {
  path = argc > 2 ? argv[2] : "";
  if (argc == 4 && strcmp(argv[1], "decorate") == 0)
    decorate(argv[3]);
  else if (argc == 5 && strcmp(argv[1], "embed") == 0)
    embed(argv[3], argv[4]);
  else {
    fputs("usage: spirv_exact decorate IN.spv OUT.spv | embed IN.spv OUT.inc NAME\n", stderr);
    return 2;
  }
  return 0;
}
