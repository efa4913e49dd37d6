#include "fits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../loader/quant.h"
#include "../../runtime/gpu_info.h"
#include "../../runtime/plan.h"
#include "../../runtime/sizes.h"
#include "../../shaders/shared.h"
#include "../json.h"
#include "../library.h"
#include "../options.h"
#include "../output.h"
#include "../terminal.h"
#include "llama_8b.h"
#include "sheet.h"
#include "subject.h"

static const struct {
  const char *name;
  uint32_t type;
} built_in[] = {{"8B-Q4_0", QUANT_Q4_0}, {"8B-Q4_K_M", QUANT_Q4_K}};

static const struct {
  const char *name;
  uint32_t type;
} kv_types[] = {{"q8_0", QUANT_Q8_0}, {"q4_0", QUANT_Q4_0}};

enum {
  N_BUILT_IN = sizeof built_in / sizeof *built_in,
  N_KV_TYPES = sizeof kv_types / sizeof *kv_types,
  MAX_ANSWERS = N_BUILT_IN * N_KV_TYPES,
  FITS_VERSION = 1, /* of the JSON */
};

typedef struct question { /* what is asked for: one file, or models that are built in */
  const char *file;       /* NULL: none */
  gguf_file *gguf;
  model_header header;
  bool built_in[N_BUILT_IN];
} question;

typedef struct answer {
  const char *model, *kv;
  hn_plan plan;     /* the numbers alone: without items */
  uint32_t longest; /* tokens, with the host's memory; 0: none */
  uint32_t trained; /* tokens that the model was made for */
} answer;

typedef struct answers {
  answer list[MAX_ANSWERS];
  size_t n;
  bool all_fit;
} answers;

/* ---- plans ---- */

static hn_status plan_for(const model_header *model, const hn_memory *memory, uint32_t kv_type, uint32_t n_ctx, hn_plan *out, hn_error *err) {
  plan p;
  hn_status status = plan_init(model, memory, &(plan_wish){.n_ctx = n_ctx, .kv_type = kv_type, .n_host_layers = -1}, &p, err);
  *out = p.base;
  out->items = NULL;
  plan_finish(&p);
  return status;
}

/* The longest context that fits at all, in blocks of the cache, or the model's. */
static hn_status find_longest(const model_header *model, const hn_memory *memory, uint32_t kv_type, uint32_t *out, hn_error *err) {
  uint32_t train = model->config.n_ctx_train, low = 0, high = kv_blocks(train);
  hn_status status = HN_OK;
  while (low < high && !status) {
    uint32_t middle = low + (high - low + 1) / 2, n_ctx = middle * KV_BLOCK < train ? middle * KV_BLOCK : train;
    hn_plan p;
    status = plan_for(model, memory, kv_type, n_ctx, &p, err);
    if (p.fits)
      low = middle;
    else
      high = middle - 1;
  }
  *out = low * KV_BLOCK < train ? low * KV_BLOCK : train;
  return status;
}

static hn_status ask_model(const char *name, const model_header *model, const hn_memory *memory, answers *out, hn_error *err) {
  hn_status status = HN_OK;
  for (size_t i = 0; i < N_KV_TYPES && !status; i++) {
    answer *a = &out->list[out->n++];
    *a = (answer){.model = name, .kv = kv_types[i].name, .trained = model->config.n_ctx_train};
    status = plan_for(model, memory, kv_types[i].type, 0, &a->plan, err);
    if (!status)
      status = find_longest(model, memory, kv_types[i].type, &a->longest, err);
    out->all_fit &= a->plan.fits;
  }
  return status;
}

static hn_status ask(const question *q, const hn_memory *memory, answers *out, hn_error *err) {
  hn_status status = HN_OK;
  *out = (answers){.all_fit = true};
  if (q->file)
    return ask_model(q->file, &q->header, memory, out, err);
  for (size_t i = 0; i < N_BUILT_IN && !status; i++) {
    static llama_8b model;
    if (!q->built_in[i])
      continue;
    llama_8b_init(&model, built_in[i].type);
    status = ask_model(built_in[i].name, &model.header, memory, out, err);
  }
  return status;
}

/* ---- output ---- */

static const char *word_of(const hn_plan *p) {
  return !p->fits ? "no" : p->n_host_layers > 0 || p->n_host_positions > 0 ? "with the host's memory" : "yes";
}

static int print_table(const hn_device_info *info, const hn_memory *memory, const answers *a, bool markdown) {
  char *text = NULL, free_bytes[HUMAN_SIZE], bytes[HUMAN_SIZE];
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  if (!out) {
    print_error("no memory for the table");
    return EXIT_FAILED;
  }
  sheet s = {.columns = "lllrrr"};
  static const char *const headings[] = {"model", "KV cache", "fits", "tokens on the device", "and the host", "of the model"};
  for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
    sheet_cell(&s, "%s", headings[i]);
  for (size_t i = 0; i < a->n; i++) {
    const answer *row = &a->list[i];
    sheet_cell(&s, "%s", row->model);
    sheet_cell(&s, "%s", row->kv);
    sheet_cell(&s, "%s", word_of(&row->plan));
    sheet_number(&s, row->plan.n_ctx_max > 0 ? row->plan.n_ctx_max : (double)NAN, "");
    sheet_number(&s, row->longest > 0 ? row->longest : (double)NAN, "");
    sheet_number(&s, row->trained, "");
  }
  fputs(markdown ? "## " : "", out);
  sheet_text(out, info->name, markdown);
  fprintf(out, "%s\n%s of %s of its memory free%s\n\n", markdown ? "\n" : "", human_bytes(memory->device_free, free_bytes),
          human_bytes(memory->device_bytes, bytes), memory->unified ? ", which is the CPU's too" : "");
  bool ok = sheet_print(&s, out, markdown);
  ok = fclose(out) == 0 && ok;
  if (ok)
    out_write(text, length);
  else
    print_error("no memory for the table");
  free(text);
  return ok ? EXIT_OK : EXIT_FAILED;
}

static int print_json(const hn_device_info *info, const hn_memory *memory, const answers *a, bool one_line) {
  cJSON *root = cJSON_CreateObject();
  json_add_number(root, "version", FITS_VERSION);
  json_add_text(root, "program", "hornito " HORNITO_VERSION);
  cJSON *device = cJSON_AddObjectToObject(root, "device");
  json_add_text(device, "name", info->name);
  json_add_text(device, "driver", info->driver);
  json_add_text(device, "type", device_type_name(info->type));
  json_add_number(device, "memory_bytes", (double)memory->device_bytes);
  json_add_number(device, "free_bytes", (double)memory->device_free);
  json_add_number(device, "host_free_bytes", (double)memory->host_free);
  cJSON *list = cJSON_AddArrayToObject(root, "fits");
  for (size_t i = 0; i < a->n; i++) {
    const answer *row = &a->list[i];
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "model", row->model);
    json_add_text(o, "kv", row->kv);
    cJSON_AddBoolToObject(o, "fits", row->plan.fits);
    json_add_number(o, "ctx", row->plan.n_ctx);
    json_add_number(o, "ctx_max", row->plan.n_ctx_max);
    json_add_number(o, "ctx_max_host", row->longest);
    json_add_number(o, "ctx_train", row->trained);
    json_add_number(o, "host_positions", row->plan.n_host_positions);
    json_add_number(o, "host_layers", row->plan.n_host_layers);
    json_add_number(o, "budget_bytes", (double)row->plan.budget_bytes);
    json_add_number(o, "device_bytes", (double)row->plan.device_bytes);
    json_add_number(o, "host_bytes", (double)row->plan.host_bytes);
    cJSON_AddItemToArray(list, o);
  }
  int code = json_print(root, one_line, EXIT_OK);
  cJSON_Delete(root);
  return code;
}

/* ---- the whole ---- */

static hn_status open_question(const char *asked, question *q, hn_error *err) {
  *q = (question){0};
  bool any = false;
  for (size_t i = 0; i < N_BUILT_IN; i++) {
    q->built_in[i] = asked[0] == 0 || strcmp(asked, built_in[i].name) == 0;
    any |= q->built_in[i];
  }
  if (any)
    return HN_OK;
  q->file = asked;
  return subject_open(asked, &q->gguf, &q->header, err);
}

static int print_device(const gpu_instance *instance, uint32_t index, const question *q, const bench_options *o, bool one_line) {
  const hn_device_info *info = &instance->infos[index];
  hn_memory memory;
  answers a;
  hn_error err = {0};
  gpu_info_memory(instance->physical[index], info, &memory);
  if (ask(q, &memory, &a, &err))
    return print_failure(&err);
  int code = o->format == REPORT_JSON ? print_json(info, &memory, &a, one_line) : print_table(info, &memory, &a, o->format == REPORT_MARKDOWN);
  return code == EXIT_OK && !a.all_fit ? EXIT_FAILED : code;
}

int fits_print(const gpu_instance *instance, const bool chosen[], size_t n_chosen, const bench_options *o) {
  question q;
  hn_error err = {0};
  int code = EXIT_OK;
  hn_status status = open_question(o->fits, &q, &err);
  if (status)
    code = print_failure(&err);
  for (uint32_t i = 0, done = 0; i < instance->n_devices && !status; i++) {
    if (!chosen[i])
      continue;
    if (done++ > 0 && o->format != REPORT_JSON)
      out_write("\n", 1);
    if (print_device(instance, i, &q, o, n_chosen > 1) != EXIT_OK)
      code = EXIT_FAILED;
  }
  model_finish(&q.header);
  gguf_close(&q.gguf);
  return code;
}
