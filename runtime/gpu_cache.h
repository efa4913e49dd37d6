/*
 * gpu_cache.h: the pipeline cache on disk, one file per device and driver version, and where other files of that kind lie.
 *
 * A file is a header (magic, version, length, FNV-1a hash of the data) and the driver's own data. One that is missing,
 * damaged or not ours is ignored; failing to write one is logged, never an error.
 */
#ifndef HN_GPU_CACHE_H
#define HN_GPU_CACHE_H

#include "gpu.h"

/* Sets device->cache and device->cache_path. dir may be NULL. Errors: OUT_OF_MEMORY, VULKAN. */
hn_status gpu_cache_open(gpu_device *device, const char *dir, hn_error *err);

/* Writes the file if its contents changed. A device without a cache is accepted. */
void gpu_cache_close(gpu_device *device);

#define GPU_CACHE_KEY (2 * VK_UUID_SIZE + 10) /* bytes */

/* "UUID-DRIVER" in hexadecimal digits: the device and its driver's version. */
void gpu_cache_key(const gpu_device *device, char key[GPU_CACHE_KEY]);

/* "DIR/KIND-UUID-DRIVER.SUFFIX", the caller's to free. NULL: out of memory. */
char *gpu_cache_path(const gpu_device *device, const char *dir, const char *kind, const char *suffix);

/* Creates dir and its parents as far as they are missing. */
void gpu_cache_make_dirs(const char *dir);

#endif
