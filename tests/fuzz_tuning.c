/* fuzz_tuning.c: no file of measured constants may crash the reader; what it takes are choices. The input is the file's lines, and the file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/hash.h"
#include "../runtime/tuning_file.h"

#define KEY "00112233445566778899aabbccddeeff-00000001"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *text, size_t n) {
  tuning_file tuned;
  tuning_file_parse(text, n, KEY, spirv_modules, tuning_file_choice, &tuned);
  for (size_t i = 0; i < tuned.n; i++)
    if (tuned.modules[i].n == 0 || tuned.modules[i].n > GPU_MAX_CONSTANTS)
      abort();
  tuning_file_finish(&tuned);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char head[] = "hornito tuning 1\ndevice " KEY "\n";
  enum { HEAD = sizeof head - 1, TAIL = 21 };
  char *text = malloc(HEAD + size + TAIL), tail[TAIL + 1];
  parse((const char *)data, size);
  memcpy(text, head, HEAD);
  memcpy(text + HEAD, data, size);
  snprintf(tail, sizeof tail, "end %016" PRIx64 "\n", hash_bytes(HASH_BEGIN, text, HEAD + size));
  memcpy(text + HEAD + size, tail, TAIL);
  parse(text, HEAD + size + TAIL);
  free(text);
  return 0;
}
