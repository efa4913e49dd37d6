/*
 * gpu.h: Vulkan, by object: instance, device, buffers, pipelines, command buffers. Nothing here knows of models.
 *
 * All buffers are reached by 64-bit address; there are no descriptors. Functions are fetched per device by volk
 * (VolkDeviceTable), so that several devices and an application's own Vulkan do not disturb each other.
 */
#ifndef HN_GPU_H
#define HN_GPU_H

#include "error.h"

#include <pthread.h>
#include <volk.h>

struct VmaAllocator_T;
struct VmaAllocation_T;

/* ---- gpu_instance.c: the loader, the instance, the list of devices ---- */

typedef struct gpu_instance {
  VkInstance instance; /* VK_NULL_HANDLE: no Vulkan on this machine */
  VkDebugUtilsMessengerEXT messenger;
  hn_logger logger;
  uint32_t n_devices;
  VkPhysicalDevice *physical; /* (n_devices) */
  hn_device_info *infos;      /* (n_devices) */
  bool stuck; /* one of its devices was, and still exists: the instance is not released */
} gpu_instance;

/* A machine without Vulkan gives an instance without devices. On failure *out is NULL. Errors: OUT_OF_MEMORY. */
hn_status gpu_instance_create(const hn_logger *logger, bool validation, gpu_instance **out, hn_error *err);
void gpu_instance_destroy(gpu_instance **instance);

/* See hn_context_find_device; never -1. */
hn_status gpu_instance_find(const gpu_instance *instance, const char *device, uint32_t *index, hn_error *err);

/* ---- gpu_device.c ---- */

typedef struct gpu_device {
  gpu_instance *instance;
  VkPhysicalDevice physical;
  VkDevice device;
  struct VolkDeviceTable vk;
  uint32_t queue_family;
  VkQueue queue;
  pthread_mutex_t queue_lock; /* vkQueueSubmit2 wants one thread at a time */
  pthread_mutex_t plan_lock;  /* held while memory is planned and allocated, so that two do not plan for the same */
  struct VmaAllocator_T *allocator;
  VkPipelineCache cache;
  char *cache_path;    /* NULL: none */
  uint64_t cache_hash; /* of what the file held; 0: nothing */
  hn_device_info info;
  bool stuck; /* see gpu_device_stuck; under queue_lock */
  uint64_t buffer_bytes, peak_buffer_bytes; /* of GPU_MEMORY_DEVICE, now and at most; under queue_lock */
  uint64_t host_bytes; /* of the other kinds, now; under queue_lock */
  uint64_t limit_bytes; /* of them: no allocation exceeds it; 0: none; set before buffers are made */
} gpu_device;

/* cache_dir may be NULL; a missing, foreign or damaged cache file is ignored. Errors: NO_DEVICE (lacks features),
 * OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status gpu_device_create(gpu_instance *instance, uint32_t index, const char *cache_dir, gpu_device **out, hn_error *err);

/* Writes the pipeline cache (to a temporary name, then renamed) if it has grown. Everything made on it must be gone. */
void gpu_device_destroy(gpu_device **device);

/* Whether work did not end in time and may still run. What it uses is then never released. Thread-safety: Safe */
bool gpu_device_stuck(gpu_device *device);

/* The bytes that are allocated now, of GPU_MEMORY_DEVICE and of the other kinds. Thread-safety: Safe */
void gpu_device_bytes(gpu_device *device, uint64_t *device_bytes, uint64_t *host_bytes);

/* The hn_status of a VkResult. */
hn_status gpu_status(VkResult result);

/* ---- gpu_memory.c ---- */

typedef enum gpu_memory_kind {
  GPU_MEMORY_DEVICE,   /* device-local; mapped too where the device's memory is unified */
  GPU_MEMORY_HOST,     /* host-visible, coherent, written by the CPU: staging, small inputs, an embedding table */
  GPU_MEMORY_READBACK, /* host-visible, coherent, cached: read by the CPU */
} gpu_memory_kind;

typedef struct gpu_buffer {
  VkBuffer handle; /* VK_NULL_HANDLE: none */
  struct VmaAllocation_T *allocation;
  VkDeviceAddress address; /* a multiple of 16 */
  void *mapped;            /* NULL where the CPU cannot see it */
  uint64_t bytes;
  uint64_t allocated; /* what the driver took for it: bytes or more */
  gpu_memory_kind kind;
} gpu_buffer;

/* bytes >= 1; each is an allocation of its own. The contents are undefined. Errors: OUT_OF_DEVICE_MEMORY, OUT_OF_MEMORY (the message names
 * `name`, the size and the heap), VULKAN. */
hn_status gpu_buffer_init(gpu_device *device, gpu_memory_kind kind, uint64_t bytes, const char *name, gpu_buffer *out,
                          hn_error *err);

/* A zeroed or finished buffer is accepted. */
void gpu_buffer_finish(gpu_device *device, gpu_buffer *buffer);

/* ---- gpu_pipeline.c ---- */

enum { GPU_PUSH_BYTES = 128 }; /* what every Vulkan device offers */
enum { GPU_MAX_CONSTANTS = 9 };

typedef struct gpu_pipeline {
  VkPipeline handle;
  VkPipelineLayout layout;
  const char *name; /* static */
  uint32_t constants[GPU_MAX_CONSTANTS]; /* it was specialized with; the others are 0 */
} gpu_pipeline;

/* constants: (n_constants) values of constant_id 0, 1, ...; subgroup_size: 0, or that of whole subgroups, which divides the workgroup (the device
 * has_subgroup_size_control, or cooperative matrices). Errors: ARGUMENT (too many constants), OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status gpu_pipeline_init(gpu_device *device, const char *name, const uint32_t *spirv, size_t n_words,
                            const uint32_t *constants, uint32_t n_constants, uint32_t subgroup_size, gpu_pipeline *out, hn_error *err);
void gpu_pipeline_finish(gpu_device *device, gpu_pipeline *pipeline);

/* ---- gpu_cmd.c: one command buffer and the timeline semaphore that tells when it is done ---- */

typedef struct gpu_range { /* count runs of `bytes` bytes each, the first at `at`, `stride` bytes from one to the next */
  VkDeviceAddress at;
  uint64_t bytes, stride;
  uint32_t count;
} gpu_range;

enum { GPU_MAX_READS = 16, GPU_MAX_WRITES = 16 };

typedef struct gpu_access { /* what a command reads and writes, at most */
  gpu_range reads[GPU_MAX_READS], writes[GPU_MAX_WRITES];
  uint32_t n_reads, n_writes;
  uint64_t ops;         /* multiplications and additions, about: of integers, or of floats */
  bool float_ops;
  uint64_t least_bytes; /* that it moves, where it touches less than the ranges; 0: all of them */
} gpu_access;

/* Bytes that a command reads and writes, each once. */
uint64_t gpu_access_bytes(const gpu_access *access);

typedef enum gpu_event_kind {
  GPU_EVENT_BEGIN, GPU_EVENT_DISPATCH, GPU_EVENT_COPY, GPU_EVENT_FILL, GPU_EVENT_BARRIER, GPU_EVENT_SUBMIT, GPU_EVENT_WAITED
} gpu_event_kind;

typedef struct gpu_launch {
  const gpu_pipeline *pipeline;
  const void *push;    /* push constants */
  uint32_t push_bytes; /* at most GPU_PUSH_BYTES */
  uint32_t x, y;       /* workgroups, at least 1 */
} gpu_launch;

typedef struct gpu_event { /* lives as long as the call */
  gpu_event_kind kind;
  const gpu_launch *launch; /* of a dispatch; NULL */
  const gpu_access *access; /* of a dispatch, copy or fill; NULL */
} gpu_event;

typedef struct gpu_cmd gpu_cmd;
enum { GPU_MAX_KEPT = 5 };

/* Is called after a recording begins, after each command is recorded, after a submission and after the wait for it. It may record commands. */
typedef struct gpu_observer {
  void (*see)(void *user, gpu_cmd *cmd, const gpu_event *event); /* NULL: none */
  void *user;
  bool lets_replay; /* it records nothing, and need not see commands that were recorded before */
} gpu_observer;

struct gpu_cmd {
  gpu_device *device;
  gpu_observer observer;
  struct {
    VkCommandPool pool;
    VkCommandBuffer handle;
  } recordings[GPU_MAX_KEPT + 1]; /* (n_kept) that may be submitted again; the last one is recorded for each submission */
  uint32_t n_kept, current;
  VkSemaphore timeline;
  uint64_t submitted; /* the value of the last submission */
  uint64_t done;      /* of the last that was waited for */
  bool lost;          /* a submission failed or timed out: nothing may be recorded any more */
};

/* n_kept: recordings besides that may be submitted again, at most GPU_MAX_KEPT. Thread-safety: a gpu_cmd belongs to one thread at a time. */
hn_status gpu_cmd_create(gpu_device *device, uint32_t n_kept, gpu_cmd **out, hn_error *err);
void gpu_cmd_destroy(gpu_cmd **cmd); /* waits, within a limit, for what is in flight; beyond it the device is stuck */

hn_status gpu_cmd_begin(gpu_cmd *cmd, hn_error *err);

/* The same for recording `which`, 0 .. n_kept - 1, that gpu_cmd_submit_again may submit again until it begins anew. What was submitted of it
 * must be done. */
hn_status gpu_cmd_begin_kept(gpu_cmd *cmd, uint32_t which, hn_error *err);

/* What is being recorded, for commands that are not below. */
VkCommandBuffer gpu_cmd_handle(const gpu_cmd *cmd);

/* access: what the shader may touch; an observer sees it. */
void gpu_cmd_dispatch(gpu_cmd *cmd, const gpu_launch *launch, const gpu_access *access);

/* Everything recorded before is done and visible to shaders and copies recorded after. */
void gpu_cmd_barrier(gpu_cmd *cmd);

void gpu_cmd_copy(gpu_cmd *cmd, const gpu_buffer *from, uint64_t from_offset, const gpu_buffer *to, uint64_t to_offset, uint64_t bytes);

/* bytes and offset are multiples of 4. */
void gpu_cmd_fill(gpu_cmd *cmd, const gpu_buffer *buffer, uint64_t offset, uint64_t bytes, uint32_t word);

/* What a submission of a model's work may take on this device before it counts as lost. */
uint64_t gpu_wait_limit_ns(const gpu_device *device);

/* Ends the recording (with a barrier that lets the host read) and submits. Errors: DEVICE_LOST, OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status gpu_cmd_submit(gpu_cmd *cmd, hn_error *err);

/* Submits a kept recording once more; its last submission must be done, others may be under way: it begins when they are done. Errors: as
 * gpu_cmd_submit. */
hn_status gpu_cmd_submit_again(gpu_cmd *cmd, uint32_t which, hn_error *err);

/* Waits at most timeout_ns for what was submitted; at once where nothing was. Errors: DEVICE_LOST, TIMEOUT, OUT_OF_MEMORY,
 * OUT_OF_DEVICE_MEMORY, VULKAN. */
hn_status gpu_cmd_wait(gpu_cmd *cmd, uint64_t timeout_ns, hn_error *err);

/* The same for a submission behind which cmd->submitted was `value`; later ones may be under way. */
hn_status gpu_cmd_wait_for(gpu_cmd *cmd, uint64_t value, uint64_t timeout_ns, hn_error *err);

/* Both. */
hn_status gpu_cmd_submit_wait(gpu_cmd *cmd, uint64_t timeout_ns, hn_error *err);

#endif
