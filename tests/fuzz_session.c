/*
 * fuzz_session.c: no file may crash the reader of saved sessions, or leave a session in a state that it must not have. Its size and hashes are
 * made right first, so that what lies behind them is reached.
 */
#define _GNU_SOURCE /* memfd_create */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../runtime/hash.h"
#include "../runtime/hornito.h"
#include "fuzz_session.h"

enum { /* see session_file.c, and the model of fuzz_session.h */
  BYTES_AT = 24, TOKENS_AT = 36, LOGITS_AT = 40, HASH_AT = 48, HEADER_BYTES = 56, BLOCK_BYTES = 4352, MAX_TOKENS = 2000
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static fuzz_session subject;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  return fuzz_session_open(&subject) ? 0 : 1;
}

static uint32_t word_at(const uint8_t *file, size_t at) {
  uint32_t word;
  memcpy(&word, file + at, 4);
  return word;
}

/* As large as its header says, with the right hashes. */
static uint8_t *mended(const uint8_t *data, size_t *size) {
  uint64_t n_tokens = *size < HEADER_BYTES ? MAX_TOKENS : word_at(data, TOKENS_AT);
  uint64_t n_logits = *size < HEADER_BYTES ? MAX_TOKENS : word_at(data, LOGITS_AT);
  bool small = n_tokens < MAX_TOKENS && n_logits < MAX_TOKENS;
  uint64_t n = HEADER_BYTES + (n_tokens + n_logits + 1) / 2 * 8 + (n_tokens + 63) / 64 * BLOCK_BYTES + 8;
  uint8_t *file = calloc(small && n > *size ? n : *size + 1, 1);
  if (!file)
    abort();
  memcpy(file, data, *size);
  if (!small)
    return file;
  *size = n;
  memcpy(file + BYTES_AT, &n, 8);
  memset(file + HASH_AT, 0, 8);
  uint64_t header = hash_bytes(HASH_BEGIN, file, HEADER_BYTES);
  memcpy(file + HASH_AT, &header, 8);
  uint64_t all = hash_bytes(HASH_BEGIN, file, n - 8);
  memcpy(file + n - 8, &all, 8);
  return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const int32_t token = 1;
  char path[32];
  int fd = memfd_create("session", MFD_CLOEXEC);
  if (fd < 0)
    abort();
  uint8_t *copy = mended(data, &size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (write(fd, copy, size) != (ssize_t)size)
    abort();
  hn_session *session = subject.session;
  hn_status status = hn_session_load(session, path, NULL);
  uint32_t n = hn_session_n_past(session), n_ctx = hn_session_n_ctx(session);
  if (n > n_ctx || (status == HN_OK && n < n_ctx && hn_session_eval(session, &token, 1, NULL)))
    abort();
  close(fd);
  free(copy);
  return 0;
}
