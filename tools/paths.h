/* paths.h: where things are kept between runs. */
#ifndef HN_TOOLS_PATHS_H
#define HN_TOOLS_PATHS_H

enum { MAX_PATH_LENGTH = 4096 };

/* What lies at `below` in the user's cache folder for hornito, as the XDG base directory specification has it, written to path. NULL: no
 * such folder is known. */
const char *cache_path(const char *below, char path[MAX_PATH_LENGTH]);

#endif
