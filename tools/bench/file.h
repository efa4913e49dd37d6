/* file.h: whole files in, and out so that a reader sees the old file or the new one, never half of one. */
#ifndef HN_BENCH_FILE_H
#define HN_BENCH_FILE_H

#include <stdbool.h>
#include <stddef.h>

enum { BENCH_MESSAGE = 1536 }; /* room for an error message, which names a file */

/*
 * Reads a file of at most `limit` bytes; *text is the caller's to free, with a 0 behind its *length bytes. False, with
 * a message and nothing to free, when that fails.
 */
bool bench_file_read(const char *path, size_t limit, char **text, size_t *length, char message[BENCH_MESSAGE]);

/*
 * Writes a file under a temporary name beside it, and renames it. False, with a message and no trace of the new file,
 * when that fails. What is there and no regular file is left alone, and is an error.
 */
bool bench_file_replace(const char *path, const char *text, size_t length, char message[BENCH_MESSAGE]);

#endif
