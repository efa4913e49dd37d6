/* new_file.h: files that are written whole or not at all: under a temporary name beside them, then renamed, so that a reader sees the old file
 * or the new one. */
#ifndef HN_NEW_FILE_H
#define HN_NEW_FILE_H

#include "error.h"

#include <stdio.h>
#include <sys/types.h>

typedef struct new_file {
  FILE *stream; /* to write to */
  char *path, *temporary;
} new_file;

/* mode: permissions. On failure *out is zeroed. Errors: IO, OUT_OF_MEMORY. Thread-safety: two may write to one path; the last one stays. */
hn_status new_file_create(const char *path, mode_t mode, new_file *out, hn_error *err);

/* Gives the file its name; earlier failures of the stream count. The file is finished, and removed where this fails. Errors: IO. */
hn_status new_file_commit(new_file *file, hn_error *err);

/* Removes it. A zeroed or finished one is accepted. */
void new_file_abandon(new_file *file);

#endif
