#include "new_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void finish(new_file *file) {
  free(file->path);
  free(file->temporary);
  *file = (new_file){0};
}

hn_status new_file_create(const char *path, mode_t mode, new_file *out, hn_error *err) {
  size_t size = strlen(path) + sizeof ".XXXXXX";
  *out = (new_file){.path = strdup(path), .temporary = malloc(size)};
  if (!out->path || !out->temporary) {
    finish(out);
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the file %s", path);
  }
  snprintf(out->temporary, size, "%s.XXXXXX", path);
  int fd = mkstemp(out->temporary);
  if (fd >= 0 && fchmod(fd, mode) == 0 && (out->stream = fdopen(fd, "wb")))
    return HN_OK;
  int reason = errno;
  if (fd >= 0) {
    close(fd);
    unlink(out->temporary);
  }
  finish(out);
  return hn_fail(err, HN_ERROR_IO, "%s cannot be written: %s", path, strerror(reason));
}

hn_status new_file_commit(new_file *file, hn_error *err) {
  errno = 0;
  bool good = !ferror(file->stream) && fflush(file->stream) == 0 && fsync(fileno(file->stream)) == 0;
  int reason = errno;
  good = fclose(file->stream) == 0 && good;
  file->stream = NULL;
  if (good && rename(file->temporary, file->path) == 0) {
    finish(file);
    return HN_OK;
  }
  reason = reason ? reason : errno;
  hn_status status = hn_fail(err, HN_ERROR_IO, "%s cannot be written: %s", file->path, reason ? strerror(reason) : "the disk may be full");
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
