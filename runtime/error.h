/* error.h: how the library's own code reports failures. See hn_status and hn_error in hornito.h. */
#ifndef HN_ERROR_H
#define HN_ERROR_H

#include "hornito.h"

#if defined(__GNUC__)
#define HN_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define HN_PRINTF(format_index, first)
#endif

/* Fills *err (which may be NULL) and returns code. The message is cut to fit; control characters in it become '?'. */
hn_status hn_fail_at(hn_error *err, const char *file, int line, hn_status code, int32_t vk_result, const char *format, ...)
    HN_PRINTF(6, 7);

#define hn_fail(err, code, ...) hn_fail_at(err, __FILE__, __LINE__, code, 0, __VA_ARGS__)
#define hn_fail_vk(err, code, vk_result, ...) hn_fail_at(err, __FILE__, __LINE__, code, vk_result, __VA_ARGS__)

/* A callback logger; a NULL callback swallows the message. */
typedef struct hn_logger {
  hn_log_fn fn;
  void *user;
} hn_logger;

void hn_log(const hn_logger *logger, hn_log_level level, const char *format, ...) HN_PRINTF(3, 4);

#endif
