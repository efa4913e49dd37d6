#include "tuning.h"

#include <string.h>

#include "sizes.h"

enum { VENDOR_AMD = 0x1002, VENDOR_INTEL = 0x8086, VENDOR_NVIDIA = 0x10DE, VENDOR_GOOGLE = 0x1AE0 /* SwiftShader */ };

/*
 * Tiles of matmat. What bounds them: registers (sums of a chunk and of the row, and the codes of the rows) that must neither be spilled nor leave
 * too few waves, as Mesa's compilers tell (tests/vendors/table.csv), and shared memory: 32 KiB, but for TILE_DEEP of two scales.
 */
typedef enum tile {
  TILE_WIDE,     /* 128 x 128: AMD with packed products: half of 256 registers are sums, 4 or 5 waves per SIMD */
  TILE_HALF,     /* 128 x 64, with half of the sums in an invocation: AMD where granules have two scales and minimums */
  TILE_DEEP,     /* 64 x 128, the same with more shared memory: NVIDIA */
  TILE_SMALL,    /* 64 x 64: Intel's 128 registers, and GPUs that are not known */
  TILE_FLOATS,   /* integers in floats: many waves, of few sums */
  TILE_EMULATED, /* packed products that are taken apart: their registers are many */
  TILE_STRAIGHT, /* 64 x 32, each granule one straight piece of code: SwiftShader, which finds no common subexpressions in TILE_DIRECT */
  TILE_DIRECT,   /* 64 x 4: lavapipe; no shared memory, which it reads and writes lane by lane */
  N_TILES
} tile;

static const uint32_t tiles[N_TILES][N_MATMAT_CONSTANTS] = {
    [TILE_WIDE] = {256, 16, 8, 8, 2},
    [TILE_HALF] = {256, 32, 4, 8, 2},
    [TILE_DEEP] = {256, 16, 4, 8, 4},
    [TILE_SMALL] = {256, 16, 4, 4, 4},
    [TILE_FLOATS] = {256, 16, 4, 2, 2},
    [TILE_EMULATED] = {256, 32, 2, 2, 2},
    [TILE_STRAIGHT] = {64, 16, 4, 8, 1},
    [TILE_DIRECT] = {16, 16, 4, 4, 1},
};

/* Tiles of cooperative matmat: a subgroup has as many rows as invocations, or a multiple. The first suits every device that we know of; Intel's
 * registers hold no more than those of the second. */
static const uint32_t cooperative_tiles[][N_MATMAT_CONSTANTS] = {{128, 64, 1, 32, 2}, {128, 64, 1, 16, 2}, {256, 64, 1, 32, 2}, {128, 64, 2, 32, 2}};
enum { N_COOPERATIVE_TILES = sizeof cooperative_tiles / sizeof *cooperative_tiles };

/* Workgroups of matvec, and whether lanes have addresses of their own. Few lanes without barriers suit CPUs. Else a subgroup has rows of one
 * chunk, so that it shares the activations in fewer registers; for NVIDIA Mesa's compiler then needs 5 to 8 % more instructions and gains nothing
 * (tests/vendors/table.csv). */
typedef enum shape { SHAPE_SOFTWARE, SHAPE_16, SHAPE_32, SHAPE_64, N_SHAPES } shape;

static const uint32_t shapes[N_SHAPES][N_MATVEC_CONSTANTS] = {
    [SHAPE_SOFTWARE] = {16, 1, 0}, [SHAPE_16] = {16, 8, 1}, [SHAPE_32] = {32, 8, 1}, [SHAPE_64] = {64, 4, 1}};

uint32_t matvec_rows_of(const uint32_t c[N_MATVEC_CONSTANTS]) {
  return 2 * c[MATVEC_LANES];
}

bool tuning_is_cooperative(const spirv_module *module) {
  return strcmp(module->variant, "coop") == 0;
}

matmat_tile matmat_tile_of(const uint32_t c[N_MATMAT_CONSTANTS]) {
  return (matmat_tile){c[MATMAT_ROW_LANES] * c[MATMAT_LANE_ROWS], c[MATMAT_INVOCATIONS] / c[MATMAT_ROW_LANES] * c[MATMAT_LANE_TOKENS]};
}

/* TWO_SCALES of shaders/weights.glsl. */
static bool has_two_scales(uint32_t type) {
  return type == QUANT_Q2_K || type == QUANT_Q3_K || type == QUANT_Q6_K;
}

static uint32_t type_of(const spirv_module *module) {
  kernel_id id;
  uint32_t type;
  return kernel_of(module, &id, &type) ? type : 0;
}

static tile choose_tile(const hn_device_info *device, const spirv_module *module) {
  if (device->type == HN_DEVICE_SOFTWARE)
    return device->vendor_id == VENDOR_GOOGLE ? TILE_STRAIGHT : TILE_DIRECT;
  if (strcmp(module->variant, "intf32") == 0)
    return TILE_FLOATS;
  if (!device->fast_integer_dot_product)
    return TILE_EMULATED;
  if (device->vendor_id == VENDOR_AMD)
    return has_two_scales(type_of(module)) && quant_has_minimum(type_of(module)) ? TILE_HALF : TILE_WIDE;
  return device->vendor_id == VENDOR_NVIDIA ? TILE_DEEP : TILE_SMALL;
}

static uint32_t put_tile(tile t, uint32_t constants[GPU_MAX_CONSTANTS]) {
  memcpy(constants, tiles[t], sizeof tiles[t]);
  return N_MATMAT_CONSTANTS;
}

static bool is_matvec(kernel_id id) {
  return id >= KERNEL_MATVEC && id <= KERNEL_MATVEC_BATCH;
}

/* Lanes' own addresses take registers, which packed products that are taken apart need: Intel's compiler would spill them. */
static uint32_t put_shape(kernel_id id, shape s, bool lane_addresses, uint32_t columns, uint32_t constants[GPU_MAX_CONSTANTS]) {
  memcpy(constants, shapes[s], sizeof shapes[s]);
  if (!lane_addresses)
    constants[MATVEC_LANE_ADDRESSES] = 0;
  if (id != KERNEL_MATVEC_BATCH)
    return N_MATVEC_CONSTANTS;
  constants[MATVEC_COLUMNS] = columns;
  return N_MATVEC_BATCH_CONSTANTS;
}

/* Tokens of a workgroup of matvec_batch: as many as there are registers (tests/vendors/table.csv) and shared memory for, of which 8 in SHAPE_64 take
 * 32 KiB. On CPUs it computes those that do not exist, too. */
static uint32_t choose_columns(const hn_device_info *device, const spirv_module *module) {
  const bool software = device->type == HN_DEVICE_SOFTWARE;
  if (!device->fast_integer_dot_product && !software)
    return 1;
  if (*module->variant)
    return 2;
  return software || device->vendor_id == VENDOR_INTEL ? 4 : FEW_TOKENS;
}

static shape choose_shape(const hn_device_info *device) {
  if (device->type == HN_DEVICE_SOFTWARE)
    return SHAPE_SOFTWARE;
  if (device->vendor_id == VENDOR_NVIDIA || device->subgroup_size <= 16)
    return SHAPE_16;
  return device->subgroup_size <= 32 ? SHAPE_32 : SHAPE_64;
}

/* An invocation for each value or so. On CPUs one vector, or few invocations: there a barrier switches between the stacks of all vectors. */
static const uint32_t widths[N_KERNELS] = {
    [KERNEL_NORM_QUANT] = 256, [KERNEL_ROPE_STORE] = 64, [KERNEL_ATTENTION] = 64, [KERNEL_ATTENTION_PROMPT] = 64};
enum { MIN_WIDTH = 8 /* PROMPT_ROWS */, SOFTWARE_WIDTH = 16 };

static uint32_t software_width(const hn_device_info *device) {
  return device->subgroup_size < SOFTWARE_WIDTH ? MIN_WIDTH : SOFTWARE_WIDTH;
}

static uint32_t put_width(uint32_t width, uint32_t constants[GPU_MAX_CONSTANTS]) {
  constants[WIDTH_INVOCATIONS] = width;
  return N_WIDTH_CONSTANTS;
}

/* AMD's packed matmat: in waves of 32 an instruction of RDNA 3 may be two float operations (navi31, instructions per 32: Q4_0 13.2
 * for 14.8, Q4_K 15.2 for 17.5); navi21 needs as many in either. */
static bool likes_small_subgroups(const hn_device_info *device, const spirv_module *module) {
  return device->vendor_id == VENDOR_AMD && strcmp(module->kernel, "matmat") == 0 && !*module->variant;
}

uint32_t tuning_subgroup_size(const hn_device_info *device, const spirv_module *module, const uint32_t constants[GPU_MAX_CONSTANTS]) {
  if (tuning_is_cooperative(module))
    return device->min_subgroup_size;
  if (!device->has_subgroup_size_control || !likes_small_subgroups(device, module))
    return 0;
  return constants[MATMAT_INVOCATIONS] % device->min_subgroup_size == 0 ? device->min_subgroup_size : 0;
}

/* Not where they need more instructions than packed products: Intel, of two scales (tests/vendors/table.csv: lnl Q6_K 26.8 for 23.8). On a CPU they
 * take 4 times as long (check_kernels --bench matmat_q4_0, lavapipe 26.1, 2 cores: 5.9 s for 1.35). */
bool tuning_prefers_matrices(const hn_device_info *device, const spirv_module *module) {
  return device->type != HN_DEVICE_SOFTWARE && !(device->vendor_id == VENDOR_INTEL && has_two_scales(type_of(module)));
}

static uint32_t put_cooperative(uint32_t choice, uint32_t constants[GPU_MAX_CONSTANTS]) {
  if (choice >= N_COOPERATIVE_TILES)
    return 0;
  memcpy(constants, cooperative_tiles[choice], sizeof *cooperative_tiles);
  return N_MATMAT_CONSTANTS;
}

/* The first that suits the device. */
static uint32_t choose_cooperative(const hn_device_info *device, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]) {
  for (uint32_t i = device->vendor_id == VENDOR_INTEL; i < N_COOPERATIVE_TILES; i++)
    if (put_cooperative(i, constants) && tuning_suits(device, KERNEL_MATMAT, module, constants))
      return N_MATMAT_CONSTANTS;
  return 0;
}

uint32_t tuning_choice(uint32_t choice, kernel_id id, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]) {
  if (tuning_is_cooperative(module))
    return put_cooperative(choice, constants);
  if (is_matvec(id) && id != KERNEL_MATVEC_BATCH && choice < 2 * N_SHAPES - 1) /* those that have addresses of the lanes' own without them, too */
    return put_shape(id, (shape)(choice < N_SHAPES ? choice : choice - N_SHAPES + SHAPE_16), choice < N_SHAPES, 1, constants);
  if (id == KERNEL_MATVEC_BATCH && choice < 3 * N_SHAPES)
    return put_shape(id, (shape)(choice / 3), true, 2u << choice % 3, constants);
  if (id == KERNEL_MATVEC_BATCH && choice < 4 * N_SHAPES - 1) /* of an emulated product */
    return put_shape(id, (shape)(choice - 3 * N_SHAPES + SHAPE_16), false, 1, constants);
  if (widths[id] && choice < 3)
    return put_width(choice == 0 ? widths[id] : choice == 1 ? MIN_WIDTH : SOFTWARE_WIDTH, constants);
  return id == KERNEL_MATMAT && choice < N_TILES ? put_tile((tile)choice, constants) : 0;
}

uint32_t tuning_of(const hn_device_info *device, kernel_id id, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS]) {
  if (tuning_is_cooperative(module))
    return choose_cooperative(device, module, constants);
  if (is_matvec(id))
    return put_shape(id, choose_shape(device), device->fast_integer_dot_product || (*module->variant && id != KERNEL_MATVEC_BATCH),
                     choose_columns(device, module), constants);
  if (widths[id])
    return put_width(device->type == HN_DEVICE_SOFTWARE ? software_width(device) : widths[id], constants);
  if (id != KERNEL_MATMAT)
    return 0;
  put_tile(choose_tile(device, module), constants);
  return tuning_suits(device, id, module, constants) ? N_MATMAT_CONSTANTS : put_tile(TILE_SMALL, constants);
}

/* What matmat declares at most, in bytes: shaders/matmat_stage.glsl, matmat_shared.glsl and matmat_coop.glsl. */
static uint32_t shared_bytes(const hn_device_info *device, const spirv_module *module, const uint32_t c[N_MATMAT_CONSTANTS]) {
  matmat_tile t = matmat_tile_of(c);
  uint32_t type = type_of(module);
  bool two = has_two_scales(type), minimum = quant_has_minimum(type);
  uint32_t row_factors = two ? (minimum ? 6 : 3) : minimum ? 2 : 1, token_factors = two ? 3 : 2;
  uint32_t factors = 4 * (row_factors * t.rows + token_factors * t.tokens);
  if (!tuning_is_cooperative(module))
    return c[MATMAT_STEP] * (32 * (t.rows + t.tokens) + factors);
  uint32_t copies = two && device->matrix_k == ACT_BLOCK ? 2 : 1;
  uint32_t stored = c[MATMAT_INVOCATIONS] / device->min_subgroup_size * device->matrix_m * device->matrix_n;
  return c[MATMAT_STEP] * (48 * (copies * t.rows + t.tokens) + factors) + 4 * stored;
}

static bool consists_of_matrices(const hn_device_info *device, const uint32_t c[N_MATMAT_CONSTANTS]) {
  uint32_t subgroup = device->min_subgroup_size;
  return device->matrix_m && subgroup && c[MATMAT_ROW_LANES] % subgroup == 0 && c[MATMAT_LANE_ROWS] * subgroup % device->matrix_m == 0 &&
         c[MATMAT_LANE_TOKENS] % device->matrix_n == 0;
}

bool tuning_suits(const hn_device_info *device, kernel_id id, const spirv_module *module, const uint32_t constants[GPU_MAX_CONSTANTS]) {
  if (tuning_is_cooperative(module) && !consists_of_matrices(device, constants))
    return false;
  if (id == KERNEL_MATMAT)
    return shared_bytes(device, module, constants) <= device->shared_memory_bytes;
  if (id == KERNEL_MATVEC_BATCH && 4 * N_CHUNKS * matvec_rows_of(constants) * constants[MATVEC_COLUMNS] > device->shared_memory_bytes)
    return false;
  return !is_matvec(id) || !constants[MATVEC_LANE_ADDRESSES] || device->type != HN_DEVICE_SOFTWARE || device->subgroup_size < 16;
}

uint32_t tuning_add_matrix(const hn_device_info *device, const spirv_module *module, uint32_t constants[GPU_MAX_CONSTANTS], uint32_t n) {
  const uint32_t of_device[] = {device->min_subgroup_size, device->matrix_m, device->matrix_n, device->matrix_k};
  const uint32_t n_of_device = sizeof of_device / sizeof *of_device;
  _Static_assert(N_MATMAT_CONSTANTS + sizeof of_device / sizeof *of_device <= GPU_MAX_CONSTANTS, "room for them");
  if (!tuning_is_cooperative(module))
    return n;
  memcpy(constants + n, of_device, sizeof of_device);
  return n + n_of_device;
}
