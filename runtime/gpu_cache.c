#include "gpu_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hash.h"
#include "new_file.h"

#define MAGIC "hnpc" /* hornito pipeline cache */
enum { VERSION = 2, MAX_BYTES = 256 << 20 };

typedef struct cache_header {
  char magic[4];
  uint32_t version;
  uint64_t bytes; /* of the data behind */
  uint64_t hash;  /* of the data */
} cache_header;

void gpu_cache_key(const gpu_device *device, char key[GPU_CACHE_KEY]) {
  VkPhysicalDeviceProperties properties;
  vkGetPhysicalDeviceProperties(device->physical, &properties);
  for (size_t i = 0; i < VK_UUID_SIZE; i++)
    snprintf(key + 2 * i, 3, "%02x", properties.pipelineCacheUUID[i]);
  snprintf(key + 2 * (size_t)VK_UUID_SIZE, 10, "-%08x", (unsigned)properties.driverVersion);
}

char *gpu_cache_path(const gpu_device *device, const char *dir, const char *kind, const char *suffix) {
  char key[GPU_CACHE_KEY];
  size_t size = strlen(dir) + strlen(kind) + strlen(suffix) + sizeof key + 3;
  char *path = malloc(size);
  gpu_cache_key(device, key);
  if (path)
    snprintf(path, size, "%s/%s-%s.%s", dir, kind, key, suffix);
  return path;
}

void gpu_cache_make_dirs(const char *dir) {
  char *path = strdup(dir);
  if (!path)
    return;
  for (char *slash = strchr(path + (path[0] == '/'), '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    mkdir(path, 0777);
    *slash = '/';
  }
  mkdir(path, 0777);
  free(path);
}

/* The data of a good file, which the caller frees; NULL: none. */
static uint8_t *read_file(const char *path, cache_header *header) {
  uint8_t *data = NULL;
  FILE *file = fopen(path, "rb");
  if (!file)
    return NULL;
  if (fread(header, sizeof *header, 1, file) == 1 && memcmp(header->magic, MAGIC, 4) == 0 && header->version == VERSION &&
      header->bytes >= 1 && header->bytes <= MAX_BYTES && (data = malloc(header->bytes))) {
    if (fread(data, 1, header->bytes, file) != header->bytes || hash_bytes(HASH_BEGIN, data, header->bytes) != header->hash) {
      free(data);
      data = NULL;
    }
  }
  fclose(file);
  return data;
}

static VkResult create_cache(gpu_device *device, const void *data, size_t n) {
  VkPipelineCacheCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = n, .pInitialData = data};
  VkResult result = device->vk.vkCreatePipelineCache(device->device, &info, NULL, &device->cache);
  if (result)
    device->cache = VK_NULL_HANDLE;
  return result;
}

hn_status gpu_cache_open(gpu_device *device, const char *dir, hn_error *err) {
  cache_header header = {0};
  uint8_t *data = NULL;
  if (dir) {
    gpu_cache_make_dirs(dir);
    if (!(device->cache_path = gpu_cache_path(device, dir, "pipelines", "bin")))
      return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the pipeline cache");
    data = read_file(device->cache_path, &header);
  }
  VkResult result = create_cache(device, data, data ? header.bytes : 0);
  if (result && data)
    result = create_cache(device, NULL, 0);
  device->cache_hash = data ? header.hash : 0;
  free(data);
  if (result)
    return hn_fail_vk(err, gpu_status(result), result, "%s: no pipeline cache", device->info.name);
  return HN_OK;
}

static hn_status write_file(const char *path, const cache_header *header, const uint8_t *data, hn_error *err) {
  new_file file;
  hn_status status = new_file_create(path, 0644, &file, err);
  if (status)
    return status;
  fwrite(header, sizeof *header, 1, file.stream);
  fwrite(data, 1, header->bytes, file.stream);
  return new_file_commit(&file, err);
}

static void save(gpu_device *device) {
  size_t n = 0;
  uint8_t *data = NULL;
  if (device->vk.vkGetPipelineCacheData(device->device, device->cache, &n, NULL) || n == 0 || n > MAX_BYTES ||
      !(data = malloc(n)))
    return;
  if (device->vk.vkGetPipelineCacheData(device->device, device->cache, &n, data) == VK_SUCCESS) {
    cache_header header = {.magic = MAGIC, .version = VERSION, .bytes = n, .hash = hash_bytes(HASH_BEGIN, data, n)};
    hn_error err = {0};
    if (header.hash != device->cache_hash && write_file(device->cache_path, &header, data, &err))
      hn_log(&device->instance->logger, HN_LOG_WARNING, "the pipeline cache %s", err.message);
  }
  free(data);
}

void gpu_cache_close(gpu_device *device) {
  if (device->cache && device->cache_path)
    save(device);
  if (device->cache)
    device->vk.vkDestroyPipelineCache(device->device, device->cache, NULL);
  free(device->cache_path);
  device->cache = VK_NULL_HANDLE;
  device->cache_path = NULL;
}
