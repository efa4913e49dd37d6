/*
 * test_barriers: the commands of a decode step and of a prompt, as an observer sees them on Vulkan device 0. Two commands that touch the
 * same bytes, one of them writing, must have a barrier or a submission between them; and every barrier must separate such a pair. So
 * taking any one away would be found. Exit 77 where there is no device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../tools/bench/subject.h"
#include "random_model.h"
#include "test_device.h"

enum { MAX_EVENTS = 4096, N_CTX = 160, N_BATCH = 40, N_ALL = 30 };

typedef struct command {
  gpu_event_kind kind;
  const char *name;
  gpu_access access;
} command;

static command commands[MAX_EVENTS];
static size_t n_commands;
static int n_failed;

static void see(void *user, gpu_cmd *cmd, const gpu_event *event) {
  (void)user;
  (void)cmd;
  if (n_commands == MAX_EVENTS) {
    puts("too many commands");
    exit(1);
  }
  command *c = &commands[n_commands++];
  *c = (command){.kind = event->kind, .name = event->launch ? event->launch->pipeline->name : event->kind == GPU_EVENT_COPY ? "copy" : ""};
  if (event->access)
    c->access = *event->access;
}

static bool runs_overlap(gpu_range a, gpu_range b) {
  for (uint32_t i = 0; i < a.count; i++)
    for (uint32_t j = 0; j < b.count; j++) {
      uint64_t x = a.at + i * a.stride, y = b.at + j * b.stride;
      if (x < y + b.bytes && y < x + a.bytes)
        return true;
    }
  return false;
}

static bool any_overlap(const gpu_range *a, uint32_t n_a, const gpu_range *b, uint32_t n_b) {
  for (uint32_t i = 0; i < n_a; i++)
    for (uint32_t j = 0; j < n_b; j++)
      if (runs_overlap(a[i], b[j]))
        return true;
  return false;
}

/* Whether one of the two writes what the other touches. */
static bool conflict(const gpu_access *a, const gpu_access *b) {
  return any_overlap(a->writes, a->n_writes, b->reads, b->n_reads) || any_overlap(a->reads, a->n_reads, b->writes, b->n_writes) ||
         any_overlap(a->writes, a->n_writes, b->writes, b->n_writes);
}

static bool separates(const command *c) {
  return c->kind == GPU_EVENT_BARRIER || c->kind == GPU_EVENT_SUBMIT;
}

/* A pair in conflict among commands first .. end - 1 that nothing separates, but for what stands at `without`. */
static bool find_conflict(size_t first, size_t end, size_t without, size_t *one, size_t *other) {
  for (size_t i = first; i < end; i++)
    for (size_t j = i + 1; j < end && (!separates(&commands[j]) || j == without); j++)
      if (i != without && conflict(&commands[i].access, &commands[j].access)) {
        *one = i;
        *other = j;
        return true;
      }
  return false;
}

static size_t segment_start(size_t at) {
  while (at > 0 && !separates(&commands[at - 1]))
    at--;
  return at;
}

static size_t segment_end(size_t at) {
  while (at < n_commands && !separates(&commands[at]))
    at++;
  return at;
}

static void walk(const char *what) {
  size_t a = 0, b = 0, n_dispatches = 0, n_barriers = 0, n_submits = 0;
  if (find_conflict(0, n_commands, n_commands, &a, &b)) {
    printf("FAILED: %s: no barrier between %s (command %zu) and %s (command %zu)\n", what, commands[a].name, a, commands[b].name, b);
    n_failed++;
  }
  for (size_t i = 0; i < n_commands; i++) {
    n_dispatches += commands[i].kind == GPU_EVENT_DISPATCH;
    n_submits += commands[i].kind == GPU_EVENT_SUBMIT;
    if (commands[i].kind != GPU_EVENT_BARRIER)
      continue;
    n_barriers++;
    if (!find_conflict(segment_start(i), segment_end(i + 1), i, &a, &b)) {
      printf("FAILED: %s: the barrier at command %zu, before %s, separates nothing\n", what, i, i + 1 < n_commands ? commands[i + 1].name : "");
      n_failed++;
    }
  }
  printf("%s: %zu dispatches, %zu barriers, %zu submissions\n", what, n_dispatches, n_barriers, n_submits);
  if (n_dispatches == 0) {
    puts("FAILED: nothing was recorded");
    n_failed++;
  }
}

/* all: the logits of all tokens; else of the last. */
static hn_status walk_step(subject *s, const char *what, uint32_t first, uint32_t n, bool all, hn_error *err) {
  n_commands = 0;
  s->cmd->observer = (gpu_observer){.see = see, .user = NULL};
  hn_status status = all ? subject_eval_all(s, first, n, err) : subject_eval(s, first, n, err);
  s->cmd->observer = (gpu_observer){0};
  if (!status)
    walk(what);
  return status;
}

static bool take(void *user, int32_t id) {
  (void)user;
  (void)id;
  return true;
}

/* Steps of tokens that the device chose. */
static hn_status walk_chosen(subject *s, uint32_t first, hn_error *err) {
  static const atomic_bool cancel;
  const token_sink to = {take, NULL, &cancel};
  n_commands = 0;
  s->cmd->observer = (gpu_observer){.see = see, .user = NULL};
  hn_status status = s->forward->follow(s->forward, first, 3, &to, err);
  s->cmd->observer = (gpu_observer){0};
  if (!status)
    walk("steps of chosen tokens");
  return status;
}

static int run(gpu_device *device, const random_model *model) {
  char path[64];
  hn_error err = {0};
  subject s;
  random_model_save(model, 3, path);
  hn_status status = subject_init(device, path, &(subject_params){.n_ctx = N_CTX, .n_batch = N_BATCH}, &s, &err);
  if (!status)
    status = walk_step(&s, "a prompt", 0, 2 * N_BATCH + 1, false, &err);
  if (!status)
    status = walk_step(&s, "a decode step", 2 * N_BATCH + 1, 1, false, &err);
  if (!status)
    status = walk_chosen(&s, 2 * N_BATCH + 2, &err);
  if (!status)
    status = walk_step(&s, "a prompt with all logits", 0, N_ALL, true, &err);
  if (!status)
    status = walk_step(&s, "a token with all logits", N_ALL, 1, true, &err);
  subject_finish(&s);
  unlink(path);
  if (status)
    puts(err.message);
  return status ? 1 : 0;
}

int main(void) {
  static const random_model models[] = {
      {.type = QUANT_Q4_0, .n_embd = 128, .n_ff = 256, .n_layers = 2, .n_heads = 4, .n_kv_heads = 2, .head_dim = 32, .n_vocab = 300},
      {.type = QUANT_Q4_K, .v = QUANT_Q6_K, .down = QUANT_Q6_K, .n_embd = 256, .n_ff = 512, .n_layers = 2, .n_heads = 4, .n_kv_heads = 1,
       .head_dim = 64, .n_vocab = 257, .tied = true, .bias = true}};
  gpu_device *device = test_device_open(false, NULL);
  int code = 0;
  for (size_t i = 0; i < sizeof models / sizeof *models && !code; i++)
    code = run(device, &models[i]);
  test_device_close(&device);
  return code || n_failed ? 1 : 0;
}
