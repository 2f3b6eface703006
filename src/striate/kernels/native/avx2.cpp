// The operators for processors with AVX2.
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#define KERNELS avx2_kernels
#define KERNELS_NAME "avx2"
#define REGISTER 8  // fp32 values in a register
#include "kernels.inc"
#endif
