// The operators for processors with AVX-512 that multiply tiles of bf16 (AMX).
#include "dispatch.h"
#if defined(KNOWS_AMX)
#pragma GCC target("avx512bf16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#define KERNELS amx_kernels
#define KERNELS_NAME "amx"
#define ROUNDS_TO_BF16
#define HAS_MASKS
#define HAS_AMX
#define REGISTER 16
#include "kernels.inc"
#endif
