/* runner.h: what the commands that use a model share: context, model, session, Ctrl-C, exit codes, reading files. */
#ifndef HN_TOOLS_RUNNER_H
#define HN_TOOLS_RUNNER_H

#include "library.h"
#include "options.h"
#include "paths.h"

typedef struct runner {
  const options *opt;
  hn_context *ctx;
  hn_model *model;
  hn_session *session;
  hn_model_info info;
} runner;

/* A growing list of ids: zero it before use, free(data) after. */
typedef struct id_list {
  int32_t *data;
  size_t n;
} id_list;

/*
 * The steps of a zeroed runner, each of which returns an exit code and has printed what went wrong. runner_finish undoes all, whatever
 * was done, and gives the exit code that is left: a message of the validation layer turns EXIT_OK into EXIT_FAILED.
 */
int runner_open_context(runner *r, const options *opt);
int runner_load(runner *r, uint32_t n_ctx);                              /* device line, model, memory line; n_ctx: see hn_plan_params */
int runner_load_header(runner *r, const options *opt, const char *path); /* no context, weights or session */
int runner_open_session(runner *r);
int runner_finish(runner *r, int code);

/* Text or messages to ids. On failure, which is printed, the list is empty. */
int runner_tokenize(const runner *r, const char *text, size_t length, unsigned flags, id_list *ids);
int runner_tokenize_chat(const runner *r, const hn_chat_message *messages, size_t n, id_list *ids);

/*
 * A file, or standard input for "-", with a NUL behind it; free(*text). Without NULs in it, because the text may travel
 * as a C string.
 */
int read_text(const char *path, char **text, size_t *length);

/* Ctrl-C from now on cancels the runner's session; a second one ends the program unless `again`. */
void interrupt_catch(bool again);
bool interrupted(void);
void interrupt_forget(void);

/* True when the context cannot take n tokens; says so, in terms of `what`. */
bool too_long(const runner *r, size_t n, const char *what);

#endif
