/* line_input.h: lines from the user, with editing and a history in memory, or plain lines of a file or pipe. */
#ifndef HN_TOOLS_LINE_INPUT_H
#define HN_TOOLS_LINE_INPUT_H

#include <stdbool.h>

typedef struct line_input line_input;

/* interactive: stdin is a terminal. NULL when there is no memory. */
line_input *line_input_open(bool interactive);
void line_input_close(line_input **input);

/* The next line without its end, valid until the next call; NULL at the end of the input. Ctrl-C begins a new line. */
const char *line_input_read(line_input *input);

#endif
