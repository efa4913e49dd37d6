/*
 * cmd_chat.c: a conversation.
 *
 * Every turn tokenizes the whole conversation anew and evaluates what differs from the session's timeline, so that the
 * template decides what the model sees, however it joins messages.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "generate.h"
#include "line_input.h"
#include "output.h"

typedef struct conversation {
  hn_chat_message *messages; /* contents are owned, roles are static */
  size_t n, capacity;
} conversation;

typedef struct chat {
  runner r;
  conversation talk;
  hn_sampler *sampler;
  uint64_t seed;
  bool interactive;
  bool refused; /* a message could not be answered */
} chat;

static bool add_message(conversation *c, const char *role, const char *content) {
  if (c->n == c->capacity) {
    size_t capacity = 2 * c->capacity + 8;
    hn_chat_message *larger = realloc(c->messages, capacity * sizeof *larger);
    if (larger == NULL)
      return false;
    c->messages = larger;
    c->capacity = capacity;
  }
  char *copy = strdup(content);
  if (copy == NULL)
    return false;
  c->messages[c->n++] = (hn_chat_message){.role = role, .content = copy};
  return true;
}

/* Takes the messages behind the first n away. */
static void cut_messages(conversation *c, size_t n) {
  while (c->n > n) {
    void *content = (void *)(uintptr_t)c->messages[--c->n].content; /* ours, const for the library alone */
    free(content);
  }
}

static int start_conversation(chat *c) {
  cut_messages(&c->talk, 0);
  if (c->r.opt->system != NULL && !add_message(&c->talk, "system", c->r.opt->system)) {
    print_error("no memory for the system message");
    return EXIT_FAILED;
  }
  return EXIT_OK;
}

static void say_why(const chat *c, const generation *g) {
  if (g->reason == STOPPED_CONTEXT_FULL)
    print_error("the context of %u tokens is full and the answer ends early: /reset begins anew, a larger --ctx holds "
                "more",
                (unsigned)hn_session_n_ctx(c->r.session));
  print_summary(&c->r, g, c->seed);
}

/* Answers the conversation's last message. A message that gets no answer is taken back. */
static int answer(chat *c) {
  runner *r = &c->r;
  id_list ids = {0};
  generation g = {0};
  size_t common = 0;
  int code = runner_tokenize_chat(r, c->talk.messages, c->talk.n, &ids);
  if (code == EXIT_OK && ids.n > hn_session_n_ctx(r->session)) {
    print_error("the conversation would have %zu tokens and the context holds %u, so this message was not sent: /reset "
                "begins anew, --ctx %zu or more holds it",
                ids.n, (unsigned)hn_session_n_ctx(r->session), ids.n);
    c->refused = true;
    cut_messages(&c->talk, c->talk.n - 1);
    goto done;
  }
  hn_error err = {0};
  if (code == EXIT_OK && hn_session_reuse(r->session, ids.data, ids.n, &common, &err) != HN_OK)
    code = print_failure(&err);
  if (code != EXIT_OK)
    goto done;
  interrupt_forget();
  /* As many as fit, since without -n an answer ends with its end token or a full context. */
  generate(r, c->sampler, ids.data + common, ids.n - common, r->opt->n_predict, &g);
  if (g.text_length == 0 || g.text[g.text_length - 1] != '\n')
    out_write("\n", 1);
  out_flush();
  if (g.reason == STOPPED_FAILED)
    code = g.exit_code;
  else if (g.text_length == 0 && g.reason == STOPPED_CANCELLED)
    cut_messages(&c->talk, c->talk.n - 1);
  else if (!add_message(&c->talk, "assistant", g.text != NULL ? g.text : ""))
    code = EXIT_FAILED;
  say_why(c, &g);
  if (g.reason == STOPPED_CANCELLED && !c->interactive)
    code = EXIT_FAILED; /* nobody is there to go on */

done:
  interrupt_forget();
  free(g.text);
  free(ids.data);
  return code;
}

/* A line that begins with a slash. *quit: the program ends. */
static int slash_command(chat *c, const char *line, bool *quit) {
  if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0) {
    *quit = true;
    return EXIT_OK;
  }
  if (strcmp(line, "/reset") == 0) {
    print_note("the conversation begins anew");
    return start_conversation(c);
  }
  if (strcmp(line, "/help") == 0)
    print_note("/reset forgets the conversation, /quit or Ctrl-D ends, Ctrl-C stops an answer");
  else
    print_error("unknown command \"%s\": there are /reset, /quit and /help", line);
  return EXIT_OK;
}

static int converse(chat *c) {
  line_input *input = line_input_open(c->interactive);
  if (input == NULL) {
    print_error("no memory for line editing");
    return EXIT_FAILED;
  }
  int code = EXIT_OK;
  bool quit = false;
  while (code == EXIT_OK && !quit) {
    const char *line = line_input_read(input);
    if (line == NULL)
      break;
    if (line[0] == 0)
      continue;
    if (line[0] == '/') {
      code = slash_command(c, line, &quit);
      continue;
    }
    if (!add_message(&c->talk, "user", line)) {
      print_error("no memory for the message");
      code = EXIT_FAILED;
      break;
    }
    code = answer(c);
  }
  line_input_close(&input);
  return code;
}

/* A template that is unknown or refuses a system message is found out before the user types anything. */
static int check_template(chat *c) {
  id_list ids = {0};
  int code = start_conversation(c);
  if (code == EXIT_OK && !add_message(&c->talk, "user", "?"))
    code = EXIT_FAILED;
  if (code == EXIT_OK)
    code = runner_tokenize_chat(&c->r, c->talk.messages, c->talk.n, &ids);
  free(ids.data);
  return code == EXIT_OK ? start_conversation(c) : code;
}

int cmd_chat(const options *opt) {
  if (!required(opt->model, "chat", "-m FILE"))
    return EXIT_USAGE;
  chat c = {.interactive = isatty(STDIN_FILENO) != 0};
  interrupt_catch(c.interactive);
  int code = runner_open_context(&c.r, opt);
  if (code == EXIT_OK)
    code = runner_load(&c.r, opt->plan.n_ctx);
  if (code == EXIT_OK)
    code = check_template(&c);
  if (code == EXIT_OK)
    code = runner_open_session(&c.r);
  if (code == EXIT_OK)
    code = sampler_open(&c.r, &c.sampler, &c.seed);
  if (code == EXIT_OK)
    code = converse(&c);
  if (code == EXIT_OK && c.refused && !c.interactive)
    code = EXIT_FAILED; /* a script must learn of it */
  cut_messages(&c.talk, 0);
  free(c.talk.messages);
  hn_sampler_destroy(&c.sampler);
  return runner_finish(&c.r, code);
}
