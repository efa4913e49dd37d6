#include "gpu.h"

static VkResult make_layout(gpu_device *device, gpu_pipeline *out) {
  VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = GPU_PUSH_BYTES};
  VkPipelineLayoutCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .pushConstantRangeCount = 1, .pPushConstantRanges = &range};
  VkResult result = device->vk.vkCreatePipelineLayout(device->device, &info, NULL, &out->layout);
  if (result)
    out->layout = VK_NULL_HANDLE; /* Vulkan leaves it undefined */
  return result;
}

static VkResult make_pipeline(gpu_device *device, VkShaderModule module, const uint32_t *constants, uint32_t n_constants,
                              uint32_t subgroup_size, gpu_pipeline *out) {
  VkSpecializationMapEntry entries[GPU_MAX_CONSTANTS];
  for (uint32_t i = 0; i < n_constants; i++)
    entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = i * 4, .size = 4};
  VkSpecializationInfo special = {
      .mapEntryCount = n_constants, .pMapEntries = entries, .dataSize = n_constants * 4u, .pData = constants};
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO, .requiredSubgroupSize = subgroup_size};
  VkComputePipelineCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = subgroup_size && device->info.min_subgroup_size < device->info.max_subgroup_size ? &size : NULL,
                .flags = subgroup_size ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = n_constants ? &special : NULL},
      .layout = out->layout,
  };
  return device->vk.vkCreateComputePipelines(device->device, device->cache, 1, &info, NULL, &out->handle);
}

hn_status gpu_pipeline_init(gpu_device *device, const char *name, const uint32_t *spirv, size_t n_words,
                            const uint32_t *constants, uint32_t n_constants, uint32_t subgroup_size, gpu_pipeline *out,
                            hn_error *err) {
  *out = (gpu_pipeline){.name = name};
  if (n_constants > GPU_MAX_CONSTANTS)
    return hn_fail(err, HN_ERROR_ARGUMENT, "the shader %s: more than %d constants", name, GPU_MAX_CONSTANTS);
  for (uint32_t i = 0; i < n_constants; i++)
    out->constants[i] = constants[i];
  VkShaderModuleCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = n_words * 4, .pCode = spirv};
  VkShaderModule module = VK_NULL_HANDLE;
  VkResult result = device->vk.vkCreateShaderModule(device->device, &info, NULL, &module);
  if (result)
    module = VK_NULL_HANDLE;
  else
    result = make_layout(device, out);
  if (!result)
    result = make_pipeline(device, module, constants, n_constants, subgroup_size, out);
  if (module)
    device->vk.vkDestroyShaderModule(device->device, module, NULL);
  if (!result)
    return HN_OK;
  gpu_pipeline_finish(device, out);
  return hn_fail_vk(err, gpu_status(result), result, "%s does not compile the shader %s (VkResult %d)", device->info.name,
                    name, (int)result);
}

void gpu_pipeline_finish(gpu_device *device, gpu_pipeline *pipeline) {
  bool stuck = gpu_device_stuck(device);
  if (pipeline->handle && !stuck)
    device->vk.vkDestroyPipeline(device->device, pipeline->handle, NULL);
  if (pipeline->layout && !stuck)
    device->vk.vkDestroyPipelineLayout(device->device, pipeline->layout, NULL);
  *pipeline = (gpu_pipeline){0};
}
