/* cmd_info.c: what a GGUF file holds. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "json.h"
#include "output.h"
#include "runner.h"
#include "terminal.h"

enum { VALUE_SIZE = 256 }; /* of a metadata value's text; a longer one is cut, the template is shown in full anyway */

typedef struct count { /* a number of the model, for the text and for JSON */
  const char *name;
  uint64_t value;
} count;

enum { N_COUNTS = 13 };

static void list_counts(const hn_model_info *i, count counts[N_COUNTS]) {
  const count all[N_COUNTS] = {
      {"n_params", i->n_params},
      {"file_bytes", i->file_bytes},
      {"weight_bytes", i->weight_bytes},
      {"n_vocab", i->n_vocab},
      {"n_ctx_train", i->n_ctx_train},
      {"n_embd", i->n_embd},
      {"n_layers", i->n_layers},
      {"n_heads", i->n_heads},
      {"n_kv_heads", i->n_kv_heads},
      {"head_dim", i->head_dim},
      {"n_ff", i->n_ff},
      {"n_tensors", i->n_tensors},
      {"n_metadata", i->n_metadata},
  };
  for (int n = 0; n < N_COUNTS; n++)
    counts[n] = all[n];
}

/* A line of a string of any length. */
static void print_row(const char *name, const char *text) {
  out_printf("%-16s ", name);
  out_write(text, strlen(text));
  out_write("\n", 1);
}

static void print_token(const hn_model *model, const char *name, int32_t id) {
  size_t length = 0;
  const char *bytes = hn_token_bytes(model, id, &length);
  if (bytes == NULL) {
    print_row(name, "none");
    return;
  }
  out_printf("%-16s %d ", name, (int)id);
  out_write(bytes, length);
  out_write("\n", 1);
}

static void print_head(const runner *r) {
  const hn_model_info *i = &r->info;
  char size[HUMAN_SIZE];
  print_row("file", r->opt->positional);
  print_row("name", i->name);
  print_row("architecture", i->architecture);
  out_printf("%-16s %s%s\n", "supported", i->supported ? "yes" : "no: ", i->supported ? "" : i->unsupported);
  count counts[N_COUNTS];
  list_counts(i, counts);
  for (int n = 0; n < N_COUNTS; n++) {
    out_printf("%-16s %" PRIu64, counts[n].name, counts[n].value);
    if (strstr(counts[n].name, "bytes") != NULL)
      out_printf(" (%s)", human_bytes(counts[n].value, size));
    else if (counts[n].value >= 1000000)
      out_printf(" (%s)", human_count(counts[n].value, size));
    out_write("\n", 1);
  }
  out_printf("%-16s %g, scaling %s\n", "rope_theta", (double)i->rope_theta, i->rope_scaling);
  print_row("tied_output", i->tied_output ? "yes" : "no");
  print_row("tokenizer", i->tokenizer);
  print_row("pre_tokenizer", i->pre_tokenizer);
  print_token(r->model, "bos_token", i->bos_token);
  print_token(r->model, "eos_token", i->eos_token);
  print_row("add_bos", i->add_bos ? "yes" : "no");
  print_row("chat_format", i->chat_format[0] != 0     ? i->chat_format
                           : i->chat_template[0] != 0 ? "not known to this version"
                                                      : "none");
}

static int print_text(const runner *r) {
  const hn_model_info *i = &r->info;
  hn_error err = {0};
  print_head(r);
  if (i->chat_template[0] != 0) {
    out_printf("\nchat template:\n");
    out_write(i->chat_template, strlen(i->chat_template));
    out_write("\n", 1);
  }
  out_printf("\nmetadata:\n");
  for (size_t n = 0; n < i->n_metadata; n++) {
    const char *key, *type;
    char value[VALUE_SIZE];
    if (hn_model_metadata(r->model, n, &key, &type, value, sizeof value, &err) != HN_OK)
      return print_failure(&err);
    for (char *c = value; *c != 0; c++)
      if (*c == '\n' || *c == '\r')
        *c = ' '; /* one line each */
    out_printf("  %s (%s): ", key, type);
    out_write(value, strlen(value));
    out_write("\n", 1);
  }
  out_printf("\ntensors (innermost dimension first):\n");
  for (size_t n = 0; n < i->n_tensors; n++) {
    hn_tensor_info t;
    if (hn_model_tensor(r->model, n, &t, &err) != HN_OK)
      return print_failure(&err);
    out_printf("  %-40s %-6s", t.name, t.type);
    for (uint32_t d = 0; d < t.n_dims; d++)
      out_printf("%s%" PRIu64, d == 0 ? " " : " x ", t.dims[d]);
    out_write("\n", 1);
  }
  return EXIT_OK;
}

static void add_head(cJSON *root, const runner *r) {
  const hn_model_info *i = &r->info;
  json_add_text(root, "file", r->opt->positional);
  json_add_text(root, "name", i->name);
  json_add_text(root, "architecture", i->architecture);
  cJSON_AddBoolToObject(root, "supported", i->supported);
  json_add_text(root, "unsupported", i->unsupported);
  count counts[N_COUNTS];
  list_counts(i, counts);
  for (int n = 0; n < N_COUNTS; n++)
    json_add_number(root, counts[n].name, (double)counts[n].value);
  json_add_number(root, "rope_theta", (double)i->rope_theta);
  json_add_text(root, "rope_scaling", i->rope_scaling);
  cJSON_AddBoolToObject(root, "tied_output", i->tied_output);
  json_add_text(root, "tokenizer", i->tokenizer);
  json_add_text(root, "pre_tokenizer", i->pre_tokenizer);
  json_add_number(root, "bos_token", i->bos_token);
  json_add_number(root, "eos_token", i->eos_token);
  cJSON_AddBoolToObject(root, "add_bos", i->add_bos);
  json_add_text(root, "chat_format", i->chat_format);
  json_add_text(root, "chat_template", i->chat_template);
}

static int add_lists(cJSON *root, const runner *r) {
  hn_error err = {0};
  cJSON *metadata = cJSON_AddArrayToObject(root, "metadata");
  for (size_t n = 0; n < r->info.n_metadata; n++) {
    const char *key, *type;
    char value[VALUE_SIZE];
    if (hn_model_metadata(r->model, n, &key, &type, value, sizeof value, &err) != HN_OK)
      return print_failure(&err);
    cJSON *entry = cJSON_CreateObject();
    json_add_text(entry, "key", key);
    json_add_text(entry, "type", type);
    json_add_text(entry, "value", value);
    cJSON_AddItemToArray(metadata, entry);
  }
  cJSON *tensors = cJSON_AddArrayToObject(root, "tensors");
  for (size_t n = 0; n < r->info.n_tensors; n++) {
    hn_tensor_info t;
    if (hn_model_tensor(r->model, n, &t, &err) != HN_OK)
      return print_failure(&err);
    cJSON *entry = cJSON_CreateObject();
    json_add_text(entry, "name", t.name);
    json_add_text(entry, "type", t.type);
    cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
    for (uint32_t d = 0; d < t.n_dims; d++)
      cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t.dims[d]));
    json_add_number(entry, "bytes", (double)t.bytes);
    json_add_number(entry, "offset", (double)t.offset);
    cJSON_AddItemToArray(tensors, entry);
  }
  return EXIT_OK;
}

int cmd_info(const options *opt) {
  if (!required(opt->positional, "info", "FILE"))
    return EXIT_USAGE;
  runner r = {0};
  int code = runner_load_header(&r, opt, opt->positional);
  if (code == EXIT_OK && !opt->json) {
    code = print_text(&r);
  } else if (code == EXIT_OK) {
    cJSON *root = cJSON_CreateObject();
    add_head(root, &r);
    code = add_lists(root, &r);
    if (code == EXIT_OK)
      code = json_print(root, false, code);
    cJSON_Delete(root);
  }
  return runner_finish(&r, code);
}
