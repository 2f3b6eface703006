// The operators for any processor.
#define KERNELS scalar_kernels
#define KERNELS_NAME "scalar"
#include "kernels.inc"
