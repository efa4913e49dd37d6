#include "new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

hn_status new_file_create(const char *path, mode_t mode, new_file *out, hn_error *err) {
  size_t size = strlen(path) + 32;
  *out = (new_file){.path = strdup(path), .temporary = malloc(size)};
  if (!out->path || !out->temporary) {
    new_file_abandon(out);
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the file %s", path);
  }
  snprintf(out->temporary, size, "%s.%ld.tmp", path, (long)getpid());
  int fd = open(out->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
  out->stream = fd < 0 ? NULL : fdopen(fd, "wb");
  if (out->stream)
    return HN_OK;
  int reason = errno;
  if (fd >= 0)
    close(fd);
  new_file_abandon(out);
  return hn_fail(err, HN_ERROR_IO, "%s cannot be written: %s", path, strerror(reason));
}

static void finish(new_file *file) {
  free(file->path);
  free(file->temporary);
  *file = (new_file){0};
}

hn_status new_file_commit(new_file *file, hn_error *err) {
  bool good = !ferror(file->stream);
  good = fclose(file->stream) == 0 && good;
  file->stream = NULL;
  if (good && rename(file->temporary, file->path) == 0) {
    finish(file);
    return HN_OK;
  }
  hn_status status = hn_fail(err, HN_ERROR_IO, "%s cannot be written: %s", file->path, strerror(errno));
  new_file_abandon(file);
  return status;
}

void new_file_abandon(new_file *file) {
  if (file->stream)
    fclose(file->stream);
  if (file->temporary)
    unlink(file->temporary);
  finish(file);
}
