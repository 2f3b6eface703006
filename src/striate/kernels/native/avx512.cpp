// The operators for processors with AVX-512.
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#define KERNELS avx512_kernels
#define KERNELS_NAME "avx512"
#define HAS_MASKS
#define REGISTER 16  // fp32 values in a register
#include "kernels.inc"
#endif
