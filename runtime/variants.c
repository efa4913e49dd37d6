#include "variants.h"

#include <stdio.h>
#include <string.h>

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
  *right = digest == selftest_expected(id, type);
  if (!*right) {
    const gpu_device *d = v->kernels->device;
    note_wrong(v, module->name);
    hn_log(&d->instance->logger, HN_LOG_WARNING, "%s computes the shader %s wrong (a fault of its driver)", d->info.name, module->name);
  }
  return HN_OK;
}

/* Integers in floats come first on a GPU without packed products in hardware: Mesa's compilers need 8 to 12 % fewer instructions for
 * vega10, navi10 and skl (tests/vendors/table.csv). On a CPU, lavapipe's packed products are 4 to 6 % faster. */
static bool comes_first(const gpu_device *device, const spirv_module *module) {
  bool floats = strcmp(module->variant, "intf32") == 0, emulated = !device->info.fast_integer_dot_product;
  return floats == (emulated && device->info.type != HN_DEVICE_SOFTWARE);
}

/* Compiles and runs one module. A driver that does not compile it is noted as one that computes it wrong: *why tells. Other errors, such as
 * a lost device, are returned. */
static hn_status try_module(variants *v, kernel_id id, uint32_t type, const spirv_module *m, bool *right, hn_error *why, hn_error *err) {
  *right = false;
  hn_status status = kernels_use(v->kernels, id, type, m, why);
  if (!status)
    return judge(v, id, type, m, right, err);
  if (status != HN_ERROR_VULKAN) {
    if (err)
      *err = *why;
    return status;
  }
  v->n_tried++;
  note_wrong(v, m->name);
  hn_log(&v->kernels->device->instance->logger, HN_LOG_WARNING, "%s", why->message);
  return HN_OK;
}

hn_status variants_add(variants *v, kernel_id id, uint32_t type, hn_error *err) {
  kernels *k = v->kernels;
  hn_error why = {0};
  bool found = false, right = false;
  if (k->pipelines[id][type].handle)
    return HN_OK;
  for (int pass = 0; pass < 2; pass++)
    for (const spirv_module *m = v->modules; m->name; m++) {
      kernel_id its_id;
      uint32_t its_type;
      if (!kernel_of(m, &its_id, &its_type) || its_id != id || its_type != type || comes_first(k->device, m) != (pass == 0))
        continue;
      found = true;
      hn_status status = try_module(v, id, type, m, &right, &why, err);
      if (status || right)
        return status;
    }
  gpu_pipeline_finish(k->device, &k->pipelines[id][type]);
  const char *space = id < KERNEL_FIRST_TYPED ? "" : " ", *of = id < KERNEL_FIRST_TYPED ? "" : quant_info(type).name;
  if (!found)
    return hn_fail(err, HN_ERROR_UNSUPPORTED, "this build has no shader %s%s%s", kernel_name(id), space, of);
  if (why.code)
    return hn_fail_vk(err, HN_ERROR_NO_DEVICE, (VkResult)why.vk_result, "%s; no other variant is right", why.message);
  return hn_fail(err, HN_ERROR_NO_DEVICE,
                 "%s computes every variant of the shader %s%s%s wrong: its driver (%s) is at fault, a newer one may help; the device "
                 "\"cpu\" works without",
                 k->device->info.name, kernel_name(id), space, of, k->device->info.driver);
}

hn_status variants_add_plain(variants *v, uint32_t kv_type, hn_error *err) {
  hn_status status = HN_OK;
  for (int id = 0; id < KERNEL_FIRST_TYPED && !status; id++)
    status = variants_add(v, (kernel_id)id, 0, err);
  for (int id = KERNEL_FIRST_TYPED; id < KERNEL_FIRST_OF_WEIGHTS && !status; id++)
    status = variants_add(v, (kernel_id)id, kv_type, err);
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
    hn_error why = {0};
    status = try_module(v, id, type, m, &right, &why, err);
  }
  return status;
}
