/*
 * options.h: the command line, declared once. Every option of every command is a row of one table in options.c, from
 * which parsing, ranges and --help follow.
 */
#ifndef HN_TOOLS_OPTIONS_H
#define HN_TOOLS_OPTIONS_H

#include "../runtime/hornito.h"

enum {
  EXIT_OK = 0,
  EXIT_FAILED = 1,
  EXIT_USAGE = 2,    /* wrong usage or wrong input */
  MAX_STOPS = 32,    /* stop strings of one command line */
  MAX_CTX = 1 << 24, /* tokens; more than any model's context, so that a slip is told from a wish */
};

typedef enum command_id { /* bits, so that an option can belong to several */
                          COMMAND_RUN = 1,
                          COMMAND_CHAT = 2,
                          COMMAND_INFO = 4,
                          COMMAND_DEVICES = 8,
                          COMMAND_TOKENIZE = 16,
                          COMMAND_EVAL = 32,
                          COMMAND_PERPLEXITY = 64,
                          COMMAND_PLAN = 128,
} command_id;

typedef struct options { /* NULL, 0 and false: not given */
  const char *model, *device;
  hn_plan_params plan;
  float device_gb_s, host_gb_s;
  uint32_t n_threads;
  bool no_bos, validation;
  const char *prompt, *system, *session;
  uint32_t n_predict; /* UINT32_MAX: not given */
  hn_sampler_params sampling;
  bool seed_given;
  const char *stops[MAX_STOPS];
  size_t n_stops;
  bool raw, json, ids, special;
  const char *tokens, *logits, *file;
  uint32_t chunk;
  const char *positional; /* the argument without a name */
  bool help;
} options;

typedef struct command {
  command_id id;
  const char *name;
  const char *arguments;  /* of the usage line */
  const char *summary;    /* one line */
  const char *details;    /* more lines for --help, or "" */
  const char *positional; /* the name of the argument without a name; NULL: it takes none */
  int (*run)(const options *opt);
} command;

/* Parses the arguments behind the command's name. False, with a message on stderr, on wrong usage. */
bool options_parse(const command *cmd, int argc, char **argv, options *opt);

/* Writes the help of a command to stdout. */
void options_help(const command *cmd);

/* A whole decimal number of lowest .. highest; nothing before or behind it. */
bool parse_integer(const char *text, uint64_t lowest, uint64_t highest, uint64_t *value);

/* "5632MiB", "6GiB", "1.5GiB", "4096" bytes: 1 or more. */
bool parse_bytes(const char *text, uint64_t *value);

/* A finite number of lowest .. highest, with a point as decimal separator; nothing before or behind it. */
bool parse_number(const char *text, double lowest, double highest, float *value);

#endif
