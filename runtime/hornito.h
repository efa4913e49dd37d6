/*
 * hornito: 4-bit language models on any GPU that speaks Vulkan.
 *
 * The workflow:
 *
 *     hn_context *ctx;  hn_model *model;  hn_session *session;  hn_error err;
 *     hn_context_create(NULL, &ctx, &err);                         // finds the devices
 *     hn_model_load(ctx, "model.gguf", NULL, &model, &err);        // weights to the best device
 *     hn_session_create(model, NULL, &session, &err);              // one conversation and its KV cache
 *     hn_tokenize(model, text, strlen(text), 0, ids, cap, &n, &err);
 *     hn_session_eval(session, ids, n, &err);                      // the prompt
 *     hn_session_logits(session)                                   // (n_vocab) floats of the last token
 *     token = hn_sampler_sample(sampler, logits)                   // choose, then eval the choice, and so on
 *
 * Exact: logits do not depend on the device, its driver, the batch size or the way a prompt is cut into chunks. They
 * are the same bits everywhere, the plain C implementation (device "cpu") included.
 *
 * A device must offer Vulkan 1.3 with bufferDeviceAddress, synchronization2, timelineSemaphore,
 * shaderIntegerDotProduct, maintenance4, 256 invocations per workgroup, 32 KiB of shared memory and 128 bytes of push
 * constants. hn_device_info says what a device lacks.
 *
 * The library never prints, exits, aborts or reads the environment. Every function that can fail returns hn_status and
 * fills an optional hn_error. Every object can be destroyed after any error. Destroy in the reverse order of creation:
 * sessions, models, the context.
 *
 * To be fast: give a prompt to hn_session_eval whole, take the likeliest tokens by hn_session_decode, and set hn_model_params.cache_dir, so that
 * the compiled pipelines are found again at the next start.
 */
#ifndef HORNITO_H
#define HORNITO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __GNUC__
#define HN_API __attribute__((visibility("default")))
#else
#define HN_API
#endif

/* ---- errors ---- */

typedef enum hn_status {
  HN_OK = 0,
  HN_ERROR_ARGUMENT,             /* a parameter is out of its range */
  HN_ERROR_IO,                   /* a file cannot be opened or read */
  HN_ERROR_FORMAT,               /* a file is damaged or not what it claims to be */
  HN_ERROR_UNSUPPORTED,          /* well formed, but something this version cannot run */
  HN_ERROR_OUT_OF_MEMORY,        /* host memory */
  HN_ERROR_OUT_OF_DEVICE_MEMORY, /* device memory */
  HN_ERROR_NO_DEVICE,            /* no usable device, or none that matches */
  HN_ERROR_DEVICE_LOST,          /* the device stopped answering; destroy the session and the model, and load again */
  HN_ERROR_TIMEOUT,              /* a wait reached its limit; treat the device as lost */
  HN_ERROR_CANCELLED,            /* hn_session_cancel, or a progress callback that returned false */
  HN_ERROR_CONTEXT_FULL,         /* the tokens do not fit into the session's context; nothing was evaluated */
  HN_ERROR_VULKAN,               /* any other Vulkan error; see hn_error.vk_result */
} hn_status;

typedef struct hn_error {
  hn_status code;
  int32_t vk_result; /* the VkResult behind it, or 0 */
  const char *file;  /* source file and line that raised it; a static string */
  int line;
  char message[512]; /* one line of UTF-8 that says what to do */
} hn_error;

/* A short English name of a status. Never NULL. Thread-safety: Safe */
HN_API const char *hn_status_name(hn_status status);

typedef enum hn_log_level { HN_LOG_DEBUG, HN_LOG_INFO, HN_LOG_WARNING, HN_LOG_ERROR } hn_log_level;

/* Receives one line without a line feed. May be called from any thread that is inside a call of this library. */
typedef void (*hn_log_fn)(void *user, hn_log_level level, const char *message);

/* ---- contexts and devices ---- */

typedef struct hn_context hn_context;

typedef struct hn_context_params {
  hn_log_fn log; /* NULL: no messages */
  void *log_user;
  bool validation; /* enable VK_LAYER_KHRONOS_validation if it is there; its messages go to log as HN_LOG_ERROR */
} hn_context_params;

/*
 * Loads the Vulkan loader and lists the devices. Blocks for the time that drivers take to start (tens to hundreds of
 * milliseconds). A machine without Vulkan gives a context with no devices: the device "cpu" still works.
 * params may be NULL. On failure *out is NULL. Errors: OUT_OF_MEMORY. Thread-safety: Safe
 */
HN_API hn_status hn_context_create(const hn_context_params *params, hn_context **out, hn_error *err);

/* Destroys *ctx and sets it to NULL; NULL is accepted. Its models must be gone. Thread-safety: Unsafe */
HN_API void hn_context_destroy(hn_context **ctx);

typedef enum hn_device_type { HN_DEVICE_DISCRETE, HN_DEVICE_INTEGRATED, HN_DEVICE_VIRTUAL, HN_DEVICE_SOFTWARE, HN_DEVICE_OTHER } hn_device_type;

typedef struct hn_device_info {
  char name[256];
  char driver[512]; /* driver name and version */
  hn_device_type type;
  uint32_t vulkan_version; /* VK_MAKE_API_VERSION */
  uint32_t vendor_id, device_id;
  uint64_t device_memory; /* bytes in the largest device-local heap */
  uint64_t host_memory;   /* bytes in the largest other heap; 0 when there is but one */
  bool unified;           /* device-local memory is host-visible throughout (integrated GPUs, software) */
  uint32_t subgroup_size, min_subgroup_size, max_subgroup_size;
  uint32_t max_workgroup_invocations, shared_memory_bytes, push_constant_bytes;
  uint64_t max_allocation_bytes; /* of one buffer */
  bool has_buffer_device_address, has_synchronization2, has_timeline_semaphore, has_integer_dot_product, has_maintenance4;
  bool fast_integer_dot_product; /* signed packed 4x8 dot product accelerated */
  bool has_subgroup_size_control; /* a shader may ask for whole subgroups of min_subgroup_size, in workgroups of 256 invocations */
  bool has_memory_budget;
  uint32_t matrix_m, matrix_n, matrix_k; /* the shape of its cooperative matrices, int8 with int32 sums; 0: none that fit */
  bool usable;
  bool best;         /* the one that is taken when none is named */
  char lacks[512];   /* if not usable: what is missing, separated by ", " */
} hn_device_info;

/* Number of Vulkan devices, usable or not. Thread-safety: Safe */
HN_API size_t hn_context_n_devices(const hn_context *ctx);

/* Describes device index (0 ..). Errors: ARGUMENT. Thread-safety: Safe */
HN_API hn_status hn_context_device(const hn_context *ctx, size_t index, hn_device_info *info, hn_error *err);

/*
 * The index of the device that `device` means: NULL the best one (discrete before integrated before virtual before
 * software, then the most memory), a decimal number an index, else the first usable whose name contains the text, case ignored.
 * *index is -1 for "cpu". Errors: NO_DEVICE, with the devices there are, or the /dev/dri node that may not be opened,
 * in the message. Thread-safety: Safe
 */
HN_API hn_status hn_context_find_device(const hn_context *ctx, const char *device, int32_t *index, hn_error *err);

typedef struct hn_self_test {
  uint32_t n_shaders, n_wrong;
  uint32_t n_matrix; /* of n_shaders, with cooperative matrices; 0: the device offers none, or the compiler of this build's shaders knew none */
  char wrong[512]; /* the names of those whose bits were wrong, separated by ", "; "..." where they are too many */
} hn_self_test;

/*
 * Runs every shader, each of its variants too, on a few KiB of fixed data on device `index` (0 ..) and compares what it writes,
 * bit for bit, with what it must. (hn_model_load does this with the shaders that it takes, chooses another variant in place
 * of a wrong one, logs a warning, and fails with NO_DEVICE where none is right.) Blocks for as long as the driver takes to compile them:
 * seconds at the first time. cache_dir: see hn_model_params. Errors: ARGUMENT, NO_DEVICE (the device is not usable),
 * OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, DEVICE_LOST, TIMEOUT, VULKAN. Thread-safety: Safe
 */
HN_API hn_status hn_context_self_test(hn_context *ctx, size_t index, const char *cache_dir, hn_self_test *out, hn_error *err);

typedef struct hn_memory { /* of a device, in bytes */
  uint64_t device_bytes; /* its own memory; unified: the machine's */
  uint64_t device_free;  /* of it, where the driver tells (VK_EXT_memory_budget); else all of it */
  uint64_t host_free;    /* of the host's memory, that it may use besides; unified: 0 */
  uint64_t max_allocation_bytes; /* of one allocation */
  bool unified;
} hn_memory;

/* The memory of device `index` now. Errors: ARGUMENT. Thread-safety: Safe */
HN_API hn_status hn_context_memory(const hn_context *ctx, size_t index, hn_memory *out, hn_error *err);

/* ---- models ---- */

typedef struct hn_model hn_model;

typedef enum hn_kv_type { HN_KV_Q8_0, HN_KV_Q4_0 } hn_kv_type; /* of the KV cache */

#define HN_CTX_MAX UINT32_MAX /* the model's training context, in place of a number of tokens */

/* What a model's memory is planned for. All zero: one session with the longest context that lies wholly on the device (up to the
 * model's, 4096 at least), in what is free but for 512 MiB that a desktop keeps; where device and CPU share their memory, in half of it. */
typedef struct hn_plan_params {
  uint64_t vram_budget; /* bytes of the device's memory that the model and its sessions take at most, absolute; 0: see above */
  uint32_t n_ctx;       /* tokens that a session holds, or HN_CTX_MAX; 0: see above */
  uint32_t n_sessions;  /* at the same time; 0: 1; at most 64 */
  hn_kv_type kv_type;
} hn_plan_params;

typedef enum hn_plan_kind {
  HN_PLAN_WEIGHTS,     /* of a layer, and the norm of the output */
  HN_PLAN_OUTPUT,      /* the output matrix; the embedding table too where they are tied */
  HN_PLAN_EMBEDDING,   /* the embedding table */
  HN_PLAN_KV_CACHE,    /* of a layer */
  HN_PLAN_ACTIVATIONS,
  HN_PLAN_LOGITS,      /* and tokens */
  HN_PLAN_LOADING      /* gone when the model is loaded */
} hn_plan_kind;

typedef struct hn_plan_item {
  hn_plan_kind kind;
  const char *name; /* a tensor's, or what it is: "KV cache"; static, or living as long as the model */
  int32_t layer;    /* -1: of none */
  bool on_host;
  uint64_t bytes;
  uint32_t allocation; /* items of the same number share one */
  uint64_t offset;     /* in it */
} hn_plan_item;

/* Where every byte goes. What the device's budget does not hold lies in memory of the host and is read in place: the KV cache of the
 * last positions first, then the last layers. */
typedef struct hn_plan {
  bool fits;
  uint32_t n_ctx;     /* as wished, or chosen */
  uint32_t n_ctx_max; /* the longest that lies wholly on the device; 0: none, or not even the weights do */
  uint32_t n_batch;   /* tokens of a prompt that are evaluated together */
  uint32_t n_host_positions, n_host_layers; /* on the host: the last positions of the KV cache, the last layers */
  uint64_t budget_bytes;
  uint64_t device_bytes, host_bytes;             /* of all allocations, loading's too */
  uint64_t token_device_bytes, token_host_bytes; /* what one decoded token reads with a full context */
  const hn_plan_item *items;
  size_t n_items;
} hn_plan;

/* Called while a model loads; done and total are bytes of weights. On a GPU first with done = 0, when its shaders are ready, and then at least
 * every 64 MiB. Return false to cancel. */
typedef bool (*hn_progress_fn)(void *user, uint64_t done, uint64_t total);

typedef struct hn_model_params {
  const char *device;       /* see hn_context_find_device; NULL: the best one; "cpu": plain C, no Vulkan */
  const char *cache_dir;    /* folder for the pipeline cache and what gpu-bench --tune found, created if missing; NULL: none */
  hn_plan_params plan;      /* of a device's memory; the device "cpu" takes n_ctx (0: the model's, at most 4096) and kv_type alone */
  bool header_only;         /* read metadata, tokenizer and template alone: no weights, no session, any architecture */
  hn_progress_fn progress;  /* NULL: none */
  void *progress_user;
} hn_model_params;

/*
 * Maps a GGUF file (version 2 or 3; tensors of the types F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K
 * IQ4_NL IQ4_XS) and brings its weights to the device. Blocks until all is loaded; the file stays mapped while the
 * model lives and must not be changed. params may be NULL; ctx too where the header alone is read. On failure *out is NULL and everything is
 * released. Errors: IO, FORMAT, UNSUPPORTED, OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, NO_DEVICE, DEVICE_LOST, TIMEOUT,
 * CANCELLED, VULKAN. Thread-safety: Safe (a model is immutable after loading and may be shared between threads)
 */
HN_API hn_status hn_model_load(hn_context *ctx, const char *path, const hn_model_params *params, hn_model **out,
                               hn_error *err);

/* Destroys *model and sets it to NULL; NULL is accepted. Its sessions must be gone. Thread-safety: Unsafe */
HN_API void hn_model_destroy(hn_model **model);

typedef struct hn_model_info {
  const char *architecture; /* "llama"; strings live as long as the model; never NULL, "" where the file has none */
  const char *name;
  const char *tokenizer;     /* tokenizer.ggml.model: "gpt2", "llama" */
  const char *pre_tokenizer; /* tokenizer.ggml.pre */
  const char *chat_template; /* the template's text */
  const char *chat_format;   /* the recognised format: "chatml", "llama2", "llama3", "mistral", or "" */
  bool supported;            /* this version can run it */
  char unsupported[512];     /* if not: why */
  uint32_t n_vocab, n_ctx_train, n_embd, n_layers, n_heads, n_kv_heads, head_dim, n_ff;
  float rope_theta;
  const char *rope_scaling; /* "none", "linear", "llama3", "yarn" */
  bool tied_output;         /* the output matrix is the embedding table */
  uint64_t n_params;        /* elements in all tensors */
  uint64_t file_bytes;
  uint64_t weight_bytes;    /* bytes of weights that one decoded token reads (all matrices but an untied embedding) */
  size_t n_tensors, n_metadata;
  int32_t bos_token, eos_token; /* -1: none */
  bool add_bos;
} hn_model_info;

/*
 * Plans the model's memory on a machine that may be another, in microseconds and without a device; a model loaded with header_only is
 * enough. That the plan does not fit is no error. On failure *out is NULL; hn_plan_destroy it before the model.
 * Errors: ARGUMENT, UNSUPPORTED (a model that this version cannot run), OUT_OF_MEMORY. Thread-safety: Safe
 */
HN_API hn_status hn_model_plan(const hn_model *model, const hn_memory *memory, const hn_plan_params *params, hn_plan **out, hn_error *err);

/* Destroys *plan and sets it to NULL; NULL is accepted. Thread-safety: Unsafe */
HN_API void hn_plan_destroy(hn_plan **plan);

/* The plan that a loaded model obeys: it lives as long as the model. NULL on the device "cpu" and without weights. Thread-safety: Safe */
HN_API const hn_plan *hn_model_get_plan(const hn_model *model);

/* Thread-safety: Safe */
HN_API void hn_model_get_info(const hn_model *model, hn_model_info *info);

typedef struct hn_tensor_info {
  const char *name; /* lives as long as the model */
  const char *type; /* "Q4_K" */
  uint32_t n_dims;
  uint64_t dims[4]; /* innermost first, as in the file */
  uint64_t bytes;
  uint64_t offset; /* from the start of the file */
} hn_tensor_info;

/* Errors: ARGUMENT. Thread-safety: Safe */
HN_API hn_status hn_model_tensor(const hn_model *model, size_t index, hn_tensor_info *info, hn_error *err);

/*
 * Metadata entry `index` in the file's order: *key lives as long as the model; value gets its text (arrays: the number
 * of elements and their type), cut to value_size bytes with its NUL. Errors: ARGUMENT. Thread-safety: Safe
 */
HN_API hn_status hn_model_metadata(const hn_model *model, size_t index, const char **key, const char **type,
                                   char *value, size_t value_size, hn_error *err);

/* ---- text and tokens ---- */

enum {
  HN_TOKENIZE_NO_BOS = 1,  /* do not add the beginning-of-text token even where the metadata asks for it */
  HN_TOKENIZE_SPECIAL = 2, /* special tokens written in the text ("<|im_end|>") become their ids */
};

/*
 * Text (length bytes of UTF-8, invalid bytes allowed) to token ids. *n receives the number of tokens; ids beyond
 * capacity are not written, so that a call with ids NULL and capacity 0 counts.
 * Errors: UNSUPPORTED (tokenizer unknown to this version), OUT_OF_MEMORY. Thread-safety: Safe
 */
HN_API hn_status hn_tokenize(const hn_model *model, const char *text, size_t length, unsigned flags, int32_t *ids,
                             size_t capacity, size_t *n, hn_error *err);

/*
 * The bytes that a token stands for, not terminated; special tokens give their name. NULL and *length 0 for an id out
 * of range. The bytes live as long as the model. Thread-safety: Safe
 */
HN_API const char *hn_token_bytes(const hn_model *model, int32_t id, size_t *length);

/* True for every token that ends an answer (end of text, end of turn). Thread-safety: Safe */
HN_API bool hn_token_is_end(const hn_model *model, int32_t id);

/* True for control tokens, which are not shown as text. Thread-safety: Safe */
HN_API bool hn_token_is_special(const hn_model *model, int32_t id);

/* Bytes of an unfinished UTF-8 character between two tokens. Zero it before the first token. */
typedef struct hn_text_stream {
  uint8_t pending[4];
  uint8_t n_pending;
  bool started; /* false until the first piece: SentencePiece models drop one leading space there */
} hn_text_stream;

enum { HN_TEXT_STREAM_MAX = 1024 }; /* out of hn_text_stream_push needs at least this much */

/*
 * Appends a token to a stream and writes the text that is complete: whole UTF-8 characters alone; a byte that can never
 * become part of one is written as U+FFFD. Control tokens write nothing. id -1 flushes what is pending. Returns the
 * number of bytes written to out (capacity >= HN_TEXT_STREAM_MAX; longer tokens are cut at a character), not terminated.
 * Thread-safety: Safe (one stream belongs to one thread)
 */
HN_API size_t hn_text_stream_push(const hn_model *model, hn_text_stream *stream, int32_t id, char *out, size_t capacity);

typedef struct hn_chat_message {
  const char *role;    /* "system", "user", "assistant" */
  const char *content; /* UTF-8; text that looks like one of the format's markers or a control token stays text */
} hn_chat_message;

/*
 * The tokens of a conversation in the model's own chat format, with the opening of the assistant's answer at the end
 * when add_generation_prompt. Includes the beginning-of-text token as the template has it. Counting and capacity as
 * hn_tokenize. Errors: UNSUPPORTED (unknown template, or roles that it refuses), OUT_OF_MEMORY. Thread-safety: Safe
 */
HN_API hn_status hn_chat_tokenize(const hn_model *model, const hn_chat_message *messages, size_t n_messages,
                                  bool add_generation_prompt, int32_t *ids, size_t capacity, size_t *n, hn_error *err);

/*
 * The same as text. *length receives its length in bytes; at most capacity - 1 bytes and a NUL are written, so that
 * out NULL and capacity 0 count. Errors: UNSUPPORTED, OUT_OF_MEMORY. Thread-safety: Safe
 */
HN_API hn_status hn_chat_render(const hn_model *model, const hn_chat_message *messages, size_t n_messages,
                                bool add_generation_prompt, char *out, size_t capacity, size_t *length, hn_error *err);

/* ---- sessions ---- */

typedef struct hn_session hn_session;

typedef struct hn_session_params {
  uint32_t n_ctx;     /* tokens the session can hold, at most the model's training context, or HN_CTX_MAX; 0: as planned (hn_model_params.plan) */
  uint32_t n_batch;   /* tokens evaluated at once, at most 512; 0: as planned. Never changes a result. */
  uint32_t n_threads; /* device "cpu" alone; 0: one per processor (at most 64) */
} hn_session_params;

/*
 * One timeline of tokens with its KV cache. params may be NULL. On failure *out is NULL.
 * Errors: ARGUMENT, OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, DEVICE_LOST, VULKAN. Thread-safety: Safe
 */
HN_API hn_status hn_session_create(hn_model *model, const hn_session_params *params, hn_session **out, hn_error *err);

/* Destroys *session and sets it to NULL; NULL is accepted. Waits, within a limit, for work in flight.
 * Thread-safety: Unsafe */
HN_API void hn_session_destroy(hn_session **session);

/*
 * Appends n >= 1 tokens to the timeline and computes the logits of the last. Blocks until they are there.
 * On ARGUMENT (an id out of range), CANCELLED and CONTEXT_FULL the timeline is as before the call. After any other error
 * destroy is all that is left: DEVICE_LOST, TIMEOUT, OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN.
 * Thread-safety: Unsafe (a session belongs to one thread at a time)
 */
HN_API hn_status hn_session_eval(hn_session *session, const int32_t *ids, size_t n, hn_error *err);

/* Receives the logits of one position, (n_vocab) floats. Return false to cancel. */
typedef bool (*hn_logits_fn)(void *user, size_t index, const float *logits);

/* As hn_session_eval, and calls fn with the logits of every one of the n tokens, in order. Thread-safety: Unsafe */
HN_API hn_status hn_session_eval_all(hn_session *session, const int32_t *ids, size_t n, hn_logits_fn fn, void *user,
                                     hn_error *err);

/* Receives a token that was chosen. Return false to end. */
typedef bool (*hn_token_fn)(void *user, int32_t id);

/*
 * Greedy decoding: appends `id`, and fn gets the token of the largest logit behind it (hn_session_argmax); appends that, and so on, until fn has got
 * n >= 1 tokens or returns false. The last token that it got is not appended. The same as hn_session_eval for each, in less time: a GPU goes on
 * with a token that it chose while the host still reads it, up to 4 steps at a time; those that are not wanted any more it finishes and forgets.
 * Afterwards hn_session_argmax is the last token that fn got, and there are logits where one token was appended. Of the session, fn may call
 * hn_session_cancel alone; it may get up to 3 tokens more then. Errors as of hn_session_eval; CONTEXT_FULL where n tokens do not fit. On CANCELLED
 * what was appended stays: all that fn got but for the last. Thread-safety: Unsafe
 */
HN_API hn_status hn_session_decode(hn_session *session, int32_t id, size_t n, hn_token_fn fn, void *user, hn_error *err);

/*
 * Appends a token to each of n sessions of one model and computes their logits: ids[i] to sessions[i], the same bits as by hn_session_eval of each,
 * in less time, since weights are read once for all. n: 1 to 32 and at most the first session's n_batch. Errors as of hn_session_eval, of any
 * session for all: on ARGUMENT (also a session of another model, or one that is there twice), CANCELLED (any of them was) and CONTEXT_FULL all
 * timelines are as before. Thread-safety: Unsafe (all belong to the calling thread)
 */
HN_API hn_status hn_sessions_eval(hn_session *const *sessions, const int32_t *ids, size_t n, hn_error *err);

/* Logits of the last evaluated token, (n_vocab) floats, valid until the next call on the session; NULL before the
 * first evaluation, after one that failed, after a rewind, and after hn_session_decode of more than one token. Thread-safety: Unsafe */
HN_API const float *hn_session_logits(const hn_session *session);

/* The token of the largest logit (the lowest id among equals), computed on the device; -1 before the first evaluation, after one that failed and
 * after a rewind. Thread-safety: Unsafe */
HN_API int32_t hn_session_argmax(const hn_session *session);

/* Number of tokens in the timeline, and how many it can hold. Thread-safety: Unsafe */
HN_API uint32_t hn_session_n_past(const hn_session *session);
HN_API uint32_t hn_session_n_ctx(const hn_session *session);

/* The tokens of the timeline, (n_past), valid until the next call on the session. Thread-safety: Unsafe */
HN_API const int32_t *hn_session_tokens(const hn_session *session);

/* Forgets all but the first n tokens, and the logits with them. Errors: ARGUMENT (n > n_past). Thread-safety: Unsafe */
HN_API hn_status hn_session_rewind(hn_session *session, uint32_t n, hn_error *err);

/*
 * Prepares for a prompt of n >= 1 tokens that may begin like the timeline: forgets what differs. *n_kept tokens, at most n - 1, need no
 * evaluation any more: hn_session_eval(session, ids + *n_kept, n - *n_kept, err) follows. Errors: ARGUMENT (n is 0). Thread-safety: Unsafe
 */
HN_API hn_status hn_session_reuse(hn_session *session, const int32_t *ids, size_t n, size_t *n_kept, hn_error *err);

/*
 * Writes the timeline, its KV cache and the last logits to a file, which the owner alone may read: it holds what was said. About
 * 67 KiB per token of an 8B model, 36 with a cache of 4 bits. The file is complete or not there at all. Blocks. Errors: IO, and OUT_OF_MEMORY before
 * the device is asked; DEVICE_LOST, TIMEOUT, OUT_OF_MEMORY, OUT_OF_DEVICE_MEMORY, VULKAN of the device: destroy is all that is left.
 * Thread-safety: Unsafe
 */
HN_API hn_status hn_session_save(hn_session *session, const char *path, hn_error *err);

/*
 * Goes on where a saved session ended, on this device or another: the same bits. The file is read twice, once to check it; on these errors
 * the session is as before: IO, FORMAT (no session, or damaged), UNSUPPORTED (of another version), ARGUMENT (of another model, as far as samples of
 * its weights tell, or of another type of KV cache), CONTEXT_FULL, OUT_OF_MEMORY. Where a file fails that was good when it was checked, the
 * timeline is empty. After errors of the device (DEVICE_LOST, TIMEOUT, OUT_OF_DEVICE_MEMORY, VULKAN) destroy is all that is left. Blocks.
 * Thread-safety: Unsafe
 */
HN_API hn_status hn_session_load(hn_session *session, const char *path, hn_error *err);

/* Makes the evaluation that runs, or the next one, end with CANCELLED soon. Thread-safety: Safe (from any thread and
 * from a signal handler) */
HN_API void hn_session_cancel(hn_session *session);

/* ---- sampling ---- */

typedef struct hn_sampler hn_sampler;

typedef struct hn_sampler_params { /* all zero: greedy */
  float temperature;       /* 0: greedy, the largest logit, ties to the lowest id */
  uint32_t top_k;          /* keep the k largest; 0: all */
  float top_p;             /* keep the smallest set of this probability; 0 or 1: all */
  float min_p;             /* drop what is less likely than min_p times the likeliest; 0: none */
  float repeat_penalty;    /* > 1 makes tokens of the last repeat_last_n less likely; 0 or 1: off */
  uint32_t repeat_last_n;  /* 0: 64 */
  uint64_t seed;           /* the same seed gives the same choices on every machine */
} hn_sampler_params;

/* params may be NULL. Errors: ARGUMENT (a value out of its range, or not a number), OUT_OF_MEMORY. Thread-safety: Safe */
HN_API hn_status hn_sampler_create(const hn_sampler_params *params, uint32_t n_vocab, hn_sampler **out, hn_error *err);

/* Destroys *sampler and sets it to NULL; NULL is accepted. Thread-safety: Unsafe */
HN_API void hn_sampler_destroy(hn_sampler **sampler);

/* Tells the sampler of a token in the timeline (prompt or choice), for the repetition penalty. Thread-safety: Unsafe */
HN_API void hn_sampler_accept(hn_sampler *sampler, int32_t id);

/* Chooses from logits, (n_vocab) floats, which are not changed. Allocates nothing. Thread-safety: Unsafe */
HN_API int32_t hn_sampler_sample(hn_sampler *sampler, const float *logits);

/* The library's version, "0.1.0". Thread-safety: Safe */
HN_API const char *hn_version(void);

#ifdef __cplusplus
}
#endif
#endif
