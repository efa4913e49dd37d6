/* runner.c: see runner.h. */
#include "runner.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "terminal.h"

#define MAX_TEXT ((size_t)256 << 20) /* bytes of a prompt or a text; bounds what a wrong file name can cost */

static atomic_uint validation_messages;
static volatile sig_atomic_t interrupt_seen;
static _Atomic(hn_session *) interrupt_session;

static void on_interrupt(int number) {
  (void)number;
  interrupt_seen = 1;
  hn_session *session = atomic_load(&interrupt_session);
  if (session != NULL)
    hn_session_cancel(session);
}

void interrupt_catch(bool again) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  if (!again)
    action.sa_flags = (int)SA_RESETHAND;
  sigaction(SIGINT, &action, NULL);
}

bool interrupted(void) {
  return interrupt_seen != 0;
}

void interrupt_forget(void) {
  interrupt_seen = 0;
}

/* user: the options. Any thread of the library may call it. */
static void on_log(void *user, hn_log_level level, const char *message) {
  const options *opt = user;
  if (level == HN_LOG_ERROR && opt->validation) {
    atomic_fetch_add(&validation_messages, 1);
    print_note("validation: %s", message);
  } else if (level >= HN_LOG_WARNING) {
    print_note("hornito: warning: %s", message);
  }
}

int runner_open_context(runner *r, const options *opt) {
  r->opt = opt;
  hn_error err = {0};
  const hn_context_params params = {.log = on_log, .log_user = (void *)(uintptr_t)opt, .validation = opt->validation};
  if (hn_context_create(&params, &r->ctx, &err) != HN_OK)
    return print_failure(&err);
  return EXIT_OK;
}

int runner_load_header(runner *r, const options *opt, const char *path) {
  r->opt = opt;
  hn_error err = {0};
  if (hn_model_load(NULL, path, &(hn_model_params){.header_only = true}, &r->model, &err) != HN_OK)
    return print_failure(&err);
  hn_model_get_info(r->model, &r->info);
  return EXIT_OK;
}

static bool on_progress(void *user, uint64_t done, uint64_t total) {
  (void)user;
  char have[HUMAN_SIZE], all[HUMAN_SIZE], note[2 * HUMAN_SIZE + 8];
  snprintf(note, sizeof note, "%s of %s", human_bytes(done, have), human_bytes(total, all));
  progress_show("loading", done, total, note);
  return !interrupted();
}

static int print_device(const runner *r) {
  hn_error err = {0};
  int32_t index = -1;
  if (hn_context_find_device(r->ctx, r->opt->device, &index, &err) != HN_OK)
    return print_failure(&err);
  if (index < 0) {
    print_note("device: cpu, plain C");
    return EXIT_OK;
  }
  hn_device_info info;
  if (hn_context_device(r->ctx, (size_t)index, &info, &err) != HN_OK)
    return print_failure(&err);
  print_note("device: %s, %s", info.name, device_type_name(info.type));
  if (info.type == HN_DEVICE_SOFTWARE)
    print_note("no GPU: this driver computes on the CPU, slowly, with the results of a GPU");
  return EXIT_OK;
}

/* What was chosen for the device's memory. */
static void print_memory(const runner *r) {
  const hn_plan *p = hn_model_get_plan(r->model);
  char device[HUMAN_SIZE], host[HUMAN_SIZE];
  if (p == NULL)
    return;
  print_note("memory: %s of the device's, %s of the host's, for a context of %u tokens", human_bytes(p->device_bytes, device),
             human_bytes(p->host_bytes, host), (unsigned)p->n_ctx);
  if (p->n_host_positions > 0 || p->n_host_layers > 0)
    print_note("of them %u tokens, the last ones, and %u of %u layers lie in the host's memory, which is slower to read",
               (unsigned)p->n_host_positions, (unsigned)p->n_host_layers, (unsigned)r->info.n_layers);
}

int runner_load(runner *r, uint32_t n_ctx) {
  const options *opt = r->opt;
  int code = print_device(r);
  if (code != EXIT_OK)
    return code;
  char cache[MAX_PATH_LENGTH];
  const hn_model_params params = {
      .device = opt->device,
      .cache_dir = cache_path("pipelines", cache),
      .progress = on_progress,
      .plan = {.vram_budget = opt->plan.vram_budget, .n_ctx = n_ctx, .kv_type = opt->plan.kv_type},
  };
  hn_error err = {0};
  hn_status status = hn_model_load(r->ctx, opt->model, &params, &r->model, &err);
  progress_clear();
  if (status != HN_OK)
    return print_failure(&err);
  hn_model_get_info(r->model, &r->info);
  print_memory(r);
  return EXIT_OK;
}

int runner_open_session(runner *r) {
  const hn_session_params params = {.n_threads = r->opt->n_threads};
  hn_error err = {0};
  if (hn_session_create(r->model, &params, &r->session, &err) != HN_OK)
    return print_failure(&err);
  atomic_store(&interrupt_session, r->session);
  return EXIT_OK;
}

int runner_finish(runner *r, int code) {
  atomic_store(&interrupt_session, NULL);
  hn_session_destroy(&r->session);
  hn_model_destroy(&r->model);
  hn_context_destroy(&r->ctx);
  code = out_finish(code);
  if (atomic_load(&validation_messages) > 0 && code == EXIT_OK)
    code = EXIT_FAILED;
  return code;
}

/* Makes room for n ids. */
static int id_list_resize(id_list *ids, size_t n) {
  free(ids->data);
  *ids = (id_list){.data = calloc(n > 0 ? n : 1, sizeof *ids->data)};
  if (ids->data == NULL) {
    print_error("no memory for %zu tokens", n);
    return EXIT_FAILED;
  }
  ids->n = n;
  return EXIT_OK;
}

int runner_tokenize(const runner *r, const char *text, size_t length, unsigned flags, id_list *ids) {
  hn_error err = {0};
  size_t n = 0;
  /* Most often a token is at least a byte, and a few are added: a guess first, then the true size. */
  int code = id_list_resize(ids, length + 8);
  if (code != EXIT_OK)
    return code;
  hn_status status = hn_tokenize(r->model, text, length, flags, ids->data, ids->n, &n, &err);
  if (status == HN_OK && n > ids->n) {
    code = id_list_resize(ids, n);
    if (code != EXIT_OK)
      return code;
    status = hn_tokenize(r->model, text, length, flags, ids->data, ids->n, &n, &err);
  }
  ids->n = status == HN_OK ? n : 0;
  return status == HN_OK ? EXIT_OK : print_failure(&err);
}

int runner_tokenize_chat(const runner *r, const hn_chat_message *messages, size_t n_messages, id_list *ids) {
  hn_error err = {0};
  size_t n = 0;
  hn_status status = hn_chat_tokenize(r->model, messages, n_messages, true, NULL, 0, &n, &err);
  if (status == HN_OK) {
    int code = id_list_resize(ids, n);
    if (code != EXIT_OK)
      return code;
    status = hn_chat_tokenize(r->model, messages, n_messages, true, ids->data, ids->n, &n, &err);
  }
  if (status == HN_OK && r->opt->no_bos && ids->n > 0 && ids->data[0] == r->info.bos_token)
    memmove(ids->data, ids->data + 1, --ids->n * sizeof *ids->data);
  if (status == HN_OK)
    return EXIT_OK;
  ids->n = 0;
  if (status == HN_ERROR_UNSUPPORTED) {
    print_error("%s; hornito run --raw gives the model a prompt without its chat template", err.message);
    return exit_code(status);
  }
  return print_failure(&err);
}

bool too_long(const runner *r, size_t n, const char *what) {
  uint32_t n_ctx = hn_session_n_ctx(r->session);
  if (n <= n_ctx)
    return false;
  print_error("%s has %zu tokens and the context holds %u: raise it with --ctx %zu or more", what, n, (unsigned)n_ctx,
              n);
  return true;
}

static int read_stream(FILE *file, const char *name, char **text, size_t *length) {
  size_t capacity = 1 << 16, n = 0;
  char *data = malloc(capacity + 1);
  while (data != NULL) {
    n += fread(data + n, 1, capacity - n, file);
    if (n < capacity || capacity > MAX_TEXT)
      break;
    capacity *= 2;
    char *larger = realloc(data, capacity + 1);
    if (larger == NULL)
      free(data);
    data = larger;
  }
  if (data == NULL) {
    print_error("no memory for the text of %s", name);
    return EXIT_FAILED;
  }
  data[n] = 0;
  const char *problem = NULL;
  if (ferror(file))
    problem = strerror(errno);
  else if (n > MAX_TEXT)
    problem = "it is longer than 256 MiB";
  else if (memchr(data, 0, n) != NULL)
    problem = "it holds a NUL byte, so it is no text";
  if (problem != NULL) {
    print_error("%s cannot be read: %s", name, problem);
    free(data);
    return EXIT_USAGE;
  }
  *text = data;
  *length = n;
  return EXIT_OK;
}

int read_text(const char *path, char **text, size_t *length) {
  *text = NULL;
  *length = 0;
  if (strcmp(path, "-") == 0)
    return read_stream(stdin, "standard input", text, length);
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    print_error("%s cannot be opened: %s", path, strerror(errno));
    return EXIT_USAGE;
  }
  int code = read_stream(file, path, text, length);
  fclose(file);
  return code;
}
