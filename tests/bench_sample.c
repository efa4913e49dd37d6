/* bench_sample.c: see bench_sample.h. */
#include "bench_sample.h"

#include <stdio.h>

static bench_stat around(double median) {
  return (bench_stat){median, median * 0.98, median * 1.03, 5};
}

static bool add_model(bench_result *r, const char *file, double speed) {
  static const struct {
    const char *name;
    uint32_t n, depth;
    double tok_s, gb_s;
  } tests[] = {{"prompt", 128, 0, 2310, 41.5},
               {"prompt", 512, 0, 3120, 18.75},
               {"decode", 64, 0, 211, 20.5},
               {"decode", 64, 2048, 163, 17.25}};
  bench_model *m = bench_add_model(r);
  if (m == NULL)
    return false;
  snprintf(m->file, sizeof m->file, "%s", file);
  snprintf(m->description, sizeof m->description, "llama 135 M, Q4_1");
  m->weight_bytes = 98123456;
  m->peak_device_bytes = 134217728;
  m->peak_rss_bytes = 187654321;
  m->plan_device_bytes = 134348800;
  m->plan_host_bytes = 35651584;
  m->load_rss_bytes = 176543210;
  m->kv_bytes_per_1024 = 12533760;
  m->load_s = bench_stat_once(0.625 / speed);
  m->load_gb_s = bench_stat_once(0.15 * speed);
  m->first_token_ms = around(55.5 / speed);
  m->first_token_n = 128;
  m->step = (bench_step){.dispatches = 272, .barriers = 241, .submits = 1, .host_us = around(83.25 / speed)};
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    bench_test *t = bench_add_test(m);
    if (t == NULL)
      return false;
    snprintf(t->name, sizeof t->name, "%s", tests[i].name);
    t->n = tests[i].n;
    t->depth = tests[i].depth;
    t->tok_s = around(tests[i].tok_s * speed);
    t->gb_s = around(tests[i].gb_s * speed);
  }
  return true;
}

static bool add_kernels(bench_result *r) {
  static const struct {
    const char *module, *shape;
    double us, bytes, ops;
    bool integer;
  } kernels[] = {
      {"matvec_q4_1", "960 x 576, 1 token", 14.5, 352e3, 1.106e6, true},
      {"matvec_q4_1", "576 x 576, 1 token", 10.25, 212e3, 0.664e6, true},
      {"matvec_q4_1", "3072 x 576, 1 token", 31.5, 1.11e6, 3.54e6, true},
      {"matvec_q4_1", "576 x 1536, 1 token", 18.75, 557e3, 1.77e6, true},
      {"matvec_q8_0", "49152 x 576, 1 token", 361, 30.1e6, 56.6e6, true},
      {"matmat_q4_1", "960 x 576, 512 tokens", 402, 2.9e6, 566e6, true},
      {"matmat_q4_1", "3072 x 576, 512 tokens", 1190, 8.1e6, 1811e6, true},
      {"matmat_q4_1", "576 x 1536, 512 tokens", 633, 3.2e6, 906e6, true},
      {"attention", "depth 2048, 1 token", 76.5, 983e3, 4.72e6, true},
      {"attention", "depth 0, 512 tokens", 941, 1.9e6, 302e6, true},
      {"norm_quant", "576, 1 token", 5.125, 7.1e3, 3.5e3, false},
      {"norm_quant", "576, 512 tokens", 41.5, 3.6e6, 1.8e6, false},
      {"swiglu_quant", "1536, 512 tokens", 88.5, 7.1e6, 11.8e6, false},
      {"rope_store", "576, 512 tokens", 33.5, 2.1e6, 1.5e6, false},
      {"embed_q8_0", "576, 512 tokens", 19.5, 1.49e6, 0, false},
  };
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    bench_kernel *k = bench_add_kernel(r);
    if (k == NULL)
      return false;
    snprintf(k->module, sizeof k->module, "%s", kernels[i].module);
    snprintf(k->shape, sizeof k->shape, "%s", kernels[i].shape);
    k->us = around(kernels[i].us);
    k->bytes = kernels[i].bytes;
    k->ops = kernels[i].ops;
    k->integer = kernels[i].integer;
  }
  return true;
}

/* norm_quant runs 2 us, matvec_q4_1 8 us; the second matvec_q4_1 of each round overlaps the first by 4 us; gaps 1 us.
 */
static bool add_spans(bench_result *r) {
  static const struct {
    const char *kernel;
    double start, end;
  } spans[] = {{"norm_quant", 0, 2}, {"matvec_q4_1", 3, 11}, {"matvec_q4_1", 7, 15}};
  for (int round = 0; round < 4; round++)
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
      bench_span *s = bench_add_span(r);
      if (s == NULL)
        return false;
      snprintf(s->kernel, sizeof s->kernel, "%s", spans[i].kernel);
      s->start_us = 16.0 * round + spans[i].start;
      s->end_us = 16.0 * round + spans[i].end;
    }
  return true;
}

bool bench_sample(bench_result *r) {
  *r = (bench_result){
      .program = "hornito 0.1.0",
      .device = {.name = "Example Graphics 780 (GFX1103)",
                 .driver = "Mesa 25.1.4, radv",
                 .type = "integrated",
                 .gpu_clock = true,
                 .read_gb_s = around(91.5),
                 .write_gb_s = around(83.75),
                 .copy_gb_s = around(79.25),
                 .upload_gb_s = around(24.5),
                 .download_gb_s = around(22.75),
                 .int8_gop_s = around(15625),
                 .f32_gflop_s = around(7812.5),
                 .dispatch_us = around(4.25),
                 .dependent_us = around(7.75)},
  };
  return add_model(r, "SmolLM2-135M-Instruct.Q4_1.gguf", 1.0) && add_model(r, "models/other.gguf", 0.5) &&
         add_kernels(r) && add_spans(r);
}
