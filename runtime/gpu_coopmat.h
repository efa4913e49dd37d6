/*
 * gpu_coopmat.h: what this library needs of VK_KHR_cooperative_matrix, which Vulkan headers before 1.3.255 do not have.
 * Source: the Vulkan specification, VkCooperativeMatrixPropertiesKHR and VkPhysicalDeviceCooperativeMatrixFeaturesKHR.
 */
#ifndef HN_GPU_COOPMAT_H
#define HN_GPU_COOPMAT_H

#include <volk.h>

#define COOPMAT_EXTENSION "VK_KHR_cooperative_matrix"

enum { COOPMAT_FEATURES_TYPE = 1000506000, COOPMAT_PROPERTIES_TYPE = 1000506001 }; /* of VkStructureType */
enum { COOPMAT_FLOAT32 = 1, COOPMAT_SINT8 = 3, COOPMAT_SINT32 = 5 };               /* of VkComponentTypeKHR */
enum { COOPMAT_SUBGROUP = 3 };                                                     /* of VkScopeKHR */

typedef struct coopmat_features {
  VkStructureType sType;
  void *pNext;
  VkBool32 cooperativeMatrix, cooperativeMatrixRobustBufferAccess;
} coopmat_features;

typedef struct coopmat_properties {
  VkStructureType sType;
  void *pNext;
  uint32_t MSize, NSize, KSize;
  int32_t AType, BType, CType, ResultType;
  VkBool32 saturatingAccumulation;
  int32_t scope;
} coopmat_properties;

typedef VkResult(VKAPI_PTR *get_coopmat_properties)(VkPhysicalDevice physical, uint32_t *n, coopmat_properties *out);

#endif
