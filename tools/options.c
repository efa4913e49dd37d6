/* options.c: see options.h. */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

typedef enum option_kind {
  KIND_FLAG,
  KIND_TEXT,
  KIND_STOP, /* text that may be given several times */
  KIND_U32,
  KIND_SEED,
  KIND_FLOAT,
  KIND_CTX,   /* tokens or "max" */
  KIND_BYTES, /* 6GiB */
  KIND_KV,
} option_kind;

typedef struct option {
  const char *name;
  const char *argument; /* NULL: a flag */
  const char *help;
  size_t field; /* offset in struct options */
  double lowest, highest;
  unsigned commands; /* bits of command_id */
  option_kind kind;
} option;

#define FIELD(name) offsetof(options, name)
#define GENERATING (COMMAND_RUN | COMMAND_CHAT)
#define EVALUATING (GENERATING | COMMAND_EVAL | COMMAND_PERPLEXITY)

/* clang-format off */
static const option table[] = {
    {"-m", "FILE", "the model, a GGUF file", FIELD(model), 0, 0, EVALUATING | COMMAND_TOKENIZE, KIND_TEXT},
    {"-p", "TEXT", "the prompt; - or none: from standard input", FIELD(prompt), 0, 0, COMMAND_RUN, KIND_TEXT},
    {"-n", "N", "tokens to write at most (run: 256; chat: until the context is full)", FIELD(n_predict), 0,
     MAX_CTX, GENERATING, KIND_U32},
    {"--session", "FILE", "read what is evaluated already from this file, if it is there, and write it at the end; it holds your text",
     FIELD(session), 0, 0, COMMAND_RUN, KIND_TEXT},
    {"-f", "TEXT", "the text, a file", FIELD(file), 0, 0, COMMAND_PERPLEXITY, KIND_TEXT},
    {"--system", "TEXT", "the system message (none)", FIELD(system), 0, 0, COMMAND_CHAT, KIND_TEXT},
    {"--raw", NULL, "take the prompt as it is, special tokens included, without the chat template", FIELD(raw), 0, 0,
     COMMAND_RUN, KIND_FLAG},
    {"--stop", "TEXT", "end before this text; may be given several times", FIELD(stops), 0, 0, GENERATING, KIND_STOP},
    {"--temp", "T", "temperature, 0 for the likeliest token always (0.8)", FIELD(sampling.temperature), 0, 1e6,
     GENERATING, KIND_FLOAT},
    {"--top-k", "K", "choose among the K likeliest, 0 for all (40)", FIELD(sampling.top_k), 0, INT32_MAX, GENERATING,
     KIND_U32},
    {"--top-p", "P", "choose among the likeliest of this joint probability, 1 for all (0.95)", FIELD(sampling.top_p),
     0, 1, GENERATING, KIND_FLOAT},
    {"--min-p", "P", "drop what is less likely than P times the likeliest (0.05)", FIELD(sampling.min_p), 0, 1,
     GENERATING, KIND_FLOAT},
    {"--repeat-penalty", "R", "make the last 64 tokens less likely, 1 for off (1)", FIELD(sampling.repeat_penalty),
     1e-3, 1e3, GENERATING, KIND_FLOAT},
    {"--seed", "S", "the same seed gives the same text on every device (from the clock)", FIELD(sampling.seed), 0, 0,
     GENERATING, KIND_SEED},
    {"--tokens", "1,2,3", "the token ids", FIELD(tokens), 0, 0, COMMAND_EVAL, KIND_TEXT},
    {"--chunk", "N", "evaluate N tokens at a time (all at once); changes no bit of the result", FIELD(chunk), 1,
     MAX_CTX, COMMAND_EVAL, KIND_U32},
    {"--logits", "OUT", "file for the logits: little-endian f32, a row of the vocabulary's size for each token",
     FIELD(logits), 0, 0, COMMAND_EVAL, KIND_TEXT},
    {"--ids", NULL, "print the ids alone, separated by commas", FIELD(ids), 0, 0, COMMAND_TOKENIZE, KIND_FLAG},
    {"--special", NULL, "special tokens written in the text become their ids", FIELD(special), 0, 0, COMMAND_TOKENIZE,
     KIND_FLAG},
    {"--json", NULL, "print JSON", FIELD(json), 0, 0, COMMAND_INFO | COMMAND_DEVICES | COMMAND_PLAN,
     KIND_FLAG},
    {"--device", "I|NAME|cpu", "the device by index or part of its name, cpu for plain C (the best one)",
     FIELD(device), 0, 0, EVALUATING, KIND_TEXT},
    {"--device", "I|NAME|SIZE", "the device by index or part of its name (the best one); or the memory of one that is not here:\n"
     "                         6GiB-discrete for a GPU of 6 GiB, 8GiB-integrated for one in a machine of 8 GiB", FIELD(device), 0, 0,
     COMMAND_PLAN, KIND_TEXT},
    {"--ctx", "N|max", "tokens that the context holds, max for the model's (what fits the device; cpu: 4096; perplexity: 512)",
     FIELD(plan.n_ctx), 1, MAX_CTX, EVALUATING | COMMAND_PLAN, KIND_CTX},
    {"--kv", "TYPE", "type of the KV cache: q8_0, or q4_0, which takes half (q8_0)", FIELD(plan.kv_type), 0, 0,
     EVALUATING | COMMAND_PLAN, KIND_KV},
    {"--vram-budget", "6GiB", "of the device's memory at most; what it does not hold lies in the host's (what is free)",
     FIELD(plan.vram_budget), 0, 0, EVALUATING | COMMAND_PLAN, KIND_BYTES},
    {"--device-bandwidth", "B", "GB/s at which the device reads its own memory (300; integrated: 60; software: 10)", FIELD(device_gb_s), 1e-3, 1e6,
     COMMAND_PLAN, KIND_FLOAT},
    {"--host-bandwidth", "B", "GB/s at which the device reads the host's memory (12; where they share it: the device's)", FIELD(host_gb_s), 1e-3,
     1e6, COMMAND_PLAN, KIND_FLOAT},
    {"--threads", "N", "threads of the device cpu (one per processor)", FIELD(n_threads), 1, 64, EVALUATING, KIND_U32},
    {"--no-bos", NULL, "add no beginning-of-text token", FIELD(no_bos), 0, 0,
     COMMAND_RUN | COMMAND_CHAT | COMMAND_TOKENIZE | COMMAND_PERPLEXITY, KIND_FLAG},
    {"--validation", NULL, "for developers: the Vulkan validation layer; a message of it makes the exit code 1",
     FIELD(validation), 0, 0, EVALUATING | COMMAND_DEVICES, KIND_FLAG},
    {"--help", NULL, "print this", FIELD(help), 0, 0, ~0u, KIND_FLAG},
};
/* clang-format on */

enum { N_OPTIONS = sizeof table / sizeof *table };

bool parse_integer(const char *text, uint64_t lowest, uint64_t highest, uint64_t *value) {
  size_t length = strlen(text);
  if (length == 0 || strspn(text, "0123456789") != length) /* strtoull alone would take blanks and signs */
    return false;
  errno = 0;
  unsigned long long number = strtoull(text, NULL, 10);
  if (errno != 0 || number < lowest || number > highest)
    return false;
  *value = number;
  return true;
}

bool parse_bytes(const char *text, uint64_t *value) {
  static const struct {
    const char *name;
    double bytes;
  } units[] = {{"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"", 1.0}};
  char digits[32];
  float ignored = 0.0f;
  size_t n = strspn(text, "0123456789.");
  if (n == 0 || n >= sizeof digits)
    return false;
  memcpy(digits, text, n);
  digits[n] = 0;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strcmp(text + n, units[i].name) != 0 || !parse_number(digits, 0, 1e15, &ignored))
      continue;
    double bytes = strtod(digits, NULL) * units[i].bytes;
    *value = bytes < 1e18 ? (uint64_t)bytes : 0;
    return *value > 0;
  }
  return false;
}

bool parse_number(const char *text, double lowest, double highest, float *value) {
  size_t length = strlen(text);
  if (length == 0 || strspn(text, "+-.0123456789eE") != length) /* no blanks, no hexadecimal, no "nan" */
    return false;
  char *end = NULL;
  float number = strtof(text, &end);
  /* Compared as f32, so that a limit such as 1e-3 is itself allowed. */
  if (*end != 0 || !isfinite(number) || number < (float)lowest || number > (float)highest)
    return false;
  *value = number;
  return true;
}

static const option *find(const command *cmd, const char *name, size_t length) {
  for (size_t i = 0; i < N_OPTIONS; i++)
    if ((table[i].commands & (unsigned)cmd->id) != 0 && strlen(table[i].name) == length &&
        memcmp(table[i].name, name, length) == 0)
      return &table[i];
  return NULL;
}

/* Sets the option's field. False, with a message, when the value is wrong. */
static bool set(const command *cmd, const option *o, const char *value, options *opt) {
  void *field = (char *)opt + o->field;
  uint64_t number = 0;
  switch (o->kind) {
  case KIND_FLAG:
    *(bool *)field = true;
    return true;
  case KIND_TEXT:
    *(const char **)field = value;
    return true;
  case KIND_STOP:
    if (value[0] == 0 || opt->n_stops == MAX_STOPS) {
      print_error("%s: %s", cmd->name,
                  value[0] == 0 ? "a stop string may not be empty" : "there are more stop strings than 32");
      return false;
    }
    opt->stops[opt->n_stops++] = value;
    return true;
  case KIND_U32:
    if (!parse_integer(value, (uint64_t)o->lowest, (uint64_t)o->highest, &number)) {
      print_error("%s: %s takes a whole number from %.0f to %.0f, not \"%s\"", cmd->name, o->name, o->lowest,
                  o->highest, value);
      return false;
    }
    *(uint32_t *)field = (uint32_t)number;
    return true;
  case KIND_SEED:
    if (!parse_integer(value, 0, UINT64_MAX, &opt->sampling.seed)) {
      print_error("%s: %s takes a whole number below 2^64, not \"%s\"", cmd->name, o->name, value);
      return false;
    }
    opt->seed_given = true;
    return true;
  case KIND_FLOAT:
    if (!parse_number(value, o->lowest, o->highest, field)) {
      print_error("%s: %s takes a number from %g to %g, not \"%s\"", cmd->name, o->name, o->lowest, o->highest, value);
      return false;
    }
    return true;
  case KIND_CTX:
    number = HN_CTX_MAX;
    if (strcmp(value, "max") != 0 && !parse_integer(value, (uint64_t)o->lowest, (uint64_t)o->highest, &number)) {
      print_error("%s: %s takes a whole number from %.0f to %.0f, or max, not \"%s\"", cmd->name, o->name, o->lowest,
                  o->highest, value);
      return false;
    }
    *(uint32_t *)field = (uint32_t)number;
    return true;
  case KIND_BYTES:
    if (!parse_bytes(value, field)) {
      print_error("%s: %s takes a size such as 6GiB, 5632MiB or a number of bytes, not \"%s\"", cmd->name, o->name, value);
      return false;
    }
    return true;
  case KIND_KV:
    *(hn_kv_type *)field = strcmp(value, "q4_0") == 0 ? HN_KV_Q4_0 : HN_KV_Q8_0;
    if (strcmp(value, "q8_0") == 0 || strcmp(value, "q4_0") == 0)
      return true;
    print_error("%s: %s \"%s\" is not known: there are q8_0 and q4_0", cmd->name, o->name, value);
    return false;
  }
  return false;
}

static bool parse_positional(const command *cmd, const char *argument, options *opt) {
  if (cmd->positional == NULL || opt->positional != NULL) {
    print_error("%s: unexpected argument \"%s\": see hornito %s --help", cmd->name, argument, cmd->name);
    return false;
  }
  opt->positional = argument;
  return true;
}

bool options_parse(const command *cmd, int argc, char **argv, options *opt) {
  *opt =
      (options){.n_predict = UINT32_MAX,
                .sampling = {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1.0f}};
  bool only_positional = false;
  for (int i = 0; i < argc; i++) {
    const char *argument = argv[i];
    if (only_positional || argument[0] != '-' || argument[1] == 0) {
      if (!parse_positional(cmd, argument, opt))
        return false;
      continue;
    }
    if (strcmp(argument, "--") == 0) {
      only_positional = true;
      continue;
    }
    const char *equals = argument[1] == '-' ? strchr(argument, '=') : NULL;
    const option *o = find(cmd, argument, equals != NULL ? (size_t)(equals - argument) : strlen(argument));
    if (strcmp(argument, "-h") == 0)
      o = find(cmd, "--help", strlen("--help"));
    if (o == NULL) {
      print_error("%s: unknown option \"%s\": see hornito %s --help", cmd->name, argument, cmd->name);
      return false;
    }
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (o->kind == KIND_FLAG && value != NULL) {
      print_error("%s: %s takes no value", cmd->name, o->name);
      return false;
    }
    if (o->kind != KIND_FLAG && value == NULL) {
      if (i + 1 == argc) {
        print_error("%s: %s needs a value: %s", cmd->name, o->name, o->argument);
        return false;
      }
      value = argv[++i];
    }
    if (!set(cmd, o, value, opt))
      return false;
  }
  return true;
}

void options_help(const command *cmd) {
  out_printf("usage: hornito %s %s\n\n%s\n", cmd->name, cmd->arguments, cmd->summary);
  if (cmd->details[0] != 0)
    out_printf("%s\n", cmd->details);
  out_printf("\n");
  for (size_t i = 0; i < N_OPTIONS; i++) {
    if ((table[i].commands & (unsigned)cmd->id) == 0)
      continue;
    char left[64];
    snprintf(left, sizeof left, "%s %s", table[i].name, table[i].argument != NULL ? table[i].argument : "");
    out_printf("  %-22s %s\n", left, table[i].help);
  }
}
