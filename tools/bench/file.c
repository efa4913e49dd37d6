/* file.c: see file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SUFFIX = 32 }; /* room for the end of a temporary name: a process id and some letters */

static bool refuse(char message[BENCH_MESSAGE], const char *path, const char *why) {
  snprintf(message, BENCH_MESSAGE, "%s: %s", path, why);
  return false;
}

bool bench_file_read(const char *path, size_t limit, char **text, size_t *length, char message[BENCH_MESSAGE]) {
  *text = NULL;
  *length = 0;
  FILE *file = fopen(path, "rb");
  if (file == NULL)
    return refuse(message, path, strerror(errno));
  /* One byte more than allowed tells a file that is too long; the size that the system reports is not relied on. */
  char *data = malloc(limit + 2);
  size_t n = data != NULL ? fread(data, 1, limit + 1, file) : 0;
  int failure = ferror(file) ? errno : 0;
  fclose(file);
  if (data != NULL && failure == 0 && n <= limit) {
    data[n] = 0;
    *text = data;
    *length = n;
    return true;
  }
  free(data);
  return refuse(message, path,
                data == NULL   ? "no memory for its text"
                : failure != 0 ? strerror(failure)
                               : "longer than any result");
}

static bool write_all(int fd, const char *text, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, text, length);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return false;
    text += n;
    length -= (size_t)n;
  }
  return fsync(fd) == 0 || errno == EINVAL; /* EINVAL: this file system has nothing to wait for */
}

bool bench_file_replace(const char *path, const char *text, size_t length, char message[BENCH_MESSAGE]) {
  struct stat there;
  if (stat(path, &there) == 0 && !S_ISREG(there.st_mode))
    return refuse(message, path, "not a regular file");
  size_t room = strlen(path) + SUFFIX;
  char *temporary = malloc(room);
  if (temporary == NULL)
    return refuse(message, path, "no memory for its name");
  snprintf(temporary, room, "%s.%ld.tmp", path, (long)getpid());
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  bool ok = fd >= 0 && write_all(fd, text, length);
  int failure = ok ? 0 : errno;
  if (fd >= 0 && close(fd) != 0 && ok) {
    ok = false;
    failure = errno;
  }
  if (ok && rename(temporary, path) != 0) {
    ok = false;
    failure = errno;
  }
  if (!ok && fd >= 0)
    unlink(temporary);
  free(temporary);
  return ok || refuse(message, path, strerror(failure));
}
