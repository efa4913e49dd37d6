#include "error.h"
#include "../loader/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOG_LINE_MAX 1024 /* longer messages are cut */

/* A message is one line for a terminal, in UTF-8: text that came from a file must not steer it, and snprintf may have cut a
 * character. What is neither a whole character nor printable becomes '?'. */
static void clean_line(char *text) {
  size_t left = strlen(text), n = 0, length = 0;
  for (char *from = text; left > 0; from += length, left -= length) {
    utf8_kind kind = utf8_next(from, left, &length);
    uint32_t c = kind == UTF8_WHOLE ? utf8_decode(from, length) : 0;
    if (kind == UTF8_CUT && length == left)
      break;
    if (c < 0x20 || (c >= 0x7F && c < 0xA0)) {
      text[n++] = '?';
      continue;
    }
    memmove(text + n, from, length);
    n += length;
  }
  text[n] = 0;
}

hn_status hn_fail_at(hn_error *err, const char *file, int line, hn_status code, int32_t vk_result, const char *format,
                     ...) {
  if (!err)
    return code;
  err->code = code;
  err->vk_result = vk_result;
  err->file = file;
  err->line = line;
  va_list args;
  va_start(args, format);
  vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  clean_line(err->message);
  return code;
}

void hn_log(const hn_logger *logger, hn_log_level level, const char *format, ...) {
  if (!logger || !logger->fn)
    return;
  char text[LOG_LINE_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  clean_line(text);
  logger->fn(logger->user, level, text);
}

const char *hn_status_name(hn_status status) {
  switch (status) {
  case HN_OK:
    return "ok";
  case HN_ERROR_ARGUMENT:
    return "invalid argument";
  case HN_ERROR_IO:
    return "input/output error";
  case HN_ERROR_FORMAT:
    return "damaged file";
  case HN_ERROR_UNSUPPORTED:
    return "not supported";
  case HN_ERROR_OUT_OF_MEMORY:
    return "out of memory";
  case HN_ERROR_OUT_OF_DEVICE_MEMORY:
    return "out of device memory";
  case HN_ERROR_NO_DEVICE:
    return "no device";
  case HN_ERROR_DEVICE_LOST:
    return "device lost";
  case HN_ERROR_TIMEOUT:
    return "time-out";
  case HN_ERROR_CANCELLED:
    return "cancelled";
  case HN_ERROR_CONTEXT_FULL:
    return "context full";
  case HN_ERROR_VULKAN:
    return "Vulkan error";
  }
  return "unknown status";
}
