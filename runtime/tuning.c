#include "tuning.h"

#include <string.h>

enum { N_TILES = 1 };

static const uint32_t tiles[N_TILES][N_MATMAT_CONSTANTS] = {{128, 16, 1, 4}};

/* Few lanes without barriers suit CPUs. Else a subgroup has rows of one chunk, so that it shares the activations in fewer registers; for
 * NVIDIA Mesa's compiler then needs 5 to 8 % more instructions and gains nothing (tests/vendors/table.csv). */
enum { NVIDIA = 0x10DE };
enum { MATVEC_SOFTWARE, MATVEC_16, MATVEC_32, MATVEC_64, N_MATVEC };

static const uint32_t matvec[N_MATVEC][N_MATVEC_CONSTANTS] = {{16, 1}, {16, 8}, {32, 8}, {64, 4}};

uint32_t matvec_rows_of(const uint32_t c[N_MATVEC_CONSTANTS]) {
  return 2 * c[MATVEC_LANES];
}

matmat_tile matmat_tile_of(const uint32_t c[N_MATMAT_CONSTANTS]) {
  return (matmat_tile){c[MATMAT_ROW_LANES] * c[MATMAT_LANE_ROWS], c[MATMAT_INVOCATIONS] / c[MATMAT_ROW_LANES] * c[MATMAT_LANE_TOKENS]};
}

uint32_t tuning_choice(uint32_t choice, kernel_id id, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]) {
  (void)module;
  if (id >= KERNEL_MATVEC && id <= KERNEL_MATVEC_SWIGLU && choice < N_MATVEC) {
    memcpy(constants, matvec[choice], sizeof matvec[choice]);
    return N_MATVEC_CONSTANTS;
  }
  if (id != KERNEL_MATMAT || choice >= N_TILES)
    return 0;
  memcpy(constants, tiles[choice], sizeof tiles[choice]);
  return N_MATMAT_CONSTANTS;
}

static uint32_t choose_matvec(const hn_device_info *device) {
  if (device->type == HN_DEVICE_SOFTWARE)
    return MATVEC_SOFTWARE;
  if (device->vendor_id == NVIDIA || device->subgroup_size <= 16)
    return MATVEC_16;
  return device->subgroup_size <= 32 ? MATVEC_32 : MATVEC_64;
}

uint32_t tuning_of(const hn_device_info *device, kernel_id id, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]) {
  return tuning_choice(id >= KERNEL_MATVEC && id <= KERNEL_MATVEC_SWIGLU ? choose_matvec(device) : 0, id, module, constants);
}
