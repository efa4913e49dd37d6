/* library.h: what the library's values become in a program: exit codes, messages, words. */
#ifndef HN_TOOLS_LIBRARY_H
#define HN_TOOLS_LIBRARY_H

#include "../runtime/hornito.h"

/* The exit code of a status, and the same with the error printed. */
int exit_code(hn_status status);
int print_failure(const hn_error *err);

/* "discrete", "integrated", "virtual", "software", "other" */
const char *device_type_name(hn_device_type type);

#endif
