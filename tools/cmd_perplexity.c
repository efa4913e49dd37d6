/*
 * cmd_perplexity.c: perplexity of a text, measured in the way of llama.cpp's tool, so that numbers can be compared: the
 * text is tokenized once and cut into windows of n_ctx tokens without overlap; the first token of each becomes the
 * beginning-of-text token where the model uses one; the tokens behind the first half are scored.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"
#include "runner.h"
#include "terminal.h"

enum {
  DEFAULT_CTX = 512,
  MIN_CTX = 4, /* at least one scored token in a window */
};

typedef struct score {
  const int32_t *next; /* the token that each row of logits should predict */
  uint32_t n_vocab;
  size_t n;                /* tokens scored */
  double sum, sum_squares; /* of their negative log-likelihoods */
} score;

static bool on_logits(void *user, size_t index, const float *logits) {
  score *s = user;
  double largest = (double)logits[0], total = 0.0;
  for (uint32_t i = 1; i < s->n_vocab; i++)
    largest = (double)logits[i] > largest ? (double)logits[i] : largest;
  for (uint32_t i = 0; i < s->n_vocab; i++)
    total += exp((double)logits[i] - largest);
  double nll = log(total) + largest - (double)logits[s->next[index]];
  s->n++;
  s->sum += nll;
  s->sum_squares += nll * nll;
  return !interrupted();
}

/* exp(mean), and its standard error: that of the mean, times the perplexity. */
static double perplexity_of(const score *s, double *error) {
  double n = (double)s->n, mean = s->sum / n;
  double variance = s->sum_squares / n - mean * mean;
  double result = exp(mean);
  *error = s->n > 1 && variance > 0.0 ? sqrt(variance / (n - 1.0)) * result : 0.0;
  return result;
}

/* window: (n_ctx) tokens. Only what is scored has its logits computed: those of the second half but the last. */
static int score_window(runner *r, const int32_t *window, size_t n_ctx, score *s) {
  hn_error err = {0};
  size_t first = n_ctx / 2;
  s->next = window + first + 1;
  if (hn_session_rewind(r->session, 0, &err) != HN_OK || hn_session_eval(r->session, window, first, &err) != HN_OK ||
      hn_session_eval_all(r->session, window + first, n_ctx - 1 - first, on_logits, s, &err) != HN_OK)
    return print_failure(&err);
  if (!isfinite(s->sum)) {
    print_error("the model gives logits that are not finite; the file may be damaged");
    return EXIT_FAILED;
  }
  return EXIT_OK;
}

static void show_window(size_t done, size_t total, const score *s) {
  double error;
  double so_far = perplexity_of(s, &error);
  char note[64];
  snprintf(note, sizeof note, "[%zu/%zu] %.4f", done, total, so_far);
  if (isatty(STDERR_FILENO))
    progress_show("perplexity", done, total, note);
  else
    print_note("%s", note);
}

static int measure(runner *r, id_list *ids, size_t n_ctx) {
  size_t n_windows = ids->n / n_ctx;
  if (n_windows == 0) {
    print_error("perplexity: the text has %zu tokens, fewer than one window of %zu: give a longer text or a smaller "
                "--ctx",
                ids->n, n_ctx);
    return EXIT_USAGE;
  }
  score s = {.n_vocab = r->info.n_vocab};
  bool bos = r->info.add_bos && !r->opt->no_bos && r->info.bos_token >= 0;
  double start = now_seconds();
  for (size_t w = 0; w < n_windows; w++) {
    int32_t *window = ids->data + w * n_ctx;
    if (bos)
      window[0] = r->info.bos_token;
    int code = score_window(r, window, n_ctx, &s);
    if (code != EXIT_OK)
      return code;
    show_window(w + 1, n_windows, &s);
  }
  double seconds = now_seconds() - start;
  double error;
  double result = perplexity_of(&s, &error);
  out_printf("perplexity %.4f +/- %.5f (%zu windows of %zu tokens, %zu scored)\n", result, error, n_windows, n_ctx,
             s.n);
  print_note("%zu tokens in %.1f s, %.1f tok/s", n_windows * n_ctx, seconds,
             seconds > 0.0 ? (double)(n_windows * n_ctx) / seconds : 0.0);
  return EXIT_OK;
}

int cmd_perplexity(const options *opt) {
  if (!required(opt->model, "perplexity", "-m FILE") || !required(opt->file, "perplexity", "-f TEXT"))
    return EXIT_USAGE;
  uint32_t n_ctx = opt->plan.n_ctx > 0 ? opt->plan.n_ctx : DEFAULT_CTX;
  if (n_ctx < MIN_CTX) {
    print_error("perplexity: --ctx must be at least %d", (int)MIN_CTX);
    return EXIT_USAGE;
  }
  char *text = NULL;
  size_t length = 0;
  runner r = {0};
  id_list ids = {0};
  int code = read_text(opt->file, &text, &length);
  if (code != EXIT_OK)
    return code;
  interrupt_catch(false);
  code = runner_open_context(&r, opt);
  if (code == EXIT_OK)
    code = runner_load(&r, n_ctx);
  if (code == EXIT_OK)
    code = runner_tokenize(&r, text, length, opt->no_bos ? HN_TOKENIZE_NO_BOS : 0u, &ids);
  if (code == EXIT_OK)
    code = runner_open_session(&r);
  if (code == EXIT_OK)
    code = measure(&r, &ids, hn_session_n_ctx(r.session));
  free(ids.data);
  free(text);
  return runner_finish(&r, code);
}
