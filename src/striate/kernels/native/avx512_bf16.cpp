// The operators for processors with AVX-512 that round to bf16 in one instruction.
#if defined(__x86_64__)
#pragma GCC target("avx512bf16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#define KERNELS avx512_bf16_kernels
#define KERNELS_NAME "avx512_bf16"
#define ROUNDS_TO_BF16  // the pragma defines no macros of the processor
#define HAS_MASKS
#define REGISTER 16  // fp32 values in a register
#include "kernels.inc"
#endif
