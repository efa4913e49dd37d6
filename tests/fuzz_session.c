/*
 * fuzz_session.c: no file may crash the reader of saved sessions, or leave a session in a state that it must not have. The two hashes are made
 * right first, so that what lies behind them is reached.
 */
#define _GNU_SOURCE /* memfd_create */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../runtime/hash.h"
#include "../runtime/hornito.h"
#include "fuzz_session.h"

enum { HEADER_BYTES = 56, HASH_AT = 48 }; /* of the header's hash: see session_file.c */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static fuzz_session subject;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  return fuzz_session_open(&subject) ? 0 : 1;
}

static void mend(uint8_t *file, size_t size) {
  if (size < HEADER_BYTES + 8)
    return;
  memset(file + HASH_AT, 0, 8);
  uint64_t header = hash_bytes(HASH_BEGIN, file, HEADER_BYTES);
  memcpy(file + HASH_AT, &header, 8);
  uint64_t all = hash_bytes(HASH_BEGIN, file, size - 8);
  memcpy(file + size - 8, &all, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const int32_t token = 1;
  char path[32];
  uint8_t *copy = malloc(size + 1);
  int fd = memfd_create("session", MFD_CLOEXEC);
  if (!copy || fd < 0)
    abort();
  memcpy(copy, data, size);
  mend(copy, size);
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
