/* json.h: what cJSON leaves to be done: text that may not be UTF-8, numbers that may not be finite, printing. */
#ifndef HN_TOOLS_JSON_H
#define HN_TOOLS_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Bytes that are no UTF-8 become U+FFFD. */
void json_add_text(cJSON *object, const char *key, const char *text);

/* null for what is not finite, which JSON cannot say. */
void json_add_number(cJSON *object, const char *key, double number);

/* Prints to stdout, indented or on one line; the exit code, which is `code` unless memory is short. */
int json_print(const cJSON *root, bool one_line, int code);

#endif
