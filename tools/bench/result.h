/*
 * result.h: all that gpu-bench measures on one device, in plain structs. The measuring half fills them, the reporting
 * half (report.h, compare.h, svg.h) reads them. fields.c says how each field is called in JSON, and what it means.
 *
 * Units are decimal: 1 GB/s is 1e9 bytes a second, 1 Gop/s or GFLOP/s is 1e9 operations a second; a multiplication and
 * the addition of its product are two operations.
 */
#ifndef HN_BENCH_RESULT_H
#define HN_BENCH_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  BENCH_NAME = 128,  /* of a kernel's module; its shape */
  BENCH_FILE = 1024, /* of a file's name */
};

/* What several runs gave. */
typedef struct bench_stat {
  double median, min, max;
  uint32_t runs; /* 0: not measured, and the rest is not looked at */
} bench_stat;

typedef struct bench_device {
  char name[256];
  char driver[512]; /* name and version */
  char type[16];    /* "discrete", "integrated", "virtual", "software", "other" */
  bool gpu_clock;   /* kernels are timed by the device's timestamps; false: by the host's clock, with all that lies
                       between */
  bench_stat read_gb_s, write_gb_s, copy_gb_s; /* device memory; a copied byte is read and written, and counts twice */
  bench_stat upload_gb_s, download_gb_s;       /* host to device, device to host */
  bench_stat int8_gop_s, f32_gflop_s;
  bench_stat dispatch_us;  /* an empty dispatch */
  bench_stat dependent_us; /* two dispatches in a row, a barrier behind each */
} bench_device;

typedef struct bench_test {
  char name[16];  /* "prompt" or "decode" */
  uint32_t n;     /* tokens of the prompt, or decoded tokens */
  uint32_t depth; /* tokens that the context held before */
  bench_stat tok_s;
  bench_stat gb_s; /* the bytes that had to be read and written, by the time */
} bench_test;

typedef struct bench_step {               /* one decode step */
  uint32_t dispatches, barriers, submits; /* dispatches == 0: not measured */
  bench_stat host_us;                     /* the host's own work: recording and submitting; no waiting, no reading of logits */
} bench_step;

typedef struct bench_model {
  char file[BENCH_FILE];
  char description[BENCH_NAME];                             /* for people: "llama 135 M, Q4_1"; may be "" */
  uint64_t weight_bytes, peak_device_bytes, peak_rss_bytes; /* 0: not known */
  uint64_t plan_device_bytes, plan_host_bytes;              /* 0: not known */
  uint64_t kv_bytes_per_1024;                               /* of the KV cache, all layers, for 1024 positions; 0: not known */
  uint64_t load_rss_bytes;                                  /* most host memory of the process until it was loaded; 0: not known */
  bench_stat load_s, load_gb_s;                             /* until the first token can be computed; the file's bytes by that */
  bench_stat first_token_ms; /* from a prompt of first_token_n tokens to the first token of the answer */
  uint32_t first_token_n;
  bench_step step;
  bench_test *tests;
  size_t n_tests;
} bench_model;

typedef struct bench_kernel {
  char module[BENCH_NAME]; /* "matvec_q4_0" */
  char shape[BENCH_NAME];  /* "576 x 1536, 1 token" */
  bench_stat us;           /* of one dispatch */
  double bytes;            /* that one dispatch must read and write at least */
  double ops;              /* of one dispatch; 0: none to speak of */
  bool integer;            /* the operations are int8's, not f32's */
} bench_kernel;

typedef struct bench_span { /* one dispatch of a decode step */
  char kernel[BENCH_NAME];
  double start_us, end_us; /* since the step's begin */
} bench_span;

/* The zero value is an empty result. */
typedef struct bench_result {
  char program[64]; /* "hornito 0.1.0" */
  bench_device device;
  bench_model *models;
  bench_kernel *kernels;
  bench_span *spans; /* in the order of their start */
  size_t n_models, n_kernels, n_spans;
} bench_result;

/* Adds a zeroed element; NULL when memory is short. A pointer is valid until the next element of its kind is added. */
bench_model *bench_add_model(bench_result *r);
bench_test *bench_add_test(bench_model *m);
bench_kernel *bench_add_kernel(bench_result *r);
bench_span *bench_add_span(bench_result *r);

/* Frees what the result holds, and makes it empty. */
void bench_finish(bench_result *r);

/* Median, least and greatest of n samples, which are sorted. n == 0, or a sample that is no number: not measured. */
bench_stat bench_stat_of(double *samples, size_t n);

/* A stat of one run. */
bench_stat bench_stat_once(double value);

/* True when it was measured and can be shown: all finite, runs > 0. */
bool bench_measured(bench_stat s);

/*
 * The roofline: no dispatch is faster than memory brings its bytes and the units do its operations. In microseconds;
 * NAN when the device's bandwidth was not measured, and no arithmetic limit where its rate was not measured.
 */
double bench_attainable_us(const bench_device *d, double bytes, double ops, bool integer);

double bench_kernel_gb_s(const bench_kernel *k);                           /* at the median time; NAN: not measured */
double bench_kernel_gop_s(const bench_kernel *k);                          /* also GFLOP/s, see integer */
double bench_kernel_percent(const bench_device *d, const bench_kernel *k); /* 100: as fast as the roofline allows */
double bench_test_percent(const bench_device *d, const bench_test *t);     /* gb_s of the read bandwidth */

#endif
