/*
 * tuning_file.h: the constants of kernels that gpu-bench --tune found the fastest on a device, in a text file beside the pipeline cache, one
 * for each device and driver version. Every choice gives the same bits, so a file may be missing, or be deleted, at any time.
 *
 *     hornito tuning 1
 *     device UUID-DRIVER
 *     MODULE HASH CONSTANT ...       of each module: the hash of its SPIR-V, constant_id 0, 1, ...
 *     end HASH                       of all that comes before
 *
 * A file that is damaged or another device's is ignored, and so is a line with a module that this build does not have, or has otherwise, or
 * with constants that are none of the choices (tuning.h).
 */
#ifndef HN_TUNING_FILE_H
#define HN_TUNING_FILE_H

#include "../shaders/spirv.h"
#include "gpu.h"

typedef struct tuned_module {
  const char *module; /* its name, static */
  uint32_t n, constants[GPU_MAX_CONSTANTS];
} tuned_module;

/* The zero value is empty. */
typedef struct tuning_file {
  tuned_module *modules;
  size_t n;
} tuning_file;

/* As tuning_choice, by module. */
typedef uint32_t (*tuning_choices)(uint32_t choice, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]);
uint32_t tuning_file_choice(uint32_t choice, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]);

/* Writes a module's constants and returns their number; 0: it has none here. */
uint32_t tuning_file_find(const tuning_file *tuned, const char *module, uint32_t constants[GPU_MAX_CONSTANTS]);

/* Adds or replaces those of a module; n: 1 .. GPU_MAX_CONSTANTS. module: a name that outlives it. Errors: OUT_OF_MEMORY. */
hn_status tuning_file_put(tuning_file *tuned, const char *module, const uint32_t *constants, uint32_t n, hn_error *err);

bool tuning_file_forget(tuning_file *tuned, const char *module); /* whether it was there */
void tuning_file_finish(tuning_file *tuned);

/* What the file in `dir` says; nothing where it is ignored or dir is NULL. modules: ends with an empty one. */
void tuning_file_read(const gpu_device *device, const char *dir, const spirv_module *modules, tuning_choices choices, tuning_file *out);

/* The same of a text of n bytes, with key as of gpu_cache_key. */
void tuning_file_parse(const char *text, size_t n, const char *key, const spirv_module *modules, tuning_choices choices, tuning_file *out);

/* Writes it whole, or not at all. Errors: IO, OUT_OF_MEMORY. */
hn_status tuning_file_write(const gpu_device *device, const char *dir, const spirv_module *modules, const tuning_file *tuned, hn_error *err);

#endif
