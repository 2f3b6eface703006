// The operators for any processor.
#define KERNELS scalar_kernels
#define KERNELS_NAME "scalar"
#define REGISTER 4  // fp32 values in a register
#include "kernels.inc"
