#include "tuning_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu_cache.h"
#include "hash.h"
#include "new_file.h"
#include "tuning.h"

#define HEAD "hornito tuning 1\ndevice %s\n"
#define TAIL "end %016" PRIx64 "\n"
enum { MAX_BYTES = 64 << 10, TAIL_BYTES = 4 + 16 + 1, HEAD_BYTES = 64 + GPU_CACHE_KEY };

/* ---- the list ---- */

uint32_t tuning_file_choice(uint32_t choice, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]) {
  kernel_id id;
  uint32_t type;
  return kernel_of(module, &id, &type) ? tuning_choice(choice, id, module, constants) : 0;
}

static tuned_module *find(const tuning_file *tuned, const char *module) {
  for (size_t i = 0; i < tuned->n; i++)
    if (strcmp(tuned->modules[i].module, module) == 0)
      return &tuned->modules[i];
  return NULL;
}

uint32_t tuning_file_find(const tuning_file *tuned, const char *module, uint32_t constants[GPU_MAX_CONSTANTS]) {
  const tuned_module *m = find(tuned, module);
  if (m)
    memcpy(constants, m->constants, m->n * sizeof *constants);
  return m ? m->n : 0;
}

hn_status tuning_file_put(tuning_file *tuned, const char *module, const uint32_t *constants, uint32_t n, hn_error *err) {
  tuned_module *m = find(tuned, module);
  if (!m) {
    tuned_module *grown = realloc(tuned->modules, (tuned->n + 1) * sizeof *grown);
    if (!grown)
      return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the constants of %s", module);
    tuned->modules = grown;
    m = &grown[tuned->n++];
  }
  *m = (tuned_module){.module = module, .n = n};
  memcpy(m->constants, constants, n * sizeof *constants);
  return HN_OK;
}

bool tuning_file_forget(tuning_file *tuned, const char *module) {
  tuned_module *m = find(tuned, module);
  if (m)
    *m = tuned->modules[--tuned->n];
  return m;
}

void tuning_file_finish(tuning_file *tuned) {
  free(tuned->modules);
  *tuned = (tuning_file){0};
}

/* ---- reading ---- */

static uint64_t hash_of(const spirv_module *module) {
  return hash_bytes(HASH_BEGIN, module->bytes, module->n_bytes);
}

static bool is_choice(const spirv_module *module, tuning_choices choices, const uint32_t *constants, uint32_t n) {
  uint32_t allowed[GPU_MAX_CONSTANTS], n_allowed;
  for (uint32_t i = 0; (n_allowed = choices(i, module, allowed)); i++)
    if (n == n_allowed && memcmp(constants, allowed, n * sizeof *constants) == 0)
      return true;
  return false;
}

/* "MODULE HASH CONSTANT ...\n"; what is wrong about it makes it no line of ours. */
static void parse_line(const char *line, const spirv_module *modules, tuning_choices choices, tuning_file *out) {
  uint32_t constants[GPU_MAX_CONSTANTS], n = 0;
  size_t name = strcspn(line, " \n");
  const spirv_module *m = modules;
  while (m->name && (strlen(m->name) != name || memcmp(m->name, line, name) != 0))
    m++;
  if (!m->name || line[name] != ' ')
    return;
  char *at;
  uint64_t hash = strtoull(line + name + 1, &at, 16);
  if (hash != hash_of(m))
    return;
  while (*at == ' ' && n < GPU_MAX_CONSTANTS) {
    unsigned long value = strtoul(at + 1, &at, 10);
    if (value > UINT32_MAX)
      return;
    constants[n++] = (uint32_t)value;
  }
  if (*at == '\n' && n > 0 && is_choice(m, choices, constants, n))
    tuning_file_put(out, m->name, constants, n, NULL); /* out of memory: as if it were not there */
}

void tuning_file_parse(const char *text, size_t n, const char *key, const spirv_module *modules, tuning_choices choices, tuning_file *out) {
  char head[HEAD_BYTES], tail[TAIL_BYTES + 1];
  *out = (tuning_file){0};
  size_t n_head = (size_t)snprintf(head, sizeof head, HEAD, key);
  if (n < n_head + TAIL_BYTES || n > MAX_BYTES || memcmp(text, head, n_head) != 0)
    return;
  n -= TAIL_BYTES;
  snprintf(tail, sizeof tail, TAIL, hash_bytes(HASH_BEGIN, text, n));
  if (text[n - 1] != '\n' || memcmp(text + n, tail, TAIL_BYTES) != 0 || memchr(text, 0, n))
    return;
  for (size_t at = n_head; at < n; at += strcspn(text + at, "\n") + 1)
    parse_line(text + at, modules, choices, out);
}

void tuning_file_read(const gpu_device *device, const char *dir, const spirv_module *modules, tuning_choices choices, tuning_file *out) {
  char key[GPU_CACHE_KEY], *path = dir ? gpu_cache_path(device, dir, "tuning", "txt") : NULL;
  FILE *file = path ? fopen(path, "rb") : NULL;
  char *text = file ? malloc(MAX_BYTES + 1) : NULL;
  *out = (tuning_file){0};
  if (text) {
    gpu_cache_key(device, key);
    tuning_file_parse(text, fread(text, 1, MAX_BYTES + 1, file), key, modules, choices, out);
  }
  if (file)
    fclose(file);
  free(text);
  free(path);
}

/* ---- writing ---- */

static void print_all(FILE *out, const char *key, const spirv_module *modules, const tuning_file *tuned) {
  fprintf(out, HEAD, key);
  for (const spirv_module *m = modules; m->name; m++) {
    const tuned_module *t = find(tuned, m->name);
    if (!t)
      continue;
    fprintf(out, "%s %016" PRIx64, m->name, hash_of(m));
    for (uint32_t i = 0; i < t->n; i++)
      fprintf(out, " %u", (unsigned)t->constants[i]);
    fputc('\n', out);
  }
}

static hn_status write_text(const char *path, const char *text, size_t n, hn_error *err) {
  new_file file;
  hn_status status = new_file_create(path, 0644, &file, err);
  if (status)
    return status;
  fwrite(text, 1, n, file.stream);
  fprintf(file.stream, TAIL, hash_bytes(HASH_BEGIN, text, n));
  return new_file_commit(&file, err);
}

hn_status tuning_file_write(const gpu_device *device, const char *dir, const spirv_module *modules, const tuning_file *tuned, hn_error *err) {
  char key[GPU_CACHE_KEY], *text = NULL, *path = gpu_cache_path(device, dir, "tuning", "txt");
  size_t n = 0;
  FILE *out = path ? open_memstream(&text, &n) : NULL;
  gpu_cache_key(device, key);
  if (out)
    print_all(out, key, modules, tuned);
  hn_status status = HN_OK;
  if (!out || fclose(out) != 0)
    status = hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the file of constants");
  gpu_cache_make_dirs(dir);
  if (!status)
    status = write_text(path, text, n, err);
  free(text);
  free(path);
  return status;
}
