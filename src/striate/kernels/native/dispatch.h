// The operators of one kind of processor.
#pragma once

#include "striate_kernels.h"

// Whether the compiler is new enough for AMX, and with it the assembler: GCC 11.
#if defined(__x86_64__) && __has_include(<amxbf16intrin.h>)
#define KNOWS_AMX
#endif

enum NormStep { NORM_SUMS, NORM_ACTIVATE, NORM_INFER, NORM_GRADIENT_SUMS, NORM_GRADIENT };

enum TrunkStep { TRUNK_FORWARD, TRUNK_BACK };

enum WinogradStep { WINOGRAD_FORWARD, WINOGRAD_WEIGHTS };

struct Kernels {
  const char* name;
  void (*norm)(NormStep step, const StriateNorm& job);
  void (*gather)(const StriateGather& job);
  void (*resize)(const StriateResize& job);
  void (*trunk)(TrunkStep step, const StriateTrunk& job);
  void (*trunk_sizes)(const StriateTrunk& job, int64_t* kept, int64_t* work);
  void (*winograd)(WinogradStep step, const StriateWinograd& job);
  void (*winograd_sizes)(const StriateWinograd& job, int64_t* panels, int64_t* forward,
                         int64_t* gradient);
  void (*muon)(const StriateMuon& job);
  int64_t (*muon_words)(const StriateMuon& job);
  void (*digest)(const StriateDigest& job);
};

extern const Kernels amx_kernels, avx512_bf16_kernels, avx512_kernels, avx2_kernels,
    scalar_kernels;
