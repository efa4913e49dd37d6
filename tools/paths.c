#include "paths.h"

#include <stdio.h>
#include <stdlib.h>

const char *cache_path(const char *below, char path[MAX_PATH_LENGTH]) {
  const char *cache = getenv("XDG_CACHE_HOME");
  const char *home = getenv("HOME");
  int n = -1;
  if (cache != NULL && cache[0] == '/')
    n = snprintf(path, MAX_PATH_LENGTH, "%s/hornito/%s", cache, below);
  else if (home != NULL && home[0] == '/')
    n = snprintf(path, MAX_PATH_LENGTH, "%s/.cache/hornito/%s", home, below);
  return n > 0 && n < MAX_PATH_LENGTH ? path : NULL;
}
