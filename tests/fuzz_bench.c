/* fuzz_bench.c: no text may crash the reader of saved results; what it takes, it takes again after writing it. */
#include <stdlib.h>

#include "../tools/bench/read.h"
#include "../tools/bench/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  bench_results first, second;
  char message[BENCH_MESSAGE];
  if (!bench_read_text((const char *)data, size, "the input", &first, message))
    return 0;
  size_t length = 0;
  char *text = report_json_text(first.list, first.n, &length);
  if (text == NULL || !bench_read_text(text, length, "the output", &second, message))
    abort();
  free(text);
  bench_results_finish(&first);
  bench_results_finish(&second);
  return 0;
}
