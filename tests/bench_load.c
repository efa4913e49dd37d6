/*
 * bench_load FILE [ROUNDS]: how fast a model's file gets onto Vulkan device 0, beside a plain copy of the same mapped file into fresh
 * memory. Both in turn, with the file in the page cache; prints the median rates, their ratio and the peak of resident memory. Exit 1
 * where loading reaches less than LEAST_RATIO of the copy, 77 where there is no device. drivers/on chooses the driver.
 *
 * The time of loading counts from when the shaders are ready. Compiling and testing them takes the same second or two for every model, and
 * none where a driver has them in its cache; it is printed too.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../runtime/hornito.h"

enum { ROUNDS = 5, MAX_ROUNDS = 99, PIECE = 1 << 20, EXIT_SKIPPED = 77 };

#define LEAST_RATIO 0.60 /* what loading must reach of a copy */

typedef struct file {
  const char *path;
  int fd;
  size_t bytes;
} file;

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A mapping of its own each time, as a load has; 0 where it fails. */
static double copy_seconds(const file *f) {
  double start = seconds_now(), seconds = 0;
  uint8_t *from = mmap(NULL, f->bytes, PROT_READ, MAP_SHARED, f->fd, 0), *to = malloc(f->bytes);
  if (from != MAP_FAILED && to) {
    for (size_t at = 0; at < f->bytes; at += PIECE)
      memcpy(to + at, from + at, f->bytes - at < PIECE ? f->bytes - at : PIECE);
    seconds = seconds_now() - start;
    if (to[f->bytes / 2] != from[f->bytes / 2]) /* the copy is wanted */
      seconds = 0;
  }
  if (from != MAP_FAILED)
    munmap(from, f->bytes);
  free(to);
  return seconds;
}

/* The copies are made by a process of their own, so that what they hold is not counted as the loading's. */
typedef struct copier {
  pid_t pid;
  int ask, answer; /* pipes: a byte asks for a copy, the answer is its seconds */
} copier;

static void serve_copies(const file *f, int ask, int answer) {
  char byte;
  while (read(ask, &byte, 1) == 1) {
    double seconds = copy_seconds(f);
    if (write(answer, &seconds, sizeof seconds) != (ssize_t)sizeof seconds)
      break;
  }
  _exit(0);
}

static bool copier_init(const file *f, copier *out) {
  int ask[2], answer[2];
  if (pipe(ask) || pipe(answer) || (out->pid = fork()) < 0)
    return false;
  if (out->pid == 0) {
    close(ask[1]);
    close(answer[0]);
    serve_copies(f, ask[0], answer[1]);
  }
  close(ask[0]);
  close(answer[1]);
  out->ask = ask[1];
  out->answer = answer[0];
  return true;
}

static void copier_finish(copier *c) {
  close(c->ask);
  close(c->answer);
  waitpid(c->pid, NULL, 0);
}

static double copier_seconds(const copier *c) {
  double seconds = 0;
  if (write(c->ask, "c", 1) != 1 || read(c->answer, &seconds, sizeof seconds) != (ssize_t)sizeof seconds)
    return 0;
  return seconds;
}

static bool note_start(void *user, uint64_t done, uint64_t total) {
  double *start = user;
  (void)total;
  if (done == 0)
    *start = seconds_now();
  return true;
}

/* *before: what came before the first byte of weights. 0 where it fails. */
static double load_seconds(hn_context *ctx, const file *f, double *before) {
  hn_error err = {0};
  hn_model *model = NULL;
  double begin = seconds_now(), start = 0;
  hn_memory memory = {0};
  hn_context_memory(ctx, 0, &memory, NULL);
  hn_model_params params = {.device = "0", .plan = {.vram_budget = memory.device_free, .n_ctx = 64}, .progress = note_start,
                            .progress_user = &start};
  hn_status status = hn_model_load(ctx, f->path, &params, &model, &err);
  double end = seconds_now();
  hn_model_destroy(&model);
  if (status || start <= 0) {
    printf("FAILED: %s\n", status ? err.message : "no progress");
    return 0;
  }
  *before = start - begin;
  return end - start;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, size_t n) {
  qsort(values, n, sizeof *values, compare_doubles);
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

static int run(hn_context *ctx, const file *f, const copier *c, size_t rounds) {
  double copies[MAX_ROUNDS], loads[MAX_ROUNDS], before = 0, gigabytes = (double)f->bytes * 1e-9;
  struct rusage usage;
  if (copier_seconds(c) <= 0) /* brings the file into the page cache */
    return 1;
  for (size_t i = 0; i < rounds; i++) {
    loads[i] = load_seconds(ctx, f, &before);
    copies[i] = copier_seconds(c);
    if (loads[i] <= 0 || copies[i] <= 0)
      return 1;
    printf("copied at %.2f GB/s, loaded at %.2f GB/s, %.1f s after the start\n", gigabytes / copies[i], gigabytes / loads[i], before);
  }
  double ratio = median(copies, rounds) / median(loads, rounds);
  getrusage(RUSAGE_SELF, &usage);
  printf("medians of %zu: copy %.2f GB/s, load %.2f GB/s, ratio %.2f; %.2f GB, at most %.2f GB resident\n", rounds,
         gigabytes / median(copies, rounds), gigabytes / median(loads, rounds), ratio, gigabytes, (double)usage.ru_maxrss * 1024e-9);
  if (ratio < LEAST_RATIO)
    printf("FAILED: less than %.2f\n", LEAST_RATIO);
  return ratio < LEAST_RATIO;
}

int main(int argc, char **argv) {
  size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : ROUNDS;
  struct stat st;
  hn_context *ctx = NULL;
  hn_device_info info;
  hn_error err = {0};
  if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS) {
    fputs("usage: bench_load FILE [ROUNDS]\n", stderr);
    return 2;
  }
  file f = {.path = argv[1], .fd = open(argv[1], O_RDONLY)};
  if (f.fd < 0 || fstat(f.fd, &st)) {
    perror(f.path);
    return 1;
  }
  f.bytes = (size_t)st.st_size;
  setvbuf(stdout, NULL, _IOLBF, 0);
  copier c;
  if (!copier_init(&f, &c)) {
    perror("bench_load");
    return 1;
  }
  if (hn_context_create(NULL, &ctx, &err) || hn_context_device(ctx, 0, &info, NULL)) {
    puts("skipped: no Vulkan device");
    hn_context_destroy(&ctx);
    copier_finish(&c);
    return EXIT_SKIPPED;
  }
  printf("%s\n", info.name);
  int code = run(ctx, &f, &c, rounds);
  hn_context_destroy(&ctx);
  copier_finish(&c);
  close(f.fd);
  return code;
}
