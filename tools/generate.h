/* generate.h: the loop from tokens to text on stdout, which run and chat share. */
#ifndef HN_TOOLS_GENERATE_H
#define HN_TOOLS_GENERATE_H

#include "runner.h"

typedef enum stop_reason {
  STOPPED_FAILED, /* the error is printed */
  STOPPED_END_TOKEN,
  STOPPED_LENGTH,
  STOPPED_STRING,
  STOPPED_CONTEXT_FULL,
  STOPPED_CANCELLED,
} stop_reason;

typedef struct generation {
  stop_reason reason;
  int exit_code;           /* for STOPPED_FAILED */
  const char *stop_string; /* for STOPPED_STRING */
  size_t n_prompt;         /* prompt tokens that were evaluated, and in which time */
  double prompt_seconds;
  size_t n_generated; /* tokens chosen, the end token included */
  size_t n_decoded;   /* tokens evaluated one by one, and in which time */
  double decode_seconds;
  char *text; /* all that was printed, terminated; free it */
  size_t text_length;
} generation;

/* The sampler of the options; a seed that was not given is made up, into *seed. Exit code; prints failures. */
int sampler_open(const runner *r, hn_sampler **sampler, uint64_t *seed);

/*
 * Evaluates the prompt (n >= 1 tokens that the context can take), then writes up to n_predict tokens.
 */
void generate(runner *r, hn_sampler *sampler, const int32_t *prompt, size_t n, uint32_t n_predict, generation *out);

/* One line on stderr: speeds, why it stopped, the seed. */
void print_summary(const runner *r, const generation *g, uint64_t seed);

#endif
