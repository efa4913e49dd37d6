/*
 * test_bad_files HORNITO: damaged variants of a GGUF file. The program must refuse them with exit code 2 (or run them where the
 * damage cannot be told from data, 0), within MAX_SECONDS, without a crash. Meant for a build with sanitizers, which also limit
 * what one allocation may take: see ASAN_OPTIONS below.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "random_model.h"

enum { MAX_SECONDS = 5, EXIT_OK = 0, EXIT_REFUSED = 2, N_CUTS = 60, N_FLIPS = 100, N_OVERWRITTEN = 60 };

static const random_model model = {.type = QUANT_Q4_1, .n_embd = 64, .n_ff = 96, .n_layers = 2, .n_heads = 4, .n_kv_heads = 2,
                                   .head_dim = 16, .n_vocab = 270, .rope_scaling = "yarn", .tied = true};

static const char *hornito;
static char path[64], errors[80]; /* the damaged file; what the last run said */
static uint8_t *image; /* the good file */
static size_t size, header_bytes;
static uint64_t state = 12345;
static int n_variants, n_failed;

/* ---- one run ---- */

static void child(char *const argv[]) {
  if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "r", stdin) || !freopen(errors, "w", stderr))
    _exit(99);
  execv(argv[0], argv);
  _exit(99);
}

/* The exit code; -1 for a signal or a run that takes too long. */
static int run(char *const argv[]) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0)
    return -1;
  if (pid == 0)
    child(argv);
  struct timespec pause = {.tv_nsec = 5000000};
  int status = 0;
  for (int waited = 0; waited < MAX_SECONDS * 200; waited++) {
    if (waitpid(pid, &status, WNOHANG) == pid)
      return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    nanosleep(&pause, NULL);
  }
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  return -1;
}

static void write_file(const uint8_t *data, size_t n) {
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(data, 1, n, file) != n || fclose(file))
    exit(99);
}

static void print_failure(const char *what, int from_info, int from_run) {
  char line[512];
  FILE *file = fopen(errors, "r");
  printf("FAILED: %s: info gives %d, run %d\n", what, from_info, from_run);
  while (file && fgets(line, sizeof line, file))
    printf("  %s", line);
  if (file)
    fclose(file);
}

/* must_refuse: no reader could take this file for a good one. */
static void check(const char *what, const uint8_t *data, size_t n, bool must_refuse) {
  char *const info[] = {(char *)(uintptr_t)hornito, "info", path, NULL};
  char *const speak[] = {(char *)(uintptr_t)hornito, "run", "-m", path, "--raw", "-p", "he", "-n", "2", "--ctx", "8", "--device", "cpu", NULL};
  write_file(data, n);
  int from_info = run(info), from_run = run(speak);
  bool good = (from_info == EXIT_OK || from_info == EXIT_REFUSED) &&
              (from_run == EXIT_REFUSED || (from_run == EXIT_OK && !must_refuse));
  n_variants++;
  n_failed += !good;
  if (!good)
    print_failure(what, from_info, from_run);
}

/* ---- damage ---- */

/* What stands there anew is damage only where it differs. */
static void check_patch(const char *what, size_t at, const void *bytes, size_t n, bool must_refuse) {
  uint8_t *copy = malloc(size);
  if (!copy || at + n > size)
    exit(99);
  if (memcmp(image + at, bytes, n) == 0) {
    free(copy);
    return;
  }
  memcpy(copy, image, size);
  memcpy(copy + at, bytes, n);
  check(what, copy, size, must_refuse);
  free(copy);
}

/* The offset behind a text in the header. */
static size_t behind(const char *text) {
  size_t n = strlen(text);
  for (size_t i = 24; i + n <= header_bytes; i++)
    if (memcmp(image + i, text, n) == 0)
      return i + n;
  printf("no '%s' in the file\n", text);
  exit(99);
}

static void cut_files(void) {
  for (int i = 0; i < N_CUTS; i++) {
    size_t n = i < 30 ? (size_t)i * header_bytes / 30 : header_bytes + (size_t)(i - 30) * (size - header_bytes) / 30;
    char what[64];
    snprintf(what, sizeof what, "cut at %zu of %zu", n, size);
    check(what, image, n, true);
  }
}

static void flip_bits(void) {
  for (int i = 0; i < N_FLIPS; i++) {
    size_t at = random_bits(&state) % header_bytes;
    uint8_t byte = (uint8_t)(image[at] ^ 1u << random_bits(&state) % 8);
    char what[64];
    snprintf(what, sizeof what, "byte %zu is 0x%02x", at, byte);
    check_patch(what, at, &byte, 1, false);
  }
}

static void overwrite(void) {
  for (int i = 0; i < N_OVERWRITTEN; i++) {
    uint64_t garbage[2] = {random_bits(&state), random_bits(&state)};
    size_t at = random_bits(&state) % (size - sizeof garbage);
    if (i % 2) /* more often in the header */
      at %= header_bytes - sizeof garbage;
    if (i % 3 == 0) /* as a negative number, and a count of zero */
      garbage[0] = UINT64_MAX, garbage[1] = 0;
    char what[64];
    snprintf(what, sizeof what, "16 bytes at %zu", at);
    check_patch(what, at, garbage, sizeof garbage, false);
  }
}

static void damage_counts(void) {
  static const uint64_t values[] = {0, 1u << 20, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX / 8};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    check_patch("number of tensors", 8, &values[i], 8, true);
    check_patch("number of metadata entries", 16, &values[i], 8, true);
    check_patch("length of a key", 24, &values[i], 8, true);
    check_patch("number of tokens", behind("tokenizer.ggml.tokens") + 8, &values[i], 8, true);
    check_patch("length of a string", behind("general.architecture") + 4, &values[i], 8, true);
    check_patch("tensor's columns", behind("output_norm.weight") + 4, &values[i], 8, true);
    check_patch("tensor's offset", behind("output_norm.weight") + 16, &values[i], 8, true);
  }
}

static void damage_sizes(void) {
  static const char *const keys[] = {"llama.context_length", "llama.embedding_length", "llama.block_count", "llama.feed_forward_length",
                                     "llama.attention.head_count", "llama.attention.head_count_kv", "llama.attention.key_length",
                                     "llama.rope.dimension_count", "tokenizer.ggml.eos_token_id"};
  static const uint32_t values[] = {0, 1, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
  for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
    /* Three of them are hints: a model runs with another context, end or number of rotated dimensions. */
    bool hint = k == 0 || k == 7 || k == 8;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
      check_patch(keys[k], behind(keys[k]) + 4, &values[i], 4, !hint);
    for (uint32_t type = 0; type < 14; type++)
      if (type != 4 && type != 5)
        check_patch(keys[k], behind(keys[k]), &type, 4, false);
  }
}

static void damage_floats(void) {
  static const char *const keys[] = {"llama.attention.layer_norm_rms_epsilon", "llama.rope.scaling.factor"};
  static const uint32_t values[] = {0x7FC00000, 0x7F800000, 0xFF800000, 0x80000000, 0xBF800000, 1};
  for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
      check_patch(keys[k], behind(keys[k]) + 4, &values[i], 4, false);
}

static void damage_tensors(void) {
  static const char *const names[] = {"token_embd.weight", "blk.0.attn_norm.weight", "blk.1.ffn_down.weight"};
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    size_t dims = behind(names[k]), type_at = dims + 4 + (size_t)image[dims] * 8;
    for (uint32_t type = 0; type < 40; type++)
      if (type != image[type_at])
        check_patch(names[k], type_at, &type, 4, false);
    for (uint32_t n_dims = 0; n_dims < 8; n_dims++)
      if (n_dims != image[dims])
        check_patch("number of dimensions", dims, &n_dims, 4, true);
    uint64_t swapped[2];
    memcpy(&swapped[0], image + dims + 12, 8);
    memcpy(&swapped[1], image + dims + 4, 8);
    check_patch("swapped dimensions", dims + 4, swapped, sizeof swapped, swapped[0] != swapped[1]);
    check_patch("another tensor's name", dims - 4, "xxxx", 4, true);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fputs("usage: test_bad_files HORNITO\n", stderr);
    return 2;
  }
  hornito = argv[1];
  setenv("ASAN_OPTIONS", "max_allocation_size_mb=1024:allocator_may_return_null=0:detect_leaks=1", 1);
  setenv("VK_DRIVER_FILES", "/none", 1); /* the CPU alone: drivers leak */
  setenv("VK_ICD_FILENAMES", "/none", 1);
  setenv("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1", 1);
  random_model_save(&model, 7, path);
  snprintf(errors, sizeof errors, "%s.err", path);
  image = random_model_write(&model, 7, &size);
  header_bytes = size;                                            /* so that all of it is searched */
  header_bytes = behind("output_norm.weight") + 4 + 8 + 4 + 8;    /* the last tensor's entry ends the header */
  char *const good[] = {argv[1], "run", "-m", path, "--raw", "-p", "he", "-n", "2", "--ctx", "8", "--device", "cpu", NULL};
  if (run(good) != EXIT_OK) {
    puts("FAILED: the undamaged file does not run");
    n_failed++;
  }
  cut_files();
  flip_bits();
  overwrite();
  damage_counts();
  damage_sizes();
  damage_floats();
  damage_tensors();
  unlink(path);
  unlink(errors);
  free(image);
  printf("%d variants, %d failed\n", n_variants, n_failed);
  return n_failed ? 1 : 0;
}
