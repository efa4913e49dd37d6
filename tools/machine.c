/* machine.c: see machine.h. */
#include "machine.h"

#include <stdio.h>
#include <string.h>

#include "output.h"
#include "terminal.h"

/* Of a machine that is described by its size. */
#define HOST_FREE ((uint64_t)16 << 30)
#define MAX_ALLOCATION ((uint64_t)4 << 30) /* what drivers allow at least, most of them */

#define EXAMPLE "--device 6GiB-discrete"

/* What common devices read, in GB/s: a card of 6 GiB and PCIe 3.0 x16; two channels of DDR4; a CPU that computes. */
static const struct {
  double device, host;
} bandwidths[] = {
    [HN_DEVICE_DISCRETE] = {300, 12}, [HN_DEVICE_INTEGRATED] = {60, 60}, [HN_DEVICE_VIRTUAL] = {300, 12},
    [HN_DEVICE_SOFTWARE] = {10, 10},  [HN_DEVICE_OTHER] = {60, 12},
};

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n > m && strcmp(text + n - m, end) == 0;
}

/* A size and what it is the memory of: digits first, -discrete or -integrated last; no name of a device looks so. */
static bool is_description(const char *device) {
  return device != NULL && strspn(device, "0123456789.") > 0 && (ends_with(device, "-discrete") || ends_with(device, "-integrated"));
}

static int describe(const char *device, machine *out) {
  bool integrated = ends_with(device, "-integrated");
  const char *dash = strrchr(device, '-');
  char size[64], bytes[HUMAN_SIZE], host[HUMAN_SIZE], limit[HUMAN_SIZE];
  uint64_t memory = 0;
  snprintf(size, sizeof size, "%.*s", (int)(dash - device), device);
  if (!parse_bytes(size, &memory)) {
    print_error("plan: --device \"%s\": the size is written as 6GiB or 6144MiB, so " EXAMPLE, device);
    return EXIT_USAGE;
  }
  out->type = integrated ? HN_DEVICE_INTEGRATED : HN_DEVICE_DISCRETE;
  out->memory = (hn_memory){.device_bytes = memory, .device_free = memory, .host_free = integrated ? 0 : HOST_FREE,
                            .max_allocation_bytes = MAX_ALLOCATION, .unified = integrated};
  human_bytes(memory, bytes);
  human_bytes(MAX_ALLOCATION, limit);
  if (integrated)
    snprintf(out->name, sizeof out->name, "an integrated GPU in a machine of %s; assumed: allocations up to %s", bytes, limit);
  else
    snprintf(out->name, sizeof out->name, "a GPU with %s; assumed: %s of the host's memory, allocations up to %s", bytes,
             human_bytes(HOST_FREE, host), limit);
  return EXIT_OK;
}

/* A device that is here. */
static int look_up(runner *r, machine *out) {
  const char *device = r->opt->device;
  hn_error err = {0};
  hn_device_info info;
  int32_t index = -1;
  int code = runner_open_context(r, r->opt);
  if (code != EXIT_OK)
    return code;
  if (hn_context_find_device(r->ctx, device, &index, &err) != HN_OK) {
    print_error("%s; for a machine that is not here describe its memory, as in " EXAMPLE " or --device 16GiB-integrated", err.message);
    return exit_code(err.code);
  }
  if (hn_context_device(r->ctx, (size_t)index, &info, &err) != HN_OK ||
      hn_context_memory(r->ctx, (size_t)index, &out->memory, &err) != HN_OK)
    return print_failure(&err);
  char free_bytes[HUMAN_SIZE], bytes[HUMAN_SIZE];
  out->here = true;
  out->type = info.type;
  snprintf(out->name, sizeof out->name, "%s, %s; %s of %s free", info.name, device_type_name(info.type),
           human_bytes(out->memory.device_free, free_bytes), human_bytes(out->memory.device_bytes, bytes));
  return EXIT_OK;
}

static void choose_bandwidths(const options *opt, machine *m) {
  double device = (double)opt->device_gb_s, host = (double)opt->host_gb_s;
  m->assumed = device <= 0.0 || (host <= 0.0 && !(m->memory.unified && device > 0.0));
  m->device_gb_s = device > 0.0 ? device : bandwidths[m->type].device;
  m->host_gb_s = host > 0.0 ? host : m->memory.unified ? m->device_gb_s : bandwidths[m->type].host;
}

int machine_find(runner *r, machine *out) {
  const char *device = r->opt->device;
  *out = (machine){.here = false};
  if (device != NULL && strcmp(device, "cpu") == 0) {
    print_error("plan: the device cpu reads the weights from the file where they are, so there is nothing to plan; name a Vulkan device, or "
                "describe one, as in " EXAMPLE);
    return EXIT_USAGE;
  }
  int code = is_description(device) ? describe(device, out) : look_up(r, out);
  if (code == EXIT_OK)
    choose_bandwidths(r->opt, out);
  return code;
}
