/*
 * intel_stub: stands for an Intel GPU, so that Mesa's Vulkan driver for them starts without one. Loaded with LD_PRELOAD; the
 * environment variable HORNITO_INTEL_CHIP names the chip. Memory can be allocated, mapped and written, and what is submitted
 * is complete at once: nothing is computed.
 *
 * libdrm's search for devices finds one, whose file is a sparse file in memory; the place of a buffer in that file is what
 * the driver maps. The kernel's interface (i915_drm.h, drm.h) is answered in ioctl. Requests are told apart by number alone,
 * since the size that is part of a request grows with the kernel.
 */
#define _GNU_SOURCE /* memfd_create, fallocate, syscall */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <drm.h>
#include <i915_drm.h>
#include <xf86drm.h>

#define EXPORT __attribute__((visibility("default")))
#define POINTER(u64) ((void *)(uintptr_t)(u64))

enum { PARAM_PXP_STATUS = 58, QUERY_GEOMETRY_SUBSLICES = 6, /* not in the header of each Debian */
   VENDOR_INTEL = 0x8086, BUFFER_ALIGNMENT = 1 << 16, POLL_NANOSECONDS = 1000000 };
static const uint64_t FILE_BYTES = 1ull << 40, GTT_BYTES = 1ull << 48, SYSTEM_BYTES = 16ull << 30, LOCAL_BYTES = 8ull << 30;

/* PCI ids from the list of Mesa; the numbers of slices, subslices and execution units are those of a product with that id. */
static const struct chip {
  const char *name;
  uint16_t id;
  uint8_t slices, subslices, units;
  bool local_memory;
} chips[] = {
    {"skl", 0x1912, 1, 3, 8, false},  {"tgl", 0x9a49, 1, 6, 16, false}, {"dg2", 0x5690, 8, 4, 16, true},
    {"mtl", 0x7d55, 2, 4, 16, false}, {"lnl", 0x64a0, 2, 4, 8, false},  {"bmg", 0xe20b, 5, 4, 8, true},
};

typedef struct buffer {
  uint64_t at, bytes; /* in the file */
} buffer;

typedef struct syncobj {
  uint64_t point; /* of its timeline */
  bool signaled;  /* as a fence; a point above 0 signals it too */
} syncobj;

static const struct chip *chip; /* NULL: the stub does nothing */
static int file = -1;
static char file_path[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows */
static buffer *buffers;                                  /* by handle; handle 0 is none */
static uint32_t n_buffers = 1;
static uint64_t file_end = BUFFER_ALIGNMENT;
static syncobj *syncobjs;
static uint32_t n_syncobjs = 1;

static int fail(int error) {
  errno = error;
  return -1;
}

__attribute__((constructor)) static void start(void) {
  const char *name = getenv("HORNITO_INTEL_CHIP");
  for (size_t i = 0; name && i < sizeof chips / sizeof *chips; i++)
    if (strcmp(name, chips[i].name) == 0)
      chip = &chips[i];
  file = chip ? memfd_create("intel_stub", MFD_CLOEXEC) : -1;
  if (file < 0 || ftruncate(file, (off_t)FILE_BYTES))
    chip = NULL;
  snprintf(file_path, sizeof file_path, "/proc/self/fd/%d", file);
}

/* ---- libdrm ---- */

EXPORT int drmGetDevices2(uint32_t flags, drmDevicePtr devices[], int max) {
  (void)flags;
  if (!chip || !devices || max < 1)
    return chip && !devices;
  struct {
    drmDevice device;
    char *nodes[DRM_NODE_MAX];
    drmPciBusInfo bus;
    drmPciDeviceInfo pci;
  } *all = calloc(1, sizeof *all);
  if (!all)
    return -ENOMEM;
  all->device.nodes = all->nodes;
  all->nodes[DRM_NODE_RENDER] = file_path;
  all->device.available_nodes = 1 << DRM_NODE_RENDER;
  all->device.bustype = DRM_BUS_PCI;
  all->device.businfo.pci = &all->bus;
  all->bus.dev = 2;
  all->device.deviceinfo.pci = &all->pci;
  all->pci.vendor_id = all->pci.subvendor_id = VENDOR_INTEL;
  all->pci.device_id = chip->id;
  devices[0] = &all->device; /* first, so that freeing the device frees all */
  return 1;
}

EXPORT int drmGetDevices(drmDevicePtr devices[], int max) {
  return drmGetDevices2(0, devices, max);
}

EXPORT int drmGetDevice2(int fd, uint32_t flags, drmDevicePtr *device) {
  (void)fd;
  return drmGetDevices2(flags, device, 1) == 1 ? 0 : -ENODEV;
}

EXPORT void drmFreeDevice(drmDevicePtr *device) {
  free(*device);
  *device = NULL;
}

EXPORT void drmFreeDevices(drmDevicePtr devices[], int n) {
  for (int i = 0; i < n; i++)
    drmFreeDevice(&devices[i]);
}

EXPORT drmVersionPtr drmGetVersion(int fd) {
  (void)fd;
  drmVersionPtr version = calloc(1, sizeof *version);
  if (!version)
    return NULL;
  version->version_major = 1;
  version->version_minor = 6;
  version->name = strdup("i915"); /* libdrm's drmFreeVersion frees them */
  version->name_len = 4;
  version->date = strdup("");
  version->desc = strdup("");
  return version;
}

/* ---- what the chip is ---- */

static int get_capability(struct drm_get_cap *cap) {
  switch (cap->capability) {
  case DRM_CAP_SYNCOBJ:
  case DRM_CAP_SYNCOBJ_TIMELINE: cap->value = 1; return 0;
  case DRM_CAP_PRIME: cap->value = DRM_PRIME_CAP_IMPORT | DRM_PRIME_CAP_EXPORT; return 0;
  default: cap->value = 0; return 0;
  }
}

static int get_parameter(const struct drm_i915_getparam *get) {
  int value = 1; /* most parameters ask whether the kernel can do something */
  switch (get->param) {
  case I915_PARAM_CHIPSET_ID: value = chip->id; break;
  case I915_PARAM_REVISION: value = 0; break;
  case I915_PARAM_CS_TIMESTAMP_FREQUENCY: value = 19200000; break;
  case I915_PARAM_HAS_ALIASING_PPGTT: value = 3; break; /* 48-bit addresses of its own for each process */
  case I915_PARAM_MMAP_VERSION:
  case I915_PARAM_MMAP_GTT_VERSION: value = 4; break;
  case I915_PARAM_CMD_PARSER_VERSION: value = 10; break;
  case I915_PARAM_SUBSLICE_TOTAL: value = chip->slices * chip->subslices; break;
  case I915_PARAM_EU_TOTAL: value = chip->slices * chip->subslices * chip->units; break;
  case I915_PARAM_NUM_FENCES_AVAIL: value = 8; break;
  case I915_PARAM_HAS_LLC: value = !chip->local_memory; break;
  default:
    if (get->param >= PARAM_PXP_STATUS) /* protected contexts, later inventions */
      return fail(EINVAL);
  }
  *get->value = value;
  return 0;
}

static uint8_t low_bits(int n) {
  return (uint8_t)(n >= 8 ? 0xFF : (1 << n) - 1);
}

/* A query is asked twice: for the length, then for the data. True: `item` has room for them, and they are zero. */
static bool has_room(struct drm_i915_query_item *item, size_t bytes) {
  bool fits = item->length >= (int32_t)bytes;
  if (fits)
    memset(POINTER(item->data_ptr), 0, bytes);
  item->length = fits || item->length == 0 ? (int32_t)bytes : -EINVAL;
  return fits;
}

static void query_topology(struct drm_i915_query_item *item) {
  int slices = chip->slices, subslices = chip->subslices, stride = (chip->units + 7) / 8;
  size_t n_data = (size_t)(1 + slices + slices * subslices * stride); /* at most 8 slices, 8 subslices: a byte for each mask */
  struct drm_i915_query_topology_info *info = POINTER(item->data_ptr);
  if (!has_room(item, sizeof *info + n_data))
    return;
  info->max_slices = chip->slices;
  info->max_subslices = chip->subslices;
  info->max_eus_per_subslice = chip->units;
  info->subslice_offset = 1;
  info->subslice_stride = 1;
  info->eu_offset = (uint16_t)(1 + slices);
  info->eu_stride = (uint16_t)stride;
  info->data[0] = low_bits(slices);
  for (int s = 0; s < slices; s++) {
    info->data[1 + s] = low_bits(subslices);
    for (int b = 0; b < subslices * stride; b++)
      info->data[1 + slices + s * subslices * stride + b] = low_bits(chip->units - b % stride * 8);
  }
}

static void query_engines(struct drm_i915_query_item *item) {
  struct drm_i915_query_engine_info *info = POINTER(item->data_ptr);
  if (!has_room(item, sizeof *info + 2 * sizeof *info->engines))
    return;
  info->num_engines = 2;
  info->engines[0].engine.engine_class = I915_ENGINE_CLASS_RENDER;
  info->engines[1].engine.engine_class = I915_ENGINE_CLASS_COPY;
}

static void query_memory(struct drm_i915_query_item *item) {
  uint32_t n = chip->local_memory ? 2 : 1;
  struct drm_i915_query_memory_regions *info = POINTER(item->data_ptr);
  if (!has_room(item, sizeof *info + n * sizeof *info->regions))
    return;
  info->num_regions = n;
  for (uint32_t i = 0; i < n; i++) {
    struct drm_i915_memory_region_info *region = &info->regions[i];
    region->region.memory_class = i ? I915_MEMORY_CLASS_DEVICE : I915_MEMORY_CLASS_SYSTEM;
    region->probed_size = region->unallocated_size = i ? LOCAL_BYTES : SYSTEM_BYTES;
    region->probed_cpu_visible_size = region->unallocated_cpu_visible_size = i ? LOCAL_BYTES : 0;
  }
}

static int query(const struct drm_i915_query *q) {
  struct drm_i915_query_item *items = POINTER(q->items_ptr);
  for (uint32_t i = 0; i < q->num_items; i++) {
    switch (items[i].query_id) {
    case DRM_I915_QUERY_TOPOLOGY_INFO:
    case QUERY_GEOMETRY_SUBSLICES: query_topology(&items[i]); break;
    case DRM_I915_QUERY_ENGINE_INFO: query_engines(&items[i]); break;
    case DRM_I915_QUERY_MEMORY_REGIONS: query_memory(&items[i]); break;
    default: items[i].length = -EINVAL;
    }
  }
  return 0;
}

/* ---- memory ---- */

/* Room for element n of a list that doubles; NULL: none. */
static void *grow(void *list, uint32_t n, size_t bytes) {
  bool full = (n & (n - 1)) == 0; /* at powers of two */
  return full ? realloc(list, 2 * (size_t)n * bytes) : list;
}

static int create_buffer(uint64_t bytes, uint32_t *handle) {
  if (bytes == 0 || bytes > FILE_BYTES - file_end - BUFFER_ALIGNMENT)
    return fail(EINVAL);
  buffer *grown = grow(buffers, n_buffers, sizeof *buffers);
  if (!grown)
    return fail(ENOMEM);
  buffers = grown;
  buffers[n_buffers] = (buffer){file_end, (bytes + BUFFER_ALIGNMENT - 1) / BUFFER_ALIGNMENT * BUFFER_ALIGNMENT};
  file_end += buffers[n_buffers].bytes;
  *handle = n_buffers++;
  return 0;
}

static int close_buffer(uint32_t handle) {
  if (handle == 0 || handle >= n_buffers)
    return fail(EINVAL);
  fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)buffers[handle].at, (off_t)buffers[handle].bytes);
  return 0;
}

static int map_offset(struct drm_i915_gem_mmap_offset *map) {
  if (map->handle == 0 || map->handle >= n_buffers)
    return fail(EINVAL);
  map->offset = buffers[map->handle].at;
  return 0;
}

static int map_buffer(struct drm_i915_gem_mmap *map) {
  if (map->handle == 0 || map->handle >= n_buffers)
    return fail(EINVAL);
  void *at = mmap(NULL, map->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)(buffers[map->handle].at + map->offset));
  map->addr_ptr = (uintptr_t)at;
  return at == MAP_FAILED ? -1 : 0;
}

/* ---- synchronization ---- */

static syncobj *find(uint32_t handle) {
  return handle && handle < n_syncobjs ? &syncobjs[handle] : NULL;
}

static int create_syncobj(struct drm_syncobj_create *create) {
  syncobj *grown = grow(syncobjs, n_syncobjs, sizeof *syncobjs);
  if (!grown)
    return fail(ENOMEM);
  syncobjs = grown;
  syncobjs[n_syncobjs] = (syncobj){.signaled = create->flags & DRM_SYNCOBJ_CREATE_SIGNALED};
  create->handle = n_syncobjs++;
  return 0;
}

/* Point 0 stands for a fence without a timeline. */
static void signal_point(uint32_t handle, uint64_t point) {
  syncobj *s = find(handle);
  if (!s)
    return;
  s->signaled = true;
  if (point > s->point)
    s->point = point;
}

static int each_point(const struct drm_syncobj_timeline_array *array, bool query_it) {
  uint32_t *handles = POINTER(array->handles);
  uint64_t *points = POINTER(array->points);
  for (uint32_t i = 0; i < array->count_handles; i++) {
    if (query_it)
      points[i] = find(handles[i]) ? find(handles[i])->point : 0;
    else
      signal_point(handles[i], points[i]);
  }
  return 0;
}

static int each_fence(const struct drm_syncobj_array *array, bool signaled) {
  uint32_t *handles = POINTER(array->handles);
  for (uint32_t i = 0; i < array->count_handles; i++)
    if (find(handles[i]))
      *find(handles[i]) = (syncobj){.signaled = signaled};
  return 0;
}

/* What was submitted is complete, so the fence that is transferred is too. */
static int transfer(const struct drm_syncobj_transfer *t) {
  signal_point(t->dst_handle, t->dst_point);
  return 0;
}

static bool all_reached(const uint32_t *handles, const uint64_t *points, uint32_t n, bool all) {
  uint32_t reached = 0;
  for (uint32_t i = 0; i < n; i++) {
    syncobj *s = find(handles[i]);
    reached += s && (points && points[i] ? s->point >= points[i] : s->signaled);
  }
  return all ? reached == n : reached > 0;
}

/* Another thread may submit what is awaited. `deadline` is in nanoseconds of the monotonic clock. */
static int wait_for(const uint32_t *handles, const uint64_t *points, uint32_t n, uint32_t flags, int64_t deadline) {
  for (;;) {
    pthread_mutex_lock(&lock);
    bool reached = all_reached(handles, points, n, flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL);
    pthread_mutex_unlock(&lock);
    struct timespec now, pause = {0, POLL_NANOSECONDS};
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (reached)
      return 0;
    if (now.tv_sec * 1000000000ll + now.tv_nsec >= deadline)
      return fail(ETIME);
    nanosleep(&pause, NULL);
  }
}

static void signal_fences(const struct drm_i915_gem_exec_fence *fences, const uint64_t *points, uint64_t n) {
  for (uint64_t i = 0; i < n; i++)
    if (fences[i].flags & I915_EXEC_FENCE_SIGNAL)
      signal_point(fences[i].handle, points ? points[i] : 0);
}

static int submit(const struct drm_i915_gem_execbuffer2 *exec) {
  if (exec->flags & I915_EXEC_FENCE_ARRAY)
    signal_fences(POINTER(exec->cliprects_ptr), NULL, exec->num_cliprects);
  const struct i915_user_extension *extension = exec->flags & I915_EXEC_USE_EXTENSIONS ? POINTER(exec->cliprects_ptr) : NULL;
  for (; extension; extension = POINTER(extension->next_extension)) {
    const struct drm_i915_gem_execbuffer_ext_timeline_fences *t = (const void *)extension;
    if (extension->name == DRM_I915_GEM_EXECBUFFER_EXT_TIMELINE_FENCES)
      signal_fences(POINTER(t->handles_ptr), POINTER(t->values_ptr), t->fence_count);
  }
  return 0;
}

/* ---- ioctl ---- */

static int i915_request(unsigned number, void *argument) {
  switch (number) {
  case DRM_I915_GETPARAM: return get_parameter(argument);
  case DRM_I915_QUERY: return query(argument);
  case DRM_I915_GEM_CREATE:
  case DRM_I915_GEM_CREATE_EXT: { /* both begin alike */
    struct drm_i915_gem_create *create = argument;
    return create_buffer(create->size, &create->handle);
  }
  case DRM_I915_GEM_USERPTR: {
    struct drm_i915_gem_userptr *user = argument;
    return create_buffer(user->user_size, &user->handle);
  }
  case DRM_I915_GEM_MMAP_GTT: return map_offset(argument); /* the number of MMAP_OFFSET too */
  case DRM_I915_GEM_MMAP: return map_buffer(argument);
  case DRM_I915_GEM_EXECBUFFER2: return submit(argument);
  case DRM_I915_GEM_CONTEXT_CREATE: ((struct drm_i915_gem_context_create *)argument)->ctx_id = 1; return 0;
  case DRM_I915_GEM_VM_CREATE: ((struct drm_i915_gem_vm_control *)argument)->vm_id = 1; return 0;
  case DRM_I915_GEM_CONTEXT_GETPARAM: {
    struct drm_i915_gem_context_param *get = argument;
    get->value = get->param == I915_CONTEXT_PARAM_GTT_SIZE ? GTT_BYTES : 0;
    return 0;
  }
  case DRM_I915_GEM_GET_APERTURE: {
    struct drm_i915_gem_get_aperture *get = argument;
    get->aper_size = get->aper_available_size = GTT_BYTES;
    return 0;
  }
  case DRM_I915_REG_READ: ((struct drm_i915_reg_read *)argument)->val = 0; return 0;
  case DRM_I915_GET_RESET_STATS: {
    struct drm_i915_reset_stats *stats = argument;
    stats->reset_count = stats->batch_active = stats->batch_pending = 0;
    return 0;
  }
  default: return 0; /* settings: domains, tiling, priorities, names */
  }
}

static int request(unsigned number, void *argument) {
  switch (number) {
  case _IOC_NR(DRM_IOCTL_GET_CAP): return get_capability(argument);
  case _IOC_NR(DRM_IOCTL_GEM_CLOSE): return close_buffer(((struct drm_gem_close *)argument)->handle);
  case _IOC_NR(DRM_IOCTL_PRIME_HANDLE_TO_FD):
  case _IOC_NR(DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD): return fail(EINVAL); /* nothing is shared with other processes */
  case _IOC_NR(DRM_IOCTL_SYNCOBJ_CREATE): return create_syncobj(argument);
  case _IOC_NR(DRM_IOCTL_SYNCOBJ_RESET): return each_fence(argument, false);
  case _IOC_NR(DRM_IOCTL_SYNCOBJ_SIGNAL): return each_fence(argument, true);
  case _IOC_NR(DRM_IOCTL_SYNCOBJ_QUERY): return each_point(argument, true);
  case _IOC_NR(DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL): return each_point(argument, false);
  case _IOC_NR(DRM_IOCTL_SYNCOBJ_TRANSFER): return transfer(argument);
  default: break;
  }
  return number >= DRM_COMMAND_BASE && number < DRM_COMMAND_END ? i915_request(number - DRM_COMMAND_BASE, argument) : 0;
}

EXPORT int ioctl(int fd, unsigned long code, ...) {
  va_list arguments;
  va_start(arguments, code);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  if (!chip || _IOC_TYPE(code) != DRM_IOCTL_BASE)
    return (int)syscall(SYS_ioctl, fd, code, argument);
  unsigned number = (unsigned)_IOC_NR(code);
  if (number == _IOC_NR(DRM_IOCTL_SYNCOBJ_WAIT)) {
    struct drm_syncobj_wait *w = argument;
    return wait_for(POINTER(w->handles), NULL, w->count_handles, w->flags, w->timeout_nsec);
  }
  if (number == _IOC_NR(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT)) {
    struct drm_syncobj_timeline_wait *w = argument;
    return wait_for(POINTER(w->handles), POINTER(w->points), w->count_handles, w->flags, w->timeout_nsec);
  }
  pthread_mutex_lock(&lock);
  int result = request(number, argument);
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
