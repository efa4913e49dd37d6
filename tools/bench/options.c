#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "../output.h"
#include "compare.h"
#include "fields.h"

enum { MAX_TOKENS = 1 << 20, MAX_RUNS = 1000 };

static const char usage[] =
    "Usage: gpu-bench [options]\n"
    "\n"
    "Measures what a GPU can do, and how near to it a language model comes.\n"
    "\n"
    "  -m FILE               a GGUF model; may be given several times (default: the model of tools/fetch-model, if it is there)\n"
    "  -p N[,N...]           tokens of the prompts (default 128,512)\n"
    "  -n N                  tokens to decode (default 16)\n"
    "  --depth N[,N...]      tokens that the context holds before (default 0,2048); the cache is filled, not computed\n"
    "  -r N                  repetitions (default 5); what is slow is repeated less often\n"
    "  --device I|NAME|all   an index or a part of a name as `hornito devices` lists them (default: the best)\n"
    "  --kernels [PATTERN]   every kernel at the (first) model's shapes, or those whose name contains PATTERN\n"
    "  --growth              how the time of a token grows: with the context (default --depth 0,1024,4096,8192; the line through them and the\n"
    "                        speed at which the KV cache is read) and with the prompt (default -p 128,512,1024,2048,4096), both at most as\n"
    "                        long as the model's context\n"
    "  --timeline            the GPU's time in one decode step of the (first) model, kernel by kernel, and the gaps between\n"
    "  --tune                measure nothing else: which sizes of workgroups and the like, which change no bit, are the fastest on this device\n"
    "                        for the kernels of the models, in a prompt and -n decoded tokens (the first -p and --depth). Models loaded later\n"
    "                        take the best from a file beside the pipeline cache, which may be deleted\n"
    "  --fits [MODEL]        measure nothing: whether a model fits the device's memory, and with how long a context, for each type of the\n"
    "                        KV cache; MODEL: a GGUF file, 8B-Q4_0 or 8B-Q4_K_M (Llama-3.1-8B; default: both); exit code 0 if it fits\n"
    "  --models-only         leave out the device's own bandwidths, rates and latencies\n"
    "  -o table|json|csv|md  what to print (default table)\n"
    "  --save FILE           write the result as JSON\n"
    "  --compare FILE        compare with a saved result; exit code 1 if something became slower\n"
    "  --svg FILE            draw the roofline of the (first) device, each kernel a point in it\n"
    "  --help, --help-json   this; the fields of the JSON\n"
    "\n" BENCH_COMPARE_RULE ".\n";

typedef struct parser {
  int argc, at;
  char **argv;
  bool failed;
} parser;

/* The value of the option at hand. */
static const char *value_of(parser *p) {
  if (p->at + 1 < p->argc)
    return p->argv[++p->at];
  print_error("%s wants a value: see gpu-bench --help", p->argv[p->at]);
  p->failed = true;
  return "";
}

static const char *optional_value(parser *p) {
  return p->at + 1 < p->argc && p->argv[p->at + 1][0] != '-' ? p->argv[++p->at] : "";
}

static uint32_t number_of(parser *p, const char *text, const char *option, long lowest, long highest, const char **end) {
  char *after;
  long n = strtol(text, &after, 10);
  if (after == text || (*after != 0 && *after != ',') || n < lowest || n > highest) {
    print_error("%s wants a number of %ld to %ld, not '%s'", option, lowest, highest, text);
    p->failed = true;
    n = lowest;
    after = (char *)(uintptr_t)"";
  }
  *end = after;
  return (uint32_t)n;
}

static uint32_t one_number(parser *p, long lowest, long highest) {
  const char *option = p->argv[p->at], *end, *text = value_of(p);
  uint32_t n = p->failed ? 0 : number_of(p, text, option, lowest, highest, &end);
  if (!p->failed && *end) {
    print_error("%s wants one number, not '%s'", option, text);
    p->failed = true;
  }
  return n;
}

static void numbers(parser *p, long lowest, uint32_t list[BENCH_MAX_LIST], uint32_t *n) {
  const char *option = p->argv[p->at], *text = value_of(p);
  *n = 0;
  while (!p->failed) {
    if (*n == BENCH_MAX_LIST) {
      print_error("%s takes at most %d numbers", option, BENCH_MAX_LIST);
      p->failed = true;
      return;
    }
    list[(*n)++] = number_of(p, text, option, lowest, MAX_TOKENS, &text);
    if (*text == 0)
      return;
    text++;
  }
}

static void add_model(parser *p, bench_options *o) {
  const char *path = value_of(p);
  if (o->n_models == BENCH_MAX_LIST) {
    print_error("at most %d models", BENCH_MAX_LIST);
    p->failed = true;
  } else {
    o->models[o->n_models++] = path;
  }
}

static void parse_one(parser *p, bench_options *o) {
  const char *option = p->argv[p->at];
  if (strcmp(option, "-m") == 0)
    add_model(p, o);
  else if (strcmp(option, "-p") == 0)
    numbers(p, 1, o->prompts, &o->n_prompts);
  else if (strcmp(option, "--depth") == 0)
    numbers(p, 0, o->depths, &o->n_depths);
  else if (strcmp(option, "-n") == 0)
    o->n_decode = one_number(p, 1, MAX_TOKENS);
  else if (strcmp(option, "-r") == 0)
    o->runs = one_number(p, 1, MAX_RUNS);
  else if (strcmp(option, "--device") == 0)
    o->device = value_of(p);
  else if (strcmp(option, "--kernels") == 0)
    o->kernels = optional_value(p);
  else if (strcmp(option, "--fits") == 0)
    o->fits = optional_value(p);
  else if (strcmp(option, "--timeline") == 0)
    o->timeline = true;
  else if (strcmp(option, "--tune") == 0)
    o->tune = true;
  else if (strcmp(option, "--growth") == 0)
    o->growth = true;
  else if (strcmp(option, "--models-only") == 0)
    o->models_only = true;
  else if (strcmp(option, "--save") == 0)
    o->save = value_of(p);
  else if (strcmp(option, "--compare") == 0)
    o->compare = value_of(p);
  else if (strcmp(option, "--svg") == 0)
    o->svg = value_of(p);
  else if (strcmp(option, "-o") == 0) {
    const char *name = value_of(p);
    if (!p->failed && !report_parse_format(name, &o->format)) {
      print_error("-o takes table, json, csv or md, not '%s'", name);
      p->failed = true;
    }
  } else {
    print_error("no option '%s': see gpu-bench --help", option);
    p->failed = true;
  }
}

static void fill_lists(bench_options *o) {
  static const bench_options usual = {.prompts = {128, 512}, .n_prompts = 2, .depths = {0, 2048}, .n_depths = 2},
                             growth = {.prompts = {128, 512, 1024, 2048, 4096}, .n_prompts = 5, .depths = {0, 1024, 4096, 8192}, .n_depths = 4};
  const bench_options *from = o->growth ? &growth : &usual;
  if (o->n_prompts == 0) {
    memcpy(o->prompts, from->prompts, sizeof o->prompts);
    o->n_prompts = from->n_prompts;
  }
  if (o->n_depths == 0) {
    memcpy(o->depths, from->depths, sizeof o->depths);
    o->n_depths = from->n_depths;
  }
}

options_result bench_options_parse(int argc, char **argv, bench_options *out) {
  parser p = {.argc = argc, .argv = argv};
  *out = (bench_options){.n_decode = 16, .runs = 5};
  for (p.at = 1; p.at < argc && !p.failed; p.at++) {
    if (strcmp(argv[p.at], "--help") == 0 || strcmp(argv[p.at], "-h") == 0) {
      out_printf("%s", usage);
      return OPTIONS_DONE;
    }
    if (strcmp(argv[p.at], "--help-json") == 0) {
      bench_fields_help(stdout);
      return OPTIONS_DONE;
    }
    parse_one(&p, out);
  }
  if (!p.failed && out->fits && out->format == REPORT_CSV) {
    print_error("--fits prints a table, JSON or Markdown, not CSV");
    p.failed = true;
  }
  if (!p.failed && out->tune && (out->format == REPORT_CSV || out->format == REPORT_JSON)) {
    print_error("--tune prints a table or Markdown");
    p.failed = true;
  }
  fill_lists(out);
  return p.failed ? OPTIONS_WRONG : OPTIONS_OK;
}
