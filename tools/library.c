#include "library.h"

#include "options.h"
#include "output.h"

int exit_code(hn_status status) {
  switch (status) {
  case HN_OK:
    return EXIT_OK;
  case HN_ERROR_ARGUMENT:
  case HN_ERROR_IO:
  case HN_ERROR_FORMAT:
  case HN_ERROR_UNSUPPORTED:
    return EXIT_USAGE;
  default:
    return EXIT_FAILED;
  }
}

int print_failure(const hn_error *err) {
  if (err->code == HN_ERROR_CANCELLED)
    print_error("cancelled");
  else
    print_error("%s", err->message[0] != 0 ? err->message : hn_status_name(err->code));
  return exit_code(err->code);
}

const char *device_type_name(hn_device_type type) {
  static const char *const names[] = {"discrete", "integrated", "virtual", "software", "other"};
  return names[type <= HN_DEVICE_OTHER ? type : HN_DEVICE_OTHER];
}
