/*
 * vendor_compile MODULE.spv...: compiles compute shaders with the first Vulkan driver that there is, as the library does, and
 * writes to standard output what the driver's compiler tells of them. One line says one thing; its first word says which:
 *
 *   device NAME            once, first
 *   driver NAME VERSION
 *   limit NUMBER NAME      shared_bytes, invocations: what a workgroup can have
 *   module FILE            what follows is about this module; it is written before the driver is called
 *   constants N ...        what it is specialized with on such a device (runtime/tuning.c): constant_id 0, 1, ...
 *   unsuited               the device lacks what the module needs: it is not compiled, and nothing else is said of it
 *   error TEXT             the module does not compile
 *   statistic VALUE NAME   names are the driver's and contain spaces
 *   code NAME              the machine code; its lines follow, each behind a tab
 *   done                   once, last: lacking where the driver crashed
 *
 * Exit 0 also where modules do not compile; 1 where there is no device to ask, and a line on standard error says why.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../runtime/gpu_coopmat.h"
#include "../../runtime/gpu_info.h"
#include "../../runtime/tuning.h"

enum { PUSH_BYTES = GPU_PUSH_BYTES, MAX_FAMILIES = 32 };

static VkInstance instance;
static VkPhysicalDevice physical;
static hn_device_info device_info;
static VkDevice device;
static VkPipelineLayout layout;

static int fail(const char *what, VkResult result) {
  fprintf(stderr, "vendor_compile: %s (VkResult %d)\n", what, (int)result);
  return 1;
}

static int open_instance(void) {
  if (volkInitialize())
    return fail("no Vulkan loader", VK_ERROR_INITIALIZATION_FAILED);
  VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
  VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
  VkResult result = vkCreateInstance(&info, NULL, &instance);
  if (result)
    return fail("no instance", result);
  volkLoadInstance(instance);
  uint32_t n = 1;
  result = vkEnumeratePhysicalDevices(instance, &n, &physical);
  return n != 1 || result < 0 ? fail("no device", result) : 0;
}

static void describe_device(void) {
  gpu_info_read(instance, physical, &device_info);
  VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
  VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver};
  vkGetPhysicalDeviceProperties2(physical, &properties);
  printf("device %s\ndriver %s %s\n", properties.properties.deviceName, driver.driverName, driver.driverInfo);
  printf("limit %u shared_bytes\n", properties.properties.limits.maxComputeSharedMemorySize);
  printf("limit %u invocations\n", properties.properties.limits.maxComputeWorkGroupInvocations);
}

static uint32_t compute_family(void) {
  VkQueueFamilyProperties families[MAX_FAMILIES];
  uint32_t n = MAX_FAMILIES;
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
  for (uint32_t i = 0; i < n; i++)
    if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)
      return i;
  return 0;
}

/* The features that the library enables (runtime/gpu_device.c), and the one that lets the compiler tell. */
static int open_device(void) {
  static const char *const extensions[] = {VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME, COOPMAT_EXTENSION};
  const bool matrices = device_info.matrix_m > 0;
  const float priority = 0.5f;
  VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                   .queueFamilyIndex = compute_family(),
                                   .queueCount = 1,
                                   .pQueuePriorities = &priority};
  coopmat_features coopmat = {.sType = (VkStructureType)COOPMAT_FEATURES_TYPE, .cooperativeMatrix = true};
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR tells = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
      .pNext = matrices ? &coopmat : NULL,
      .pipelineExecutableInfo = true};
  VkPhysicalDeviceVulkan13Features v13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
                                          .pNext = &tells,
                                          .subgroupSizeControl = device_info.has_subgroup_size_control,
                                          .computeFullSubgroups = device_info.has_subgroup_size_control,
                                          .synchronization2 = true,
                                          .shaderIntegerDotProduct = true,
                                          .maintenance4 = true};
  VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                          .pNext = &v13,
                                          .bufferDeviceAddress = true,
                                          .vulkanMemoryModel = matrices,
                                          .vulkanMemoryModelDeviceScope = matrices,
                                          .shaderInt8 = matrices,
                                          .timelineSemaphore = true};
  VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                             .pNext = &v12,
                             .queueCreateInfoCount = 1,
                             .pQueueCreateInfos = &queue,
                             .enabledExtensionCount = matrices ? 2 : 1,
                             .ppEnabledExtensionNames = extensions};
  VkResult result = vkCreateDevice(physical, &info, NULL, &device);
  if (result)
    return fail("the device does not open", result);
  volkLoadDevice(device);
  VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = PUSH_BYTES};
  VkPipelineLayoutCreateInfo layout_info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                            .pushConstantRangeCount = 1,
                                            .pPushConstantRanges = &range};
  result = vkCreatePipelineLayout(device, &layout_info, NULL, &layout);
  return result ? fail("no pipeline layout", result) : 0;
}

/* The file's words; NULL: it cannot be read. */
static uint32_t *read_module(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file)
    return NULL;
  long size = fseek(file, 0, SEEK_END) ? -1 : ftell(file);
  rewind(file);
  uint32_t *words = size > 0 && size % 4 == 0 ? malloc((size_t)size) : NULL;
  *bytes = (size_t)size;
  if (words && fread(words, 1, *bytes, file) != *bytes) {
    free(words);
    words = NULL;
  }
  fclose(file);
  return words;
}

/* The module of this build that a file is, by its name; NULL: none. */
static const spirv_module *module_of(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  for (const spirv_module *m = spirv_modules; m->name; m++)
    if (strncmp(name, m->name, strlen(m->name)) == 0 && strcmp(name + strlen(m->name), ".spv") == 0)
      return m;
  return NULL;
}

static uint32_t find_constants(const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]) {
  kernel_id id;
  uint32_t type, n = module && kernel_of(module, &id, &type) ? tuning_of(&device_info, id, module, constants) : 0;
  if (module)
    n = tuning_add_matrix(&device_info, module, constants, n);
  printf("constants");
  for (uint32_t i = 0; i < n; i++)
    printf(" %u", (unsigned)constants[i]);
  printf("\n");
  return n;
}

static VkResult make_pipeline(const uint32_t *words, size_t bytes, const uint32_t *constants, uint32_t n_constants, uint32_t subgroup_size,
                              VkPipeline *out) {
  VkSpecializationMapEntry entries[GPU_MAX_CONSTANTS];
  for (uint32_t i = 0; i < n_constants; i++)
    entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = i * 4, .size = 4};
  VkSpecializationInfo special = {
      .mapEntryCount = n_constants, .pMapEntries = entries, .dataSize = n_constants * 4u, .pData = constants};
  VkShaderModuleCreateInfo module_info = {
      .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes, .pCode = words};
  VkShaderModule module;
  VkResult result = vkCreateShaderModule(device, &module_info, NULL, &module);
  if (result)
    return result;
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO, .requiredSubgroupSize = subgroup_size};
  VkComputePipelineCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR,
      .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = subgroup_size && device_info.min_subgroup_size < device_info.max_subgroup_size ? &size : NULL,
                .flags = subgroup_size ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = &special},
      .layout = layout,
  };
  result = vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &info, NULL, out);
  vkDestroyShaderModule(device, module, NULL);
  return result;
}

static void write_statistics(const VkPipelineExecutableInfoKHR *executable) {
  uint32_t n = 0;
  vkGetPipelineExecutableStatisticsKHR(device, executable, &n, NULL);
  VkPipelineExecutableStatisticKHR *list = calloc(n + 1u, sizeof *list);
  for (uint32_t i = 0; list && i < n; i++)
    list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
  if (!list || vkGetPipelineExecutableStatisticsKHR(device, executable, &n, list))
    printf("error no statistics\n");
  for (uint32_t i = 0; list && i < n; i++) {
    if (list[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR)
      printf("statistic %g %s\n", list[i].value.f64, list[i].name);
    else /* a boolean lies in the low bytes, the others are 64 bits wide */
      printf("statistic %lld %s\n", (long long)list[i].value.i64, list[i].name);
  }
  free(list);
}

static void write_text(const char *name, const char *text) {
  printf("code %s\n", name);
  for (const char *line = text; *line;) {
    size_t n = strcspn(line, "\n");
    printf("\t%.*s\n", (int)n, line);
    line += n + (line[n] == '\n');
  }
}

static void write_code(const VkPipelineExecutableInfoKHR *executable) {
  uint32_t n = 0;
  vkGetPipelineExecutableInternalRepresentationsKHR(device, executable, &n, NULL);
  VkPipelineExecutableInternalRepresentationKHR *list = calloc(n + 1u, sizeof *list);
  for (uint32_t i = 0; list && i < n; i++)
    list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
  bool ok = list && !vkGetPipelineExecutableInternalRepresentationsKHR(device, executable, &n, list);
  for (uint32_t i = 0; ok && i < n; i++) {
    list[i].pData = calloc(1, list[i].dataSize + 1);
    ok = list[i].pData != NULL;
  }
  ok = ok && !vkGetPipelineExecutableInternalRepresentationsKHR(device, executable, &n, list);
  uint32_t n_texts = 0;
  for (uint32_t i = 0; list && i < n; i++) {
    if (ok && list[i].isText && strstr(list[i].name, "ssembly")) { /* the others are steps on the way to it */
      write_text(list[i].name, list[i].pData);
      n_texts++;
    }
    free(list[i].pData);
  }
  if (n_texts != 1)
    printf("error %u texts of machine code\n", n_texts);
  free(list);
}

static void compile(const char *path) {
  size_t bytes = 0;
  uint32_t *words = read_module(path, &bytes);
  uint32_t constants[GPU_MAX_CONSTANTS];
  printf("module %s\n", path);
  const spirv_module *module = module_of(path);
  if (module && !kernels_suit(&device_info, module)) {
    printf("unsuited\n");
    free(words);
    return;
  }
  uint32_t n_constants = find_constants(module, constants);
  fflush(stdout);
  VkPipeline pipeline = VK_NULL_HANDLE;
  uint32_t subgroup_size = module ? tuning_subgroup_size(&device_info, module, constants) : 0;
  VkResult result = words ? make_pipeline(words, bytes, constants, n_constants, subgroup_size, &pipeline) : VK_ERROR_UNKNOWN;
  free(words);
  if (!words || result) {
    printf("error %s (VkResult %d)\n", words ? "does not compile" : "cannot be read", (int)result);
    return;
  }
  VkPipelineInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
  uint32_t n = 0;
  vkGetPipelineExecutablePropertiesKHR(device, &info, &n, NULL);
  if (n != 1) /* one for each subgroup size, say: whose numbers would count? */
    printf("error %u executables\n", n);
  for (uint32_t i = 0; i < n; i++) {
    VkPipelineExecutableInfoKHR executable = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = i};
    write_statistics(&executable);
    write_code(&executable);
  }
  vkDestroyPipeline(device, pipeline, NULL);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fputs("usage: vendor_compile MODULE.spv...\n", stderr);
    return 2;
  }
  if (open_instance())
    return 1;
  describe_device();
  if (open_device())
    return 1;
  for (int i = 1; i < argc; i++)
    compile(argv[i]);
  printf("done\n");
  return fflush(stdout) ? 1 : 0; /* the process ends here: what the driver holds goes with it */
}
