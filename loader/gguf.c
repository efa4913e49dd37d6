#define _DEFAULT_SOURCE /* madvise */
#include "gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gguf_value.h"
#include "quant.h"

/* Bounds far beyond any real file, so that a damaged count cannot ask for much memory. */
#define MAX_KV (1u << 16)
#define MAX_TENSORS (1u << 18)
#define MAX_NAME 65535u /* the specification's limit for keys; tensor names are shorter */
#define MAX_NESTING 4   /* arrays within arrays */
#define MAX_ALIGNMENT (1u << 20)
#define DEFAULT_ALIGNMENT 32u

enum {
  KV_MIN_BYTES = 13,
  TENSOR_MIN_BYTES = 32
}; /* the smallest entries: length, type, value / length, dims, type, offset */

/* ---- a cursor that cannot leave the file ---- */

typedef struct reader {
  const gguf_file *file;
  size_t at;
  hn_error *err;
} reader;

static hn_status truncated(const reader *r, uint64_t need, const char *what) {
  return hn_fail(r->err, HN_ERROR_FORMAT,
                 "%s: offset %zu: expected %" PRIu64 " bytes of %s, the file ends after %zu; download it again",
                 r->file->path, r->at, need, what, r->file->size - r->at);
}

static hn_status read_bytes(reader *r, uint64_t n, const char *what, const uint8_t **out) {
  if (n > r->file->size - r->at)
    return truncated(r, n, what);
  *out = r->file->base + r->at;
  r->at += (size_t)n;
  return HN_OK;
}

static hn_status read_u32(reader *r, const char *what, uint32_t *out) {
  const uint8_t *p = NULL;
  hn_status status = read_bytes(r, 4, what, &p);
  if (!status)
    *out = (uint32_t)gguf_little_endian(p, 4);
  return status;
}

static hn_status read_u64(reader *r, const char *what, uint64_t *out) {
  const uint8_t *p = NULL;
  hn_status status = read_bytes(r, 8, what, &p);
  if (!status)
    *out = gguf_little_endian(p, 8);
  return status;
}

static hn_status read_string(reader *r, const char *what, gguf_str *out) {
  uint64_t len = 0;
  const uint8_t *p = NULL;
  hn_status status = read_u64(r, what, &len);
  if (!status)
    status = read_bytes(r, len, what, &p);
  if (!status)
    *out = (gguf_str){(const char *)p, (size_t)len};
  return status;
}

/* ---- values ---- */

static hn_status read_value(reader *r, uint32_t type, unsigned depth, gguf_value *out);

static hn_status read_array(reader *r, unsigned depth, gguf_value *out) {
  uint32_t elem_type = 0;
  size_t at = r->at;
  hn_status status = read_u32(r, "an array's element type", &elem_type);
  if (!status)
    status = read_u64(r, "an array's length", &out->count);
  if (status)
    return status;
  out->elem_type = (gguf_type)elem_type;
  out->data = r->file->base + r->at;
  size_t size = gguf_scalar_size(out->elem_type);
  if (size == 0 && elem_type != GGUF_STRING && elem_type != GGUF_ARRAY)
    return hn_fail(r->err, HN_ERROR_FORMAT, "%s: offset %zu: expected an element type of 0 to 12, found %" PRIu32,
                   r->file->path, at, elem_type);
  if (depth >= MAX_NESTING)
    return hn_fail(r->err, HN_ERROR_FORMAT, "%s: offset %zu: expected at most %d nested arrays", r->file->path, at,
                   MAX_NESTING);
  size_t least = size ? size : elem_type == GGUF_STRING ? 8 : 12;
  if (out->count > (r->file->size - r->at) / least)
    return hn_fail(r->err, HN_ERROR_FORMAT,
                   "%s: offset %zu: expected an array of %" PRIu64 " elements, the file has %zu bytes left",
                   r->file->path, at, out->count, r->file->size - r->at);
  if (size) {
    r->at += (size_t)out->count * size;
    return HN_OK;
  }
  gguf_value element;
  for (uint64_t i = 0; i < out->count && !status; i++)
    status = read_value(r, elem_type, depth + 1, &element);
  return status;
}

static hn_status read_value(reader *r, uint32_t type, unsigned depth, gguf_value *out) {
  hn_status status = HN_OK;
  gguf_str string;
  size_t at = r->at;
  *out = (gguf_value){.type = (gguf_type)type, .elem_type = (gguf_type)type, .count = 1, .data = r->file->base + at};
  size_t size = gguf_scalar_size(out->type);
  if (size)
    status = read_bytes(r, size, "a value", &out->data);
  else if (type == GGUF_STRING)
    status = read_string(r, "a string", &string);
  else if (type == GGUF_ARRAY)
    status = read_array(r, depth, out);
  else
    status = hn_fail(r->err, HN_ERROR_FORMAT, "%s: offset %zu: expected a value type of 0 to 12, found %" PRIu32,
                     r->file->path, at, type);
  out->end = r->file->base + r->at;
  return status;
}

/* ---- look-up: arrays of pointers sorted by name ---- */

typedef struct gguf_index {
  const gguf_kv **kv;
  const gguf_tensor **tensors;
} gguf_index;

static int compare_kv(const void *a, const void *b) {
  return strcmp((*(const gguf_kv *const *)a)->key, (*(const gguf_kv *const *)b)->key);
}

static int compare_tensor(const void *a, const void *b) {
  return strcmp((*(const gguf_tensor *const *)a)->name, (*(const gguf_tensor *const *)b)->name);
}

static int compare_offset(const void *a, const void *b) {
  uint64_t x = (*(const gguf_tensor *const *)a)->offset, y = (*(const gguf_tensor *const *)b)->offset;
  return x < y ? -1 : x > y;
}

uint64_t gguf_n_elements(const gguf_file *file) {
  uint64_t n = 0;
  for (size_t i = 0; i < file->n_tensors; i++) {
    const uint64_t *d = file->tensors[i].dims;
    n += d[0] * d[1] * d[2] * d[3];
  }
  return n;
}

const gguf_value *gguf_find(const gguf_file *file, const char *key) {
  const gguf_index *index = file->index;
  gguf_kv probe = {.key = key};
  const gguf_kv *p = &probe;
  const gguf_kv **hit = file->n_kv ? bsearch(&p, index->kv, file->n_kv, sizeof p, compare_kv) : NULL;
  return hit ? &(*hit)->value : NULL;
}

const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name) {
  const gguf_index *index = file->index;
  gguf_tensor probe = {.name = name};
  const gguf_tensor *p = &probe;
  const gguf_tensor **hit =
      file->n_tensors ? bsearch(&p, index->tensors, file->n_tensors, sizeof p, compare_tensor) : NULL;
  return hit ? *hit : NULL;
}

static hn_status out_of_memory(const gguf_file *file, hn_error *err) {
  return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "%s: out of memory while reading the header", file->path);
}

static hn_status build_index(gguf_file *file, hn_error *err) {
  gguf_index *index = calloc(1, sizeof *index);
  file->index = index;
  if (!index)
    return out_of_memory(file, err);
  index->kv = malloc((file->n_kv + 1) * sizeof *index->kv);
  index->tensors = malloc((file->n_tensors + 1) * sizeof *index->tensors);
  if (!index->kv || !index->tensors)
    return out_of_memory(file, err);
  for (size_t i = 0; i < file->n_kv; i++)
    index->kv[i] = &file->kv[i];
  for (size_t i = 0; i < file->n_tensors; i++)
    index->tensors[i] = &file->tensors[i];
  qsort(index->kv, file->n_kv, sizeof *index->kv, compare_kv);
  for (size_t i = 1; i < file->n_kv; i++)
    if (compare_kv(&index->kv[i - 1], &index->kv[i]) == 0)
      return hn_fail(err, HN_ERROR_FORMAT, "%s: the metadata key '%.100s' stands twice", file->path, index->kv[i]->key);
  return HN_OK;
}

/* ---- the header ---- */

/* Keys and names become terminated copies, in one block that is as large as their sum. */
static hn_status copy_name(reader *r, char **cursor, size_t at, gguf_str name, const char *what, const char **out) {
  if (name.len == 0 || name.len > MAX_NAME || memchr(name.data, 0, name.len))
    return hn_fail(r->err, HN_ERROR_FORMAT, "%s: offset %zu: expected %s of 1 to %u bytes without NUL, found %zu bytes",
                   r->file->path, at, what, MAX_NAME, name.len);
  memcpy(*cursor, name.data, name.len);
  (*cursor)[name.len] = 0;
  *out = *cursor;
  *cursor += name.len + 1;
  return HN_OK;
}

static hn_status read_start(reader *r, gguf_file *file, uint64_t *n_tensors, uint64_t *n_kv) {
  const uint8_t *magic = NULL;
  hn_status status = read_bytes(r, 4, "the magic 'GGUF'", &magic);
  if (status)
    return status;
  if (memcmp(magic, "GGUF", 4) != 0)
    return hn_fail(r->err, HN_ERROR_FORMAT, "%s: offset 0: expected the magic 'GGUF'; this is no GGUF file",
                   file->path);
  status = read_u32(r, "the version", &file->version);
  if (status)
    return status;
  if ((file->version & 0xFFFFu) == 0 && file->version != 0)
    return hn_fail(r->err, HN_ERROR_UNSUPPORTED,
                   "%s: offset 4: expected a little-endian file, found a big-endian one; convert it", file->path);
  if (file->version != 2 && file->version != 3)
    return hn_fail(r->err, HN_ERROR_UNSUPPORTED, "%s: offset 4: expected GGUF version 2 or 3, found %" PRIu32,
                   file->path, file->version);
  status = read_u64(r, "the number of tensors", n_tensors);
  if (!status)
    status = read_u64(r, "the number of metadata entries", n_kv);
  if (status)
    return status;
  uint64_t left = file->size - r->at;
  if (*n_tensors > MAX_TENSORS || *n_tensors > left / TENSOR_MIN_BYTES)
    return hn_fail(r->err, HN_ERROR_FORMAT,
                   "%s: offset 8: expected a number of tensors that fits the file, found %" PRIu64, file->path,
                   *n_tensors);
  if (*n_kv > MAX_KV || *n_kv > left / KV_MIN_BYTES)
    return hn_fail(r->err, HN_ERROR_FORMAT,
                   "%s: offset 16: expected a number of metadata entries that fits the file, found %" PRIu64,
                   file->path, *n_kv);
  return HN_OK;
}

static hn_status read_kv(reader *r, gguf_kv *kv, char **names) {
  gguf_str key = {0};
  uint32_t type = 0;
  size_t at = r->at;
  hn_status status = read_string(r, "a metadata key", &key);
  if (!status)
    status = copy_name(r, names, at, key, "a metadata key", &kv->key);
  if (!status)
    status = read_u32(r, "a value's type", &type);
  if (!status)
    status = read_value(r, type, 0, &kv->value);
  return status;
}

static hn_status read_n_dims(reader *r, uint32_t *out) {
  hn_status status = read_u32(r, "a tensor's number of dimensions", out);
  if (!status && (*out < 1 || *out > 4))
    status = hn_fail(r->err, HN_ERROR_FORMAT, "%s: offset %zu: expected 1 to 4 dimensions, found %" PRIu32,
                     r->file->path, r->at - 4, *out);
  return status;
}

/* offset is still relative to the data section here; place_tensors makes it absolute. */
static hn_status read_tensor(reader *r, gguf_tensor *t, char **names) {
  gguf_str name = {0};
  size_t at = r->at;
  hn_status status = read_string(r, "a tensor's name", &name);
  if (!status)
    status = copy_name(r, names, at, name, "a tensor's name", &t->name);
  if (!status)
    status = read_n_dims(r, &t->n_dims);
  if (status)
    return status;
  for (uint32_t i = 0; i < 4; i++)
    t->dims[i] = 1;
  for (uint32_t i = 0; i < t->n_dims && !status; i++)
    status = read_u64(r, "a tensor's dimensions", &t->dims[i]);
  if (!status)
    status = read_u32(r, "a tensor's type", &t->type);
  if (!status)
    status = read_u64(r, "a tensor's offset", &t->offset);
  return status;
}

/* Number of elements and bytes, each step checked against overflow. */
static hn_status size_tensor(gguf_file *file, gguf_tensor *t, hn_error *err) {
  quant_type_info info = quant_info(t->type);
  if (!info.name)
    return hn_fail(err, HN_ERROR_UNSUPPORTED,
                   "%s: tensor '%.100s' has type %" PRIu32
                   ", which this version cannot read (F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS)",
                   file->path, t->name, t->type);
  uint64_t elements = 1;
  for (uint32_t i = 0; i < 4; i++) {
    if (t->dims[i] == 0 || t->dims[i] > UINT64_MAX / 8 / elements)
      return hn_fail(err, HN_ERROR_FORMAT,
                     "%s: tensor '%.100s': expected a size of at least 1, found dimension %" PRIu32 " of %" PRIu64,
                     file->path, t->name, i, t->dims[i]);
    elements *= t->dims[i];
  }
  if (t->dims[0] % info.block_weights)
    return hn_fail(err, HN_ERROR_FORMAT,
                   "%s: tensor '%.100s': expected a first dimension that is a multiple of %" PRIu32
                   " for %s, found %" PRIu64,
                   file->path, t->name, info.block_weights, info.name, t->dims[0]);
  uint64_t blocks = elements / info.block_weights;
  if (blocks > file->size / info.block_bytes)
    return hn_fail(err, HN_ERROR_FORMAT,
                   "%s: tensor '%.100s': expected %" PRIu64
                   " blocks of %s, the whole file has %zu bytes; download it again",
                   file->path, t->name, blocks, info.name, file->size);
  t->bytes = blocks * info.block_bytes;
  return HN_OK;
}

static hn_status place_tensor(gguf_file *file, gguf_tensor *t, size_t data_start, hn_error *err) {
  if (t->offset % file->alignment)
    return hn_fail(err, HN_ERROR_FORMAT,
                   "%s: tensor '%.100s': expected an offset that is a multiple of %" PRIu64 ", found %" PRIu64,
                   file->path, t->name, file->alignment, t->offset);
  uint64_t room = file->size - data_start;
  if (t->offset > room || t->bytes > room - t->offset)
    return hn_fail(err, HN_ERROR_FORMAT,
                   "%s: tensor '%.100s': expected %" PRIu64 " bytes at offset %" PRIu64
                   ", the file ends at %zu; download it again",
                   file->path, t->name, t->bytes,
                   t->offset < UINT64_MAX - data_start ? data_start + t->offset : t->offset, file->size);
  t->offset += data_start;
  t->data = file->base + t->offset;
  return HN_OK;
}

/* Absolute offsets, no two tensors on the same bytes, no name twice. */
static hn_status place_tensors(gguf_file *file, size_t header_end, hn_error *err) {
  gguf_index *index = file->index;
  uint64_t start = (header_end + file->alignment - 1) / file->alignment * file->alignment;
  if (file->n_tensors && start > file->size)
    return hn_fail(err, HN_ERROR_FORMAT, "%s: offset %zu: expected tensor data, the file ends here; download it again",
                   file->path, file->size);
  hn_status status = HN_OK;
  for (size_t i = 0; i < file->n_tensors && !status; i++) {
    status = size_tensor(file, &file->tensors[i], err);
    if (!status)
      status = place_tensor(file, &file->tensors[i], (size_t)start, err);
  }
  if (status)
    return status;
  qsort(index->tensors, file->n_tensors, sizeof *index->tensors, compare_offset);
  for (size_t i = 1; i < file->n_tensors; i++) {
    const gguf_tensor *a = index->tensors[i - 1], *b = index->tensors[i];
    if (b->offset < a->offset + a->bytes)
      return hn_fail(err, HN_ERROR_FORMAT, "%s: offset %" PRIu64 ": tensors '%.100s' and '%.100s' overlap", file->path,
                     b->offset, a->name, b->name);
  }
  qsort(index->tensors, file->n_tensors, sizeof *index->tensors, compare_tensor);
  for (size_t i = 1; i < file->n_tensors; i++)
    if (compare_tensor(&index->tensors[i - 1], &index->tensors[i]) == 0)
      return hn_fail(err, HN_ERROR_FORMAT, "%s: the tensor '%.100s' stands twice", file->path, index->tensors[i]->name);
  return HN_OK;
}

static hn_status read_alignment(gguf_file *file, hn_error *err) {
  const gguf_value *value = gguf_find(file, "general.alignment");
  uint32_t alignment = DEFAULT_ALIGNMENT;
  if (value && !gguf_u32(value, &alignment))
    alignment = 0;
  if (alignment == 0 || alignment % 8 || (alignment & (alignment - 1)) || alignment > MAX_ALIGNMENT)
    return hn_fail(err, HN_ERROR_FORMAT, "%s: general.alignment: expected a power of two of 8 to %u, found %" PRIu32,
                   file->path, MAX_ALIGNMENT, alignment);
  file->alignment = alignment;
  return HN_OK;
}

/* Bytes that the terminated copies of all names take: measured in a first pass, so that they stand in one block. */
static hn_status measure_names(reader r, uint64_t n_tensors, uint64_t n_kv, size_t *out) {
  size_t bytes = 1;
  hn_status status = HN_OK;
  uint32_t type = 0, n_dims = 0;
  gguf_str name = {0};
  gguf_value value;
  for (uint64_t i = 0; i < n_kv && !status; i++) {
    status = read_string(&r, "a metadata key", &name);
    if (!status)
      status = read_u32(&r, "a value's type", &type);
    if (!status)
      status = read_value(&r, type, 0, &value);
    if (!status)
      bytes += name.len + 1;
  }
  for (uint64_t i = 0; i < n_tensors && !status; i++) {
    const uint8_t *skipped;
    status = read_string(&r, "a tensor's name", &name);
    if (!status)
      status = read_n_dims(&r, &n_dims);
    if (!status)
      status = read_bytes(&r, (uint64_t)n_dims * 8 + 12, "a tensor's dimensions", &skipped);
    if (!status)
      bytes += name.len + 1;
  }
  *out = bytes;
  return status;
}

static hn_status parse(gguf_file *file, hn_error *err) {
  reader r = {file, 0, err};
  uint64_t n_tensors = 0, n_kv = 0;
  size_t name_bytes = 0;
  hn_status status = read_start(&r, file, &n_tensors, &n_kv);
  if (!status)
    status = measure_names(r, n_tensors, n_kv, &name_bytes);
  if (status)
    return status;
  file->names = malloc(name_bytes);
  file->kv = calloc((size_t)n_kv + 1, sizeof *file->kv);
  file->tensors = calloc((size_t)n_tensors + 1, sizeof *file->tensors);
  if (!file->names || !file->kv || !file->tensors)
    return out_of_memory(file, err);
  char *names = file->names;
  for (; file->n_kv < n_kv && !status; file->n_kv += !status)
    status = read_kv(&r, &file->kv[file->n_kv], &names);
  for (; file->n_tensors < n_tensors && !status; file->n_tensors += !status)
    status = read_tensor(&r, &file->tensors[file->n_tensors], &names);
  if (!status)
    status = build_index(file, err);
  if (!status)
    status = read_alignment(file, err);
  if (!status)
    status = place_tensors(file, r.at, err);
  return status;
}

/* ---- open and close ---- */

static hn_status map_file(const char *path, gguf_file *file, hn_error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return hn_fail(err, HN_ERROR_IO, "%s: %s", path, strerror(errno));
  hn_status status = HN_OK;
  struct stat st;
  if (fstat(fd, &st) != 0)
    status = hn_fail(err, HN_ERROR_IO, "%s: %s", path, strerror(errno));
  else if (!S_ISREG(st.st_mode))
    status = hn_fail(err, HN_ERROR_IO, "%s: not a regular file", path);
  else if (st.st_size < 24)
    status = hn_fail(err, HN_ERROR_FORMAT, "%s: offset 0: expected a GGUF header of 24 bytes, the file has %lld", path,
                     (long long)st.st_size);
  if (!status) {
    void *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
      status = hn_fail(err, HN_ERROR_IO, "%s: cannot map the file: %s", path, strerror(errno));
    } else {
      file->base = base;
      file->size = (size_t)st.st_size;
      file->mapped = true;
    }
  }
  close(fd);
  return status;
}

static gguf_file *new_file(const char *path) {
  gguf_file *file = calloc(1, sizeof *file);
  size_t n = strlen(path) + 1;
  if (file && (file->path = malloc(n)))
    memcpy(file->path, path, n);
  else
    gguf_close(&file);
  return file;
}

hn_status gguf_open(const char *path, gguf_file **out, hn_error *err) {
  *out = NULL;
  gguf_file *file = new_file(path);
  if (!file)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
  hn_status status = map_file(path, file, err);
  if (!status)
    status = parse(file, err);
  if (status)
    gguf_close(&file);
  *out = file;
  return status;
}

hn_status gguf_open_memory(const void *data, size_t size, const char *name, gguf_file **out, hn_error *err) {
  *out = NULL;
  gguf_file *file = new_file(name);
  if (!file)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "%s: out of memory", name);
  union {
    const void *in;
    void *out;
  } memory = {data}; /* never written to: mapped is false */
  file->base = memory.out;
  file->size = size;
  hn_status status = parse(file, err);
  if (status)
    gguf_close(&file);
  *out = file;
  return status;
}

void gguf_release(const gguf_file *file, const gguf_tensor *tensor) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), first = tensor->offset / page * page;
  if (file->mapped)
    madvise(file->base + first, tensor->offset + tensor->bytes - first, MADV_DONTNEED); /* advice: it may fail */
}

void gguf_close(gguf_file **file) {
  gguf_file *f = *file;
  if (!f)
    return;
  if (f->mapped)
    munmap(f->base, f->size);
  gguf_index *index = f->index;
  if (index) {
    free(index->kv);
    free(index->tensors);
  }
  free(index);
  free(f->names);
  free(f->kv);
  free(f->tensors);
  free(f->path);
  free(f);
  *file = NULL;
}
