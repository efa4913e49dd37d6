/* cmd_devices.c: the Vulkan devices and what they lack. */
#include <cjson/cJSON.h>

#include "commands.h"
#include "json.h"
#include "output.h"
#include "runner.h"
#include "terminal.h"

typedef struct feature {
  const char *name;
  bool has;
} feature;

enum { N_FEATURES = 8 };

static void list_features(const hn_device_info *d, feature features[N_FEATURES]) {
  const feature all[N_FEATURES] = {
      {"bufferDeviceAddress", d->has_buffer_device_address},
      {"synchronization2", d->has_synchronization2},
      {"timelineSemaphore", d->has_timeline_semaphore},
      {"shaderIntegerDotProduct", d->has_integer_dot_product},
      {"maintenance4", d->has_maintenance4},
      {"fastIntegerDotProduct", d->fast_integer_dot_product},
      {"subgroupSizeControl", d->has_subgroup_size_control},
      {"memoryBudget", d->has_memory_budget},
  };
  for (int i = 0; i < N_FEATURES; i++)
    features[i] = all[i];
}

/* What the self-test of the shaders says of a device. */
typedef struct verdict {
  bool done; /* false: the device is not usable, or failed, see error */
  hn_self_test test;
  hn_error error;
} verdict;

static void print_shaders(const verdict *v) {
  const hn_self_test *t = &v->test;
  if (!v->done)
    out_printf("   shaders   not tested: %s\n", v->error.message);
  else if (t->n_wrong == 0)
    out_printf("   shaders   all %u give the right bits\n", (unsigned)t->n_shaders);
  else
    out_printf("   shaders   %u of %u give wrong bits (a fault of the driver): %s\n", (unsigned)t->n_wrong, (unsigned)t->n_shaders,
               t->wrong);
}

static void print_text(size_t index, const hn_device_info *d, const verdict *v) {
  char size[HUMAN_SIZE];
  /* The fields of a VK_MAKE_API_VERSION: 3 bits variant, 7 major, 10 minor, 12 patch. */
  unsigned major = (d->vulkan_version >> 22) & 0x7F, minor = (d->vulkan_version >> 12) & 0x3FF,
           patch = d->vulkan_version & 0xFFF;
  out_printf("%zu: %s%s\n", index, d->name, d->best ? " (best)" : "");
  out_printf("   driver    %s\n", d->driver);
  out_printf("   type      %s, Vulkan %u.%u.%u, vendor 0x%04x, device 0x%04x\n", device_type_name(d->type), major, minor,
             patch, (unsigned)d->vendor_id, (unsigned)d->device_id);
  out_printf("   memory    %s", human_bytes(d->device_memory, size));
  if (d->host_memory > 0)
    out_printf(" and %s of the host's", human_bytes(d->host_memory, size));
  out_printf("%s, allocations up to %s\n", d->unified ? ", unified" : "", human_bytes(d->max_allocation_bytes, size));
  out_printf("   subgroup  %u (%u to %u)\n", (unsigned)d->subgroup_size, (unsigned)d->min_subgroup_size,
             (unsigned)d->max_subgroup_size);
  out_printf("   limits    %u invocations, %u bytes shared, %u bytes of push constants\n",
             (unsigned)d->max_workgroup_invocations, (unsigned)d->shared_memory_bytes,
             (unsigned)d->push_constant_bytes);
  if (d->matrix_m)
    out_printf("   matrices  cooperative, int8, %u x %u x %u; %u of this build's shaders use them\n", (unsigned)d->matrix_m, (unsigned)d->matrix_n,
               (unsigned)d->matrix_k, (unsigned)v->test.n_matrix);
  feature features[N_FEATURES];
  list_features(d, features);
  for (int i = 0; i < N_FEATURES; i++)
    out_printf("%s%s %s", i == 0 ? "   features  " : ", ", features[i].name, features[i].has ? "yes" : "no");
  out_printf("\n   usable    %s%s\n", d->usable ? "yes" : "no, it lacks ", d->usable ? "" : d->lacks);
  if (d->usable)
    print_shaders(v);
}

static void add_json(cJSON *list, size_t index, const hn_device_info *d, const verdict *v) {
  cJSON *o = cJSON_CreateObject();
  json_add_number(o, "index", (double)index);
  json_add_text(o, "name", d->name);
  json_add_text(o, "driver", d->driver);
  json_add_text(o, "type", device_type_name(d->type));
  json_add_number(o, "vulkan_version", d->vulkan_version);
  json_add_number(o, "vendor_id", d->vendor_id);
  json_add_number(o, "device_id", d->device_id);
  json_add_number(o, "device_memory", (double)d->device_memory);
  json_add_number(o, "host_memory", (double)d->host_memory);
  json_add_number(o, "max_allocation_bytes", (double)d->max_allocation_bytes);
  cJSON_AddBoolToObject(o, "unified", d->unified);
  json_add_number(o, "subgroup_size", d->subgroup_size);
  json_add_number(o, "min_subgroup_size", d->min_subgroup_size);
  json_add_number(o, "max_subgroup_size", d->max_subgroup_size);
  const int matrix[] = {(int)d->matrix_m, (int)d->matrix_n, (int)d->matrix_k};
  cJSON_AddItemToObject(o, "matrix", cJSON_CreateIntArray(matrix, 3));
  json_add_number(o, "max_workgroup_invocations", d->max_workgroup_invocations);
  json_add_number(o, "shared_memory_bytes", d->shared_memory_bytes);
  json_add_number(o, "push_constant_bytes", d->push_constant_bytes);
  cJSON *has = cJSON_AddObjectToObject(o, "features");
  feature features[N_FEATURES];
  list_features(d, features);
  for (int i = 0; i < N_FEATURES; i++)
    cJSON_AddBoolToObject(has, features[i].name, features[i].has);
  cJSON_AddBoolToObject(o, "usable", d->usable);
  cJSON_AddBoolToObject(o, "best", d->best);
  json_add_text(o, "lacks", d->lacks);
  if (d->usable) {
    cJSON *shaders = cJSON_AddObjectToObject(o, "shaders");
    json_add_number(shaders, "tested", v->test.n_shaders);
    json_add_number(shaders, "matrix", v->test.n_matrix);
    json_add_number(shaders, "wrong", v->test.n_wrong);
    json_add_text(shaders, "wrong_names", v->test.wrong);
    json_add_text(shaders, "error", v->done ? "" : v->error.message);
  }
  cJSON_AddItemToArray(list, o);
}

static int list_devices(const runner *r, cJSON *list) {
  size_t n = hn_context_n_devices(r->ctx), n_usable = 0;
  char cache[MAX_PATH_LENGTH];
  for (size_t i = 0; i < n; i++) {
    hn_device_info info;
    hn_error err = {0};
    if (hn_context_device(r->ctx, i, &info, &err) != HN_OK)
      return print_failure(&err);
    n_usable += info.usable ? 1 : 0;
    verdict v = {.done = false};
    if (info.usable)
      v.done = hn_context_self_test(r->ctx, i, cache_path("pipelines", cache), &v.test, &v.error) == HN_OK;
    if (list != NULL)
      add_json(list, i, &info, &v);
    else
      print_text(i, &info, &v);
  }
  if (list == NULL && n > 0)
    out_printf("cpu: plain C, always usable (--device cpu)\n");
  if (n_usable > 0)
    return EXIT_OK;
  out_flush();
  print_error(n > 0 ? "no device is usable: a newer driver may help; --device cpu works without"
                    : "no Vulkan device: install the vendor's driver or mesa-vulkan-drivers (and libvulkan1), and be "
                      "allowed to open /dev/dri/renderD*; --device cpu works without");
  return EXIT_FAILED;
}

int cmd_devices(const options *opt) {
  runner r = {0};
  int code = runner_open_context(&r, opt);
  if (code != EXIT_OK)
    return runner_finish(&r, code);
  cJSON *root = NULL, *list = NULL;
  if (opt->json) {
    root = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(root, "devices");
    cJSON_AddBoolToObject(root, "cpu", true);
  }
  code = list_devices(&r, list);
  if (opt->json)
    code = json_print(root, false, code);
  cJSON_Delete(root);
  return runner_finish(&r, code);
}
