#include "gpu.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "gpu_info.h"

#define VALIDATION_LAYER "VK_LAYER_KHRONOS_validation"

static pthread_once_t volk_once = PTHREAD_ONCE_INIT;
static VkResult volk_result;

static void start_volk(void) {
  volk_result = volkInitialize();
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
  (void)types;
  bool error = severity >= VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT;
  hn_log(user, error ? HN_LOG_ERROR : HN_LOG_DEBUG, "%s", data->pMessage);
  return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_info(hn_logger *logger) {
  return (VkDebugUtilsMessengerCreateInfoEXT){
      .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
      .messageSeverity =
          VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
      .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
      .pfnUserCallback = on_message,
      .pUserData = logger,
  };
}

static bool has_layer(const char *name) {
  uint32_t n = 0;
  bool found = false;
  if (vkEnumerateInstanceLayerProperties(&n, NULL) || n == 0)
    return false;
  VkLayerProperties *layers = calloc(n, sizeof *layers);
  if (layers && vkEnumerateInstanceLayerProperties(&n, layers) >= 0)
    for (uint32_t i = 0; i < n && !found; i++)
      found = strcmp(layers[i].layerName, name) == 0;
  free(layers);
  return found;
}

/* The functions that all instances share (the loader's own) are fetched once; extensions' are fetched where they are used. */
static void load_functions(VkInstance instance) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static bool loaded;
  pthread_mutex_lock(&lock);
  if (!loaded)
    volkLoadInstanceOnly(instance);
  loaded = true;
  pthread_mutex_unlock(&lock);
}

/* Leaves self->instance VK_NULL_HANDLE where Vulkan does not start; the log says why. */
static void create_instance(gpu_instance *self, bool validation) {
  static const char *const layer = VALIDATION_LAYER;
  static const char *const extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  pthread_once(&volk_once, start_volk);
  if (volk_result) {
    hn_log(&self->logger, HN_LOG_INFO, "no Vulkan loader on this machine");
    return;
  }
  if (validation && !has_layer(VALIDATION_LAYER)) {
    hn_log(&self->logger, HN_LOG_WARNING, "the Vulkan validation layer is not installed");
    validation = false;
  }
  VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(&self->logger);
  VkApplicationInfo app = {
      .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pEngineName = "hornito", .apiVersion = VK_API_VERSION_1_3};
  VkInstanceCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
      .pNext = validation ? &messenger : NULL,
      .pApplicationInfo = &app,
      .enabledLayerCount = validation,
      .ppEnabledLayerNames = &layer,
      .enabledExtensionCount = validation,
      .ppEnabledExtensionNames = &extension,
  };
  VkResult result = vkCreateInstance(&info, NULL, &self->instance);
  if (result) {
    self->instance = VK_NULL_HANDLE;
    hn_log(&self->logger, HN_LOG_INFO, "Vulkan does not start (VkResult %d): no driver is installed", (int)result);
    return;
  }
  load_functions(self->instance);
  PFN_vkCreateDebugUtilsMessengerEXT create =
      (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(self->instance, "vkCreateDebugUtilsMessengerEXT");
  if (validation && create)
    create(self->instance, &messenger, NULL, &self->messenger);
}

static uint32_t type_rank(hn_device_type type) {
  return (uint32_t)type; /* the enum is in order of preference */
}

static void choose_best(gpu_instance *self) {
  hn_device_info *best = NULL;
  for (uint32_t i = 0; i < self->n_devices; i++) {
    hn_device_info *info = &self->infos[i];
    if (info->usable &&
        (!best || type_rank(info->type) < type_rank(best->type) ||
         (info->type == best->type && info->device_memory > best->device_memory)))
      best = info;
  }
  if (best)
    best->best = true;
}

#define NODE_ADVICE "may not be opened by this user (add the user to the group that owns it, often render)"

/* The name of a GPU's node that exists and may not be opened, or "": its driver does not list the GPU then. */
static void find_closed_node(char *out, size_t size) {
  DIR *dir = opendir("/dev/dri");
  out[0] = 0;
  if (!dir)
    return;
  for (struct dirent *entry = readdir(dir); entry && !out[0]; entry = readdir(dir)) {
    char path[300];
    snprintf(path, sizeof path, "/dev/dri/%s", entry->d_name);
    if (strncmp(entry->d_name, "renderD", 7) == 0 && access(path, R_OK | W_OK) != 0)
      snprintf(out, size, "%s", path);
  }
  closedir(dir);
}

static hn_status list_devices(gpu_instance *self, hn_error *err) {
  uint32_t n = 0;
  if (!self->instance || vkEnumeratePhysicalDevices(self->instance, &n, NULL) || n == 0)
    return HN_OK;
  self->physical = calloc(n, sizeof *self->physical);
  self->infos = calloc(n, sizeof *self->infos);
  if (!self->physical || !self->infos)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for the list of %u devices", (unsigned)n);
  if (vkEnumeratePhysicalDevices(self->instance, &n, self->physical) < 0)
    return HN_OK;
  self->n_devices = n;
  for (uint32_t i = 0; i < n; i++)
    gpu_info_read(self->instance, self->physical[i], &self->infos[i]);
  choose_best(self);
  return HN_OK;
}

/* Where no GPU can be used, a closed one may be why, although software serves. */
static void warn_of_closed_node(const gpu_instance *self) {
  char node[300];
  for (uint32_t i = 0; i < self->n_devices; i++)
    if (self->infos[i].usable && self->infos[i].type != HN_DEVICE_SOFTWARE)
      return;
  find_closed_node(node, sizeof node);
  if (node[0])
    hn_log(&self->logger, HN_LOG_WARNING, "the GPU %s " NODE_ADVICE, node);
}

hn_status gpu_instance_create(const hn_logger *logger, bool validation, gpu_instance **out, hn_error *err) {
  *out = NULL;
  gpu_instance *self = calloc(1, sizeof *self);
  if (!self)
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a Vulkan instance");
  self->logger = *logger;
  create_instance(self, validation);
  hn_status status = list_devices(self, err);
  if (!status)
    warn_of_closed_node(self);
  if (status)
    gpu_instance_destroy(&self);
  *out = self;
  return status;
}

void gpu_instance_destroy(gpu_instance **instance) {
  gpu_instance *self = *instance;
  if (!self)
    return;
  if (self->messenger && !self->stuck) {
    PFN_vkDestroyDebugUtilsMessengerEXT destroy =
        (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(self->instance, "vkDestroyDebugUtilsMessengerEXT");
    destroy(self->instance, self->messenger, NULL);
  }
  if (self->instance && !self->stuck)
    vkDestroyInstance(self->instance, NULL);
  free(self->physical);
  free(self->infos);
  free(self);
  *instance = NULL;
}

/* ---- gpu_instance_find ---- */

static hn_status no_device(const gpu_instance *self, const char *device, hn_error *err) {
  char text[400], node[300];
  size_t n = 0;
  text[0] = 0;
  for (uint32_t i = 0; i < self->n_devices && n < sizeof text; i++) {
    const hn_device_info *info = &self->infos[i];
    n += (size_t)snprintf(text + n, sizeof text - n, "%s%u: %.60s%s%.100s%s", i ? "; " : "", (unsigned)i, info->name,
                          info->usable ? "" : " (lacks ", info->usable ? "" : info->lacks, info->usable ? "" : ")");
  }
  find_closed_node(node, sizeof node);
  if (node[0])
    return hn_fail(err, HN_ERROR_NO_DEVICE,
                   "no usable Vulkan device%s%s: %s " NODE_ADVICE "; devices: %s",
                   device ? " matches " : "", device ? device : "", node, text[0] ? text : "none");
  return hn_fail(err, HN_ERROR_NO_DEVICE, "no usable Vulkan device%s%s; devices: %s", device ? " matches " : "",
                 device ? device : "", text[0] ? text : "none (install your GPU's Vulkan driver, or use the device cpu)");
}

static bool contains(const char *text, const char *part) {
  size_t n = strlen(part);
  for (; *text; text++)
    if (strncasecmp(text, part, n) == 0)
      return true;
  return false;
}

static bool parse_index(const char *text, uint32_t *out) {
  size_t digits = strspn(text, "0123456789");
  if (digits == 0 || digits > 4 || text[digits])
    return false;
  *out = (uint32_t)strtoul(text, NULL, 10);
  return true;
}

hn_status gpu_instance_find(const gpu_instance *self, const char *device, uint32_t *index, hn_error *err) {
  uint32_t number = 0;
  bool is_number = device && parse_index(device, &number);
  for (uint32_t i = 0; i < self->n_devices; i++) {
    const hn_device_info *info = &self->infos[i];
    if (info->usable && (!device ? info->best : is_number ? i == number : contains(info->name, device))) {
      *index = i;
      return HN_OK;
    }
  }
  return no_device(self, device, err);
}
