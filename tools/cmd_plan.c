/* cmd_plan.c: where every byte of a model and its session would go. Nothing is loaded. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "json.h"
#include "machine.h"
#include "output.h"
#include "plan_advice.h"
#include "terminal.h"

enum { NOTE_SIZE = 160 };

typedef struct planning {
  runner r;
  machine machine;
  hn_plan_params params;
  hn_plan *plan;
  plan_advice advice; /* where it does not fit */
} planning;

static const char *kv_name(hn_kv_type type) {
  return type == HN_KV_Q4_0 ? "q4_0" : "q8_0";
}

/* ---- speed ---- */

typedef struct reading { /* bytes that one decoded token reads */
  uint64_t device, host;
} reading;

static reading read_full(const hn_plan *p) {
  return (reading){p->token_device_bytes, p->token_host_bytes};
}

/* With an empty context: all but the cache. */
static reading read_empty(const hn_plan *p) {
  reading r = read_full(p);
  for (size_t i = 0; i < p->n_items; i++)
    if (p->items[i].kind == HN_PLAN_KV_CACHE)
      *(p->items[i].on_host ? &r.host : &r.device) -= p->items[i].bytes;
  return r;
}

static double tokens_per_second(const machine *m, reading r) {
  double seconds = (double)r.device / (m->device_gb_s * 1e9) + (double)r.host / (m->host_gb_s * 1e9);
  return seconds > 0.0 ? 1.0 / seconds : 0.0;
}

/* Three digits that matter. */
static const char *rate_text(double rate, char text[HUMAN_SIZE]) {
  snprintf(text, HUMAN_SIZE, "%.*f", rate >= 100.0 ? 0 : rate >= 10.0 ? 1 : 2, rate);
  return text;
}

/* ---- the table ---- */

typedef enum row { ROW_LAYERS, ROW_OUTPUT, ROW_EMBEDDING, ROW_CACHE, ROW_ACTIVATIONS, ROW_LOGITS, ROW_LOADING, ROW_ROUNDING, N_ROWS } row;

static const char *const row_names[N_ROWS] = {"weights of the layers", "output matrix",     "embedding table",     "KV cache",
                                              "activations",           "logits and tokens", "while loading alone", "rounding"};

static row row_of(const hn_plan_item *item) {
  switch (item->kind) {
  case HN_PLAN_OUTPUT: return ROW_OUTPUT;
  case HN_PLAN_EMBEDDING: return ROW_EMBEDDING;
  case HN_PLAN_KV_CACHE: return ROW_CACHE;
  case HN_PLAN_ACTIVATIONS: return ROW_ACTIVATIONS;
  case HN_PLAN_LOGITS: return ROW_LOGITS;
  case HN_PLAN_LOADING: return ROW_LOADING;
  default: return ROW_LAYERS;
  }
}

static void note_layers(const planning *g, char note[NOTE_SIZE]) {
  unsigned n = g->r.info.n_layers, host = g->plan->n_host_layers;
  if (host == 0)
    snprintf(note, NOTE_SIZE, "layers 0 to %u", n - 1);
  else if (host == n)
    snprintf(note, NOTE_SIZE, "host: all %u layers", n);
  else
    snprintf(note, NOTE_SIZE, "device: layers 0 to %u; host: %u to %u", n - host - 1, n - host, n - 1);
}

static void note_cache(const planning *g, char note[NOTE_SIZE]) {
  unsigned n = g->plan->n_ctx, host = g->plan->n_host_positions;
  if (host == 0 || host == n)
    snprintf(note, NOTE_SIZE, "%s, %u tokens", kv_name(g->params.kv_type), n);
  else
    snprintf(note, NOTE_SIZE, "%s, %u tokens; host: the last %u", kv_name(g->params.kv_type), n, host);
}

static const char *size_text(uint64_t bytes, char text[HUMAN_SIZE]) {
  return bytes > 0 ? human_bytes(bytes, text) : "-";
}

static void print_row(const char *name, uint64_t device, uint64_t host, const char *note) {
  char left[HUMAN_SIZE], right[HUMAN_SIZE];
  out_printf("  %-22s %12s %12s%s%s\n", name, size_text(device, left), size_text(host, right), note[0] != 0 ? "  " : "", note);
}

static const char *budget_note(const planning *g) {
  const hn_memory *m = &g->machine.memory;
  if (g->params.vram_budget > m->device_free)
    return "all there is, less than was given";
  if (g->params.vram_budget > 0)
    return "as given";
  return m->unified ? "half of the memory, less the host's part" : "what is free but for 512 MiB";
}

static void print_table(const planning *g) {
  const hn_plan *p = g->plan;
  uint64_t device[N_ROWS] = {0}, host[N_ROWS] = {0};
  char notes[N_ROWS][NOTE_SIZE] = {{0}};
  device[ROW_ROUNDING] = p->device_bytes;
  host[ROW_ROUNDING] = p->host_bytes;
  for (size_t i = 0; i < p->n_items; i++) {
    const hn_plan_item *item = &p->items[i];
    row at = row_of(item);
    (item->on_host ? host : device)[at] += item->bytes;
    (item->on_host ? host : device)[ROW_ROUNDING] -= item->bytes;
  }
  note_layers(g, notes[ROW_LAYERS]);
  note_cache(g, notes[ROW_CACHE]);
  if (g->r.info.tied_output)
    snprintf(notes[ROW_OUTPUT], NOTE_SIZE, "the embedding table too");
  snprintf(notes[ROW_ACTIVATIONS], NOTE_SIZE, "of %u tokens of a prompt at a time", (unsigned)p->n_batch);
  out_printf("  %-22s %12s %12s\n", "", "on device", "on host");
  for (int i = 0; i < N_ROWS; i++)
    if (device[i] + host[i] > 0)
      print_row(row_names[i], device[i], host[i], notes[i]);
  print_row("all", p->device_bytes, p->host_bytes, "");
  print_row("budget", p->budget_bytes, g->machine.memory.unified ? 0 : g->machine.memory.host_free, budget_note(g));
}

/* ---- text ---- */

static void print_verdict(const planning *g) {
  const hn_plan *p = g->plan;
  unsigned n = p->n_ctx, n_layers = g->r.info.n_layers, layers = p->n_host_layers, positions = p->n_host_positions;
  const char *slower = g->machine.memory.unified ? "" : ", which is slower";
  out_printf("fits      %s", p->fits ? "yes: " : "no: ");
  if (!p->fits)
    out_printf("a context of %u tokens needs more than there is\n", n);
  else if (positions == 0 && layers == 0)
    out_printf("a context of %u tokens, all on the device\n", n);
  else if (layers == 0)
    out_printf("a context of %u tokens, the last %u in the host's memory%s\n", n, positions, slower);
  else
    out_printf("a context of %u tokens; %u of %u layers and %u tokens on the host%s\n", n, layers, n_layers, positions, slower);
}

static void print_context(const planning *g) {
  unsigned longest = g->plan->n_ctx_max, trained = g->r.info.n_ctx_train;
  out_printf("context   ");
  if (longest == 0)
    out_printf("none lies wholly on the device: the weights leave no room");
  else
    out_printf("%u tokens at most wholly on the device", longest);
  out_printf("; the model's is %u\n", trained);
}

static void print_speed(const planning *g) {
  const machine *m = &g->machine;
  char empty[HUMAN_SIZE], full[HUMAN_SIZE];
  out_printf("speed     at most about %s tok/s with an empty context, %s with a full one\n",
             rate_text(tokens_per_second(m, read_empty(g->plan)), empty), rate_text(tokens_per_second(m, read_full(g->plan)), full));
  out_printf("          at %g GB/s from the device's memory, %g GB/s from the host's%s\n", m->device_gb_s, m->host_gb_s,
             m->assumed ? " (assumed)" : "");
  if (m->assumed)
    out_printf("          give yours, as gpu-bench measures them, with --device-bandwidth and --host-bandwidth\n");
}

static void print_advice(const planning *g) {
  if (g->advice.n == 0) {
    out_printf("\nNeither a shorter context, nor a smaller KV cache, nor a larger budget would help: take a smaller\n"
               "model, one of fewer bits, or a device with more memory.\n");
    return;
  }
  out_printf("\nThis would fit:\n");
  for (int i = 0; i < g->advice.n; i++)
    out_printf("  %s\n", g->advice.lines[i]);
  if (g->machine.memory.unified && g->params.vram_budget == 0)
    out_printf("Without a budget, half of a memory that is shared with the CPU is left free.\n");
}

static void print_text(const planning *g) {
  out_printf("model     %s\ndevice    ", g->r.opt->positional);
  out_write(g->machine.name, strlen(g->machine.name));
  out_printf("\n");
  print_verdict(g);
  print_context(g);
  if (g->plan->fits)
    print_speed(g);
  out_printf("\n");
  print_table(g);
  if (!g->plan->fits)
    print_advice(g);
}

/* ---- JSON ---- */

static void add_machine(cJSON *root, const machine *m) {
  cJSON *o = cJSON_AddObjectToObject(root, "device");
  json_add_text(o, "name", m->name);
  json_add_text(o, "type", device_type_name(m->type));
  cJSON_AddBoolToObject(o, "present", m->here);
  cJSON_AddBoolToObject(o, "unified", m->memory.unified);
  json_add_number(o, "memory_bytes", (double)m->memory.device_bytes);
  json_add_number(o, "free_bytes", (double)m->memory.device_free);
  json_add_number(o, "host_free_bytes", (double)m->memory.host_free);
  json_add_number(o, "max_allocation_bytes", (double)m->memory.max_allocation_bytes);
  json_add_number(o, "device_gb_s", m->device_gb_s);
  json_add_number(o, "host_gb_s", m->host_gb_s);
}

static void add_numbers(cJSON *root, const planning *g) {
  const hn_plan *p = g->plan;
  const struct {
    const char *name;
    double value;
  } numbers[] = {
      {"ctx", p->n_ctx},
      {"ctx_max", p->n_ctx_max},
      {"ctx_train", g->r.info.n_ctx_train},
      {"n_batch", p->n_batch},
      {"n_layers", g->r.info.n_layers},
      {"host_positions", p->n_host_positions},
      {"host_layers", p->n_host_layers},
      {"budget_bytes", (double)p->budget_bytes},
      {"device_bytes", (double)p->device_bytes},
      {"host_bytes", (double)p->host_bytes},
      {"token_device_bytes", (double)p->token_device_bytes},
      {"token_host_bytes", (double)p->token_host_bytes},
      {"tok_s_empty", tokens_per_second(&g->machine, read_empty(p))},
      {"tok_s_full", tokens_per_second(&g->machine, read_full(p))},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    json_add_number(root, numbers[i].name, numbers[i].value);
}

static void add_items(cJSON *root, const hn_plan *p) {
  cJSON *items = cJSON_AddArrayToObject(root, "items");
  for (size_t i = 0; i < p->n_items; i++) {
    const hn_plan_item *item = &p->items[i];
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "name", item->name);
    if (item->layer >= 0)
      json_add_number(o, "layer", item->layer);
    else
      cJSON_AddNullToObject(o, "layer");
    json_add_text(o, "heap", item->on_host ? "host" : "device");
    json_add_number(o, "bytes", (double)item->bytes);
    json_add_number(o, "allocation", item->allocation);
    json_add_number(o, "offset", (double)item->offset);
    cJSON_AddItemToArray(items, o);
  }
}

static int print_json(const planning *g) {
  cJSON *root = cJSON_CreateObject();
  json_add_text(root, "file", g->r.opt->positional);
  add_machine(root, &g->machine);
  cJSON_AddBoolToObject(root, "fits", g->plan->fits);
  json_add_text(root, "kv", kv_name(g->params.kv_type));
  add_numbers(root, g);
  cJSON *advice = cJSON_AddArrayToObject(root, "would_fit");
  for (int i = 0; i < g->advice.n; i++)
    cJSON_AddItemToArray(advice, cJSON_CreateString(g->advice.lines[i]));
  add_items(root, g->plan);
  int code = json_print(root, false, EXIT_OK);
  cJSON_Delete(root);
  return code;
}

/* ---- the command ---- */

static int make_plan(planning *g) {
  hn_error err = {0};
  if (hn_model_plan(g->r.model, &g->machine.memory, &g->params, &g->plan, &err) != HN_OK)
    return print_failure(&err);
  if (!g->plan->fits)
    plan_advise(g->r.model, &g->machine.memory, &g->params, g->plan, &g->advice);
  return EXIT_OK;
}

int cmd_plan(const options *opt) {
  if (!required(opt->positional, "plan", "FILE"))
    return EXIT_USAGE;
  planning g = {.params = opt->plan};
  int code = runner_load_header(&g.r, opt, opt->positional);
  if (code == EXIT_OK)
    code = machine_find(&g.r, &g.machine);
  if (code == EXIT_OK)
    code = make_plan(&g);
  if (code == EXIT_OK && opt->json)
    code = print_json(&g);
  else if (code == EXIT_OK)
    print_text(&g);
  if (code == EXIT_OK && !g.plan->fits)
    code = EXIT_FAILED;
  hn_plan_destroy(&g.plan);
  return runner_finish(&g.r, code);
}
