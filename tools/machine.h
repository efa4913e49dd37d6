/* machine.h: whose memory `hornito plan` plans: a device that is here, or one that is described by its size. */
#ifndef HN_TOOLS_MACHINE_H
#define HN_TOOLS_MACHINE_H

#include "runner.h"

typedef struct machine {
  char name[320]; /* one line for people */
  hn_device_type type;
  bool here;
  hn_memory memory;
  double device_gb_s, host_gb_s; /* at which the device reads its own memory and the host's */
  bool assumed;                  /* one of these is a default of the type */
} machine;

/* What --device, --device-bandwidth and --host-bandwidth mean. Opens the runner's context where a device that is here is meant. The exit code;
 * what went wrong is printed. */
int machine_find(runner *r, machine *out);

#endif
