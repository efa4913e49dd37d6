/* cmd_eval.c: tokens in, logits out, for comparing bits between devices and with other programs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"
#include "runner.h"
#include "terminal.h"

enum { MAX_NAME = 4096 };

/* "1,2,3" to ids. */
static int parse_tokens(const char *text, id_list *ids) {
  size_t n = 1;
  for (const char *c = text; *c != 0; c++)
    n += *c == ',' ? 1 : 0;
  ids->data = calloc(n, sizeof *ids->data);
  if (ids->data == NULL) {
    print_error("no memory for %zu tokens", n);
    return EXIT_FAILED;
  }
  while (ids->n < n) {
    char number[16];
    size_t length = strcspn(text, ",");
    uint64_t id = 0;
    snprintf(number, sizeof number, "%.*s", (int)(length < sizeof number ? length : sizeof number), text);
    if (length >= sizeof number || !parse_integer(number, 0, INT32_MAX, &id)) {
      print_error("eval: --tokens takes ids separated by commas, and place %zu holds \"%s\"", ids->n + 1, number);
      return EXIT_USAGE;
    }
    ids->data[ids->n++] = (int32_t)id;
    text += length + 1;
  }
  return EXIT_OK;
}

typedef struct logits_file {
  FILE *file;
  const char *name;
  char temporary[MAX_NAME]; /* "": written in place, since it is no regular file */
  uint8_t *row;             /* (n_vocab * 4) */
  uint32_t n_vocab;
  size_t n_done, n_total;
  bool failed;
} logits_file;

static int open_output(logits_file *out, const char *name, uint32_t n_vocab, size_t n_total) {
  struct stat st;
  *out = (logits_file){.name = name, .n_vocab = n_vocab, .n_total = n_total};
  out->row = malloc((size_t)n_vocab * 4);
  if (out->row == NULL) {
    print_error("no memory for a row of %u logits", (unsigned)n_vocab);
    return EXIT_FAILED;
  }
  if (stat(name, &st) == 0 && !S_ISREG(st.st_mode)) { /* a pipe or a device may not be replaced */
    out->file = fopen(name, "wb");
  } else {
    int n = snprintf(out->temporary, sizeof out->temporary, "%s.%ld.tmp", name, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof out->temporary) {
      out->temporary[0] = 0;
      print_error("eval: the name of the file for the logits is too long");
      return EXIT_USAGE;
    }
    int fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
    out->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
  }
  if (out->file == NULL) {
    print_error("%s cannot be written: %s", name, strerror(errno));
    out->temporary[0] = 0;
    return EXIT_USAGE;
  }
  return EXIT_OK;
}

/* Closes, and gives the file its name if all went well. */
static int close_output(logits_file *out, int code) {
  free(out->row);
  out->row = NULL;
  if (out->file == NULL)
    return code;
  bool good = fclose(out->file) == 0;
  if (good && code == EXIT_OK && out->temporary[0] != 0)
    good = rename(out->temporary, out->name) == 0;
  if (code == EXIT_OK && !good) {
    print_error("%s cannot be written: %s", out->name, strerror(errno));
    code = EXIT_FAILED;
  }
  if (code != EXIT_OK && out->temporary[0] != 0)
    unlink(out->temporary);
  return code;
}

static bool on_logits(void *user, size_t index, const float *logits) {
  (void)index;
  logits_file *out = user;
  for (uint32_t i = 0; i < out->n_vocab; i++) {
    uint32_t bits;
    memcpy(&bits, &logits[i], sizeof bits);
    for (int b = 0; b < 4; b++)
      out->row[4 * (size_t)i + (size_t)b] = (uint8_t)(bits >> (8 * b));
  }
  if (fwrite(out->row, 4, out->n_vocab, out->file) != out->n_vocab) {
    print_error("%s cannot be written: %s", out->name, strerror(errno));
    out->failed = true;
    return false;
  }
  out->n_done++;
  progress_show("evaluating", out->n_done, out->n_total, "");
  return !interrupted();
}

static int evaluate(runner *r, const id_list *ids, logits_file *out) {
  size_t chunk = r->opt->chunk > 0 ? r->opt->chunk : ids->n;
  hn_error err = {0};
  for (size_t at = 0; at < ids->n; at += chunk) {
    size_t n = ids->n - at < chunk ? ids->n - at : chunk;
    hn_status status = hn_session_eval_all(r->session, ids->data + at, n, on_logits, out, &err);
    if (out->failed)
      return EXIT_FAILED;
    if (status != HN_OK)
      return print_failure(&err);
  }
  return EXIT_OK;
}

static int check_ids(const runner *r, const id_list *ids) {
  for (size_t i = 0; i < ids->n; i++)
    if ((uint32_t)ids->data[i] >= r->info.n_vocab) {
      print_error("eval: token %d is out of range: the vocabulary holds 0 to %u", (int)ids->data[i],
                  (unsigned)r->info.n_vocab - 1);
      return EXIT_USAGE;
    }
  return too_long(r, ids->n, "--tokens") ? EXIT_USAGE : EXIT_OK;
}

int cmd_eval(const options *opt) {
  if (!required(opt->model, "eval", "-m FILE") || !required(opt->tokens, "eval", "--tokens 1,2,3") ||
      !required(opt->logits, "eval", "--logits OUT"))
    return EXIT_USAGE;
  runner r = {0};
  id_list ids = {0};
  logits_file out = {0};
  interrupt_catch(false);
  int code = parse_tokens(opt->tokens, &ids);
  if (code == EXIT_OK)
    code = runner_open_context(&r, opt);
  if (code == EXIT_OK)
    code = runner_load(&r, opt->plan.n_ctx);
  if (code == EXIT_OK)
    code = runner_open_session(&r);
  if (code == EXIT_OK)
    code = check_ids(&r, &ids);
  if (code == EXIT_OK)
    code = open_output(&out, opt->logits, r.info.n_vocab, ids.n);
  if (code == EXIT_OK)
    code = evaluate(&r, &ids, &out);
  code = close_output(&out, code);
  if (code == EXIT_OK)
    print_note("%zu rows of %u logits written to %s", ids.n, (unsigned)r.info.n_vocab, opt->logits);
  free(ids.data);
  return runner_finish(&r, code);
}
