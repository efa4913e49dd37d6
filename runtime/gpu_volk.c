/* gpu_volk.c: the place where volk, a library of headers, is compiled. */
#define VOLK_IMPLEMENTATION
#include <volk.h>
