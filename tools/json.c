/* json.c: see json.h. */
#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"

void json_add_text(cJSON *object, const char *key, const char *text) {
  size_t length = strlen(text), n = 0;
  char *clean = malloc(3 * length + 1); /* U+FFFD has three bytes */
  if (clean == NULL)
    return;
  for (size_t i = 0; i < length;) {
    size_t whole = utf8_length(text + i, length - i);
    memcpy(clean + n, whole > 0 ? text + i : "\xEF\xBF\xBD", whole > 0 ? whole : 3);
    n += whole > 0 ? whole : 3;
    i += whole > 0 ? whole : 1;
  }
  clean[n] = 0;
  cJSON_AddStringToObject(object, key, clean);
  free(clean);
}

void json_add_number(cJSON *object, const char *key, double number) {
  if (isfinite(number))
    cJSON_AddNumberToObject(object, key, number);
  else
    cJSON_AddNullToObject(object, key);
}

int json_print(const cJSON *root, bool one_line, int code) {
  char *text = one_line ? cJSON_PrintUnformatted(root) : cJSON_Print(root);
  if (text == NULL) {
    print_error("no memory for the JSON text");
    return EXIT_FAILED;
  }
  out_write(text, strlen(text));
  out_write("\n", 1);
  cJSON_free(text);
  return code;
}
