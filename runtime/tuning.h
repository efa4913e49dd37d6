/*
 * tuning.h: the specialization constants of the kernels: what differs per device and changes no bit. One table, in tuning.c.
 */
#ifndef HN_TUNING_H
#define HN_TUNING_H

#include "kernels.h"

/* The constants of matvec (shaders/matvec.glsl), in the order of their constant_id. */
typedef enum matvec_constant {
  MATVEC_LANES, MATVEC_CHUNK_LANES, MATVEC_LANE_ADDRESSES, N_MATVEC_CONSTANTS,
  MATVEC_COLUMNS = N_MATVEC_CONSTANTS, /* of matvec_batch: the tokens of a workgroup */
  N_MATVEC_BATCH_CONSTANTS
} matvec_constant;

/* Rows of a workgroup. */
uint32_t matvec_rows_of(const uint32_t constants[N_MATVEC_CONSTANTS]);

/* Whether a module computes with cooperative matrices (shaders/matmat_coop.glsl), and is tried before the others on a device that has them. */
bool tuning_is_cooperative(const spirv_module *module);
bool tuning_prefers_matrices(const hn_device_info *device, const spirv_module *module);

/* The size of whole subgroups that a pipeline of the module with these constants asks for; 0: any. */
uint32_t tuning_subgroup_size(const hn_device_info *device, const spirv_module *module, const uint32_t constants[GPU_MAX_CONSTANTS]);

/* The constants of matmat, in the order of their constant_id. */
typedef enum matmat_constant {
  MATMAT_INVOCATIONS, /* of a workgroup */
  MATMAT_ROW_LANES,   /* of them side by side along the rows; the others lie along the tokens */
  MATMAT_LANE_ROWS,   /* of an invocation */
  MATMAT_LANE_TOKENS,
  MATMAT_STEP, /* granules in shared memory at a time */
  N_MATMAT_CONSTANTS
} matmat_constant;

/* Of norm_quant, rope_store and both of attention: the invocations of a workgroup. */
typedef enum width_constant { WIDTH_INVOCATIONS, N_WIDTH_CONSTANTS } width_constant;

typedef struct matmat_tile { /* what a workgroup computes */
  uint32_t rows, tokens;
} matmat_tile;

matmat_tile matmat_tile_of(const uint32_t constants[N_MATMAT_CONSTANTS]);

/* Writes the constants of constant_id 0, 1, ... that a module of a kernel gets on a device; returns their number, 0 where it has none, or where
 * it is cooperative and none suits. */
uint32_t tuning_of(const hn_device_info *device, kernel_id id, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]);

/* The same for every choice that some device gets, one after the other; 0 constants behind the last, and where a kernel has none. */
uint32_t tuning_choice(uint32_t choice, kernel_id id, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]);

/* Whether a choice may be tried on a device: lavapipe of vectors of 512 bits smashes its stack where lanes have addresses of their own; tiles must
 * fit into shared memory, and those of a cooperative module consist of the device's matrices. */
bool tuning_suits(const hn_device_info *device, kernel_id id, const spirv_module *module, const uint32_t constants[GPU_MAX_CONSTANTS]);

/* Appends to n constants of a cooperative module those of the device's matrices: the size of a subgroup, m, n and k. Returns their number; others
 * get no more. */
uint32_t tuning_add_matrix(const hn_device_info *device, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS], uint32_t n);

#endif
