#include "variants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tuning.h"

hn_status variants_init(kernels *k, const spirv_module *modules, bool test_bits, variants *out, hn_error *err) {
  *out = (variants){.kernels = k, .modules = modules};
  return test_bits ? selftest_create(k->device, &out->test, err) : HN_OK;
}

void variants_finish(variants *v) {
  selftest_destroy(&v->test);
}

static void note_wrong(variants *v, const char *name) {
  size_t used = strlen(v->wrong), left = sizeof v->wrong - used;
  v->n_wrong++;
  if (left > strlen(name) + 8)
    snprintf(v->wrong + used, left, "%s%s", used ? ", " : "", name);
  else if (left > 5 && strcmp(v->wrong + used - 3, "...") != 0)
    snprintf(v->wrong + used, left, ", ...");
}

/* The self-test of a pipeline that is there. */
static hn_status judge(variants *v, kernel_id id, uint32_t type, const spirv_module *module, bool *right, hn_error *err) {
  uint64_t digest = 0;
  *right = true;
  hn_status status = v->test ? selftest_run(v->test, v->kernels, id, type, &digest, err) : HN_OK;
  if (status || !v->test)
    return status;
  v->n_tried++;
  *right = digest == selftest_expected(id, type, v->kernels->kv_type);
  if (!*right) {
    const gpu_device *d = v->kernels->device;
    note_wrong(v, module->name);
    hn_log(&d->instance->logger, HN_LOG_WARNING, "%s computes the shader %s wrong (a fault of its driver)", d->info.name, module->name);
  }
  return HN_OK;
}

/* Variants in the order in which they are tried. Integers in floats come before packed products where these are emulated: Mesa's compilers need
 * 8 to 12 % fewer instructions for vega10, navi10 and skl (tests/vendors/table.csv). On a CPU lavapipe's packed products are 4 to 6 % faster. */
enum { N_RANKS = 4 };

static uint32_t rank_of(const gpu_device *device, const spirv_module *module) {
  bool floats_first = !device->info.fast_integer_dot_product && device->info.type != HN_DEVICE_SOFTWARE;
  if (tuning_is_cooperative(module))
    return tuning_prefers_matrices(&device->info, module) ? 0 : N_RANKS - 1;
  return (strcmp(module->variant, "intf32") == 0) == floats_first ? 1 : 2;
}

/* Judges a module that kernels_use compiled, or not: `compiled`, and *why where it failed. A driver that does not compile it is noted as one
 * that computes it wrong. Other errors, such as a lost device, are returned. */
static hn_status settle(variants *v, kernel_id id, uint32_t type, const spirv_module *m, hn_status compiled, const hn_error *why, bool *right,
                        hn_error *err) {
  *right = false;
  v->n_matrix += tuning_is_cooperative(m);
  if (!compiled)
    return judge(v, id, type, m, right, err);
  if (compiled != HN_ERROR_VULKAN) {
    if (err)
      *err = *why;
    return compiled;
  }
  v->n_tried++;
  note_wrong(v, m->name);
  hn_log(&v->kernels->device->instance->logger, HN_LOG_WARNING, "%s", why->message);
  return HN_OK;
}

/* ---- choosing ---- */

/* A kernel whose variants are tried. */
typedef struct choice {
  kernel_id id;
  uint32_t type;
  const spirv_module *module; /* that is compiled, or was; NULL: there is none */
  hn_status compiled;
  hn_error why; /* of the last that did not compile */
} choice;

typedef struct choices {
  variants *variants;
  uint32_t n;
  choice all[];
} choices;

/* In the order in which a kernel's variants are tried, the one behind `after`; NULL: the first. Returns NULL behind the last. */
static const spirv_module *next_variant(const variants *v, kernel_id id, uint32_t type, const spirv_module *after) {
  bool seen = !after;
  const gpu_device *device = v->kernels->device;
  for (uint32_t rank = 0; rank < N_RANKS; rank++)
    for (const spirv_module *m = v->modules; m->name; m++) {
      kernel_id its_id;
      uint32_t its_type;
      if (!kernel_of(m, &its_id, &its_type) || its_id != id || its_type != type || rank_of(device, m) != rank || !kernels_suit(&device->info, m))
        continue;
      if (seen)
        return m;
      seen = m == after;
    }
  return NULL;
}

static void compile(variants *v, choice *c) {
  if (c->module)
    c->compiled = kernels_use(v->kernels, c->id, c->type, c->module, &c->why);
}

/* Each has a place of its own among the pipelines, and Vulkan's pipeline cache locks itself, so that several threads may. */
static void compile_some(void *arg, uint32_t begin, uint32_t end) {
  choices *self = arg;
  for (uint32_t i = begin; i < end; i++)
    compile(self->variants, &self->all[i]);
}

static hn_status none_is_right(const kernels *k, const choice *c, bool found, hn_error *err) {
  const char *space = c->id < KERNEL_FIRST_TYPED ? "" : " ", *of = c->id < KERNEL_FIRST_TYPED ? "" : quant_info(c->type).name;
  if (!found)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "this build has no shader %s%s%s", kernel_name(c->id), space, of);
  if (c->why.code)
    return hn_fail_vk(err, HN_ERROR_NO_DEVICE, (VkResult)c->why.vk_result, "%s; no other variant is right", c->why.message);
  return hn_fail(err, HN_ERROR_NO_DEVICE,
                 "%s computes every variant of the shader %s%s%s wrong: its driver (%s) is at fault, a newer one may help; the device "
                 "\"cpu\" works without",
                 k->device->info.name, kernel_name(c->id), space, of, k->device->info.driver);
}

/* The first variant is compiled already. */
static hn_status choose(variants *v, choice *c, hn_error *err) {
  bool found = c->module;
  while (c->module) {
    bool right = false;
    hn_status status = settle(v, c->id, c->type, c->module, c->compiled, &c->why, &right, err);
    if (status || right)
      return status;
    if (!tuning_file_forget(&v->kernels->tuned, c->module->name)) /* else once more, with the constants of tuning.h */
      c->module = next_variant(v, c->id, c->type, c->module);
    compile(v, c);
  }
  gpu_pipeline_finish(v->kernels->device, &v->kernels->pipelines[c->id][c->type]);
  return none_is_right(v->kernels, c, found, err);
}

void variants_want(variants *v, kernel_id id, uint32_t type) {
  v->wanted[id][type] = true;
}

void variants_want_plain(variants *v, uint32_t kv_type) {
  for (int id = 0; id < KERNEL_FIRST_OF_WEIGHTS; id++)
    variants_want(v, (kernel_id)id, id < KERNEL_FIRST_TYPED ? 0 : kv_type);
}

hn_status variants_choose(variants *v, threads *pool, hn_error *err) {
  const size_t most = (size_t)N_KERNELS * N_KERNEL_TYPES;
  choices *self = calloc(1, sizeof *self + most * sizeof *self->all);
  hn_status status = HN_OK;
  if (!self)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for choosing shaders");
  self->variants = v;
  for (int id = 0; id < N_KERNELS; id++)
    for (uint32_t type = 0; type < N_KERNEL_TYPES; type++)
      if (v->wanted[id][type] && !v->kernels->pipelines[id][type].handle)
        self->all[self->n++] = (choice){(kernel_id)id, type, next_variant(v, (kernel_id)id, type, NULL), HN_OK, {0}};
  threads_run(pool, self->n, 1, compile_some, self);
  for (uint32_t i = 0; i < self->n && !status; i++)
    status = choose(v, &self->all[i], err);
  free(self);
  return status;
}

hn_status variants_try_all(variants *v, hn_error *err) {
  hn_status status = HN_OK;
  for (const spirv_module *m = v->modules; m->name && !status; m++) {
    kernel_id id;
    uint32_t type;
    bool right;
    if (!kernel_of(m, &id, &type))
      return hn_fail(err, HN_ERROR_UNSUPPORTED, "no kernel for the shader %s", m->name);
    if (!kernels_suit(&v->kernels->device->info, m))
      continue;
    hn_error why = {0};
    hn_status compiled = kernels_use(v->kernels, id, type, m, &why);
    status = settle(v, id, type, m, compiled, &why, &right, err);
  }
  return status;
}
