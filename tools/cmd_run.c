/* cmd_run.c: one prompt, one answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "generate.h"
#include "output.h"

enum { DEFAULT_N_PREDICT = 256 };

/* The prompt, in memory that is to be freed. */
static int read_prompt(const options *opt, char **text, size_t *length) {
  if (opt->prompt != NULL && strcmp(opt->prompt, "-") != 0) {
    *text = strdup(opt->prompt);
    *length = strlen(opt->prompt);
    if (*text == NULL)
      print_error("no memory for the prompt");
    return *text != NULL ? EXIT_OK : EXIT_FAILED;
  }
  if (opt->prompt == NULL && isatty(STDIN_FILENO)) {
    print_error("run: -p is missing: see hornito run --help");
    return EXIT_USAGE;
  }
  int code = read_text("-", text, length);
  if (code == EXIT_OK && *length > 0 && (*text)[*length - 1] == '\n')
    (*text)[--*length] = 0;
  return code;
}

static int tokenize_prompt(const runner *r, const char *text, size_t length, id_list *ids) {
  const options *opt = r->opt;
  int code;
  if (opt->raw) {
    unsigned flags = HN_TOKENIZE_SPECIAL | (opt->no_bos ? (unsigned)HN_TOKENIZE_NO_BOS : 0u);
    code = runner_tokenize(r, text, length, flags, ids);
  } else {
    code = runner_tokenize_chat(r, &(hn_chat_message){.role = "user", .content = text}, 1, ids);
  }
  if (code == EXIT_OK && ids->n == 0) {
    print_error("run: the prompt is empty: give a text with -p");
    code = EXIT_USAGE;
  }
  return code;
}

/* What --session has of the prompt: *kept tokens need no evaluation. A file that is not there yet is no failure. */
static int load_session(runner *r, const id_list *ids, size_t *kept) {
  const char *path = r->opt->session;
  hn_error err = {0};
  if (path == NULL || (access(path, F_OK) != 0 && errno == ENOENT))
    return EXIT_OK;
  if (hn_session_load(r->session, path, &err) != HN_OK ||
      hn_session_reuse(r->session, ids->data, ids->n, kept, &err) != HN_OK)
    return print_failure(&err);
  print_note("%s: %zu of the prompt's %zu tokens are evaluated already", path, *kept, ids->n);
  return EXIT_OK;
}

static int save_session(const runner *r) {
  hn_error err = {0};
  if (r->opt->session == NULL || hn_session_save(r->session, r->opt->session, &err) == HN_OK)
    return EXIT_OK;
  return print_failure(&err);
}

static int answer(runner *r, const char *text, size_t length) {
  id_list ids = {0};
  hn_sampler *sampler = NULL;
  generation g = {0};
  size_t kept = 0;
  uint64_t seed = 0;
  int code = tokenize_prompt(r, text, length, &ids);
  if (code == EXIT_OK)
    code = runner_open_session(r);
  if (code == EXIT_OK && too_long(r, ids.n, "the prompt"))
    code = EXIT_USAGE;
  if (code == EXIT_OK)
    code = load_session(r, &ids, &kept);
  if (code == EXIT_OK)
    code = sampler_open(r, &sampler, &seed);
  if (code != EXIT_OK)
    goto done;

  for (size_t i = 0; i < kept; i++)
    hn_sampler_accept(sampler, ids.data[i]);
  uint32_t n_predict = r->opt->n_predict == UINT32_MAX ? DEFAULT_N_PREDICT : r->opt->n_predict;
  generate(r, sampler, ids.data + kept, ids.n - kept, n_predict, &g);
  if (g.text_length > 0 && g.text[g.text_length - 1] != '\n')
    out_write("\n", 1);
  out_flush();
  if (g.reason == STOPPED_CONTEXT_FULL)
    print_error("the context of %u tokens is full and the text ends early: raise it with --ctx",
                (unsigned)hn_session_n_ctx(r->session));
  print_summary(r, &g, seed);
  if (g.reason == STOPPED_FAILED)
    code = g.exit_code;
  else if (g.reason == STOPPED_CANCELLED)
    code = EXIT_FAILED;
  if (code == EXIT_OK)
    code = save_session(r);

done:
  free(g.text);
  hn_sampler_destroy(&sampler);
  free(ids.data);
  return code;
}

int cmd_run(const options *opt) {
  if (!required(opt->model, "run", "-m FILE"))
    return EXIT_USAGE;
  char *text = NULL;
  size_t length = 0;
  int code = read_prompt(opt, &text, &length);
  if (code != EXIT_OK)
    return code;
  runner r = {0};
  interrupt_catch(false);
  code = runner_open_context(&r, opt);
  if (code == EXIT_OK)
    code = runner_load(&r, opt->plan.n_ctx);
  if (code == EXIT_OK)
    code = answer(&r, text, length);
  free(text);
  return runner_finish(&r, code);
}
