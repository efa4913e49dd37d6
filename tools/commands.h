/* commands.h: one function for each command; they return exit codes. */
#ifndef HN_TOOLS_COMMANDS_H
#define HN_TOOLS_COMMANDS_H

#include "options.h"

int cmd_run(const options *opt);
int cmd_chat(const options *opt);
int cmd_info(const options *opt);
int cmd_plan(const options *opt);
int cmd_devices(const options *opt);
int cmd_tokenize(const options *opt);
int cmd_eval(const options *opt);
int cmd_perplexity(const options *opt);

/* Prints an error and returns false when a required option is missing. */
bool required(const char *value, const char *command_name, const char *option_name);

#endif
