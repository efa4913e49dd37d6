#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOG_LINE_MAX 1024 /* longer messages are cut */

/* A message is one line for a terminal: text that came from a file must not steer it. */
static void clean_line(char *text) {
  for (char *c = text; *c; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7F)
      *c = '?';
}

/* Cuts a UTF-8 character that snprintf has split. */
static void cut_split_character(char *text, size_t length) {
  size_t i = length;
  while (i > 0 && length - i < 3 && ((unsigned char)text[i - 1] & 0xC0u) == 0x80u)
    i--;
  if (i == 0 || (unsigned char)text[i - 1] < 0xC0u)
    return;
  unsigned char lead = (unsigned char)text[i - 1];
  size_t need = lead >= 0xF0u ? 4 : lead >= 0xE0u ? 3 : 2;
  if (length - (i - 1) < need)
    text[i - 1] = 0;
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
  cut_split_character(err->message, strlen(err->message));
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
  cut_split_character(text, strlen(text));
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
