// Which code runs on this processor.
#include "dispatch.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

const Kernels* const best_first[] = {
#if defined(__x86_64__)
#if defined(KNOWS_AMX)
    &amx_kernels,
#endif
    &avx512_bf16_kernels,
    &avx512_kernels,
    &avx2_kernels,
#endif
    &scalar_kernels,
};

// Whether the processor multiplies tiles of bf16, and Linux lets this process use their registers,
// for which a process has to ask ("Using XSTATE features in user space applications").
[[maybe_unused]] bool has_tiles() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  constexpr int ask = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (d & amx_bf16) && (d & amx_tile) && syscall(SYS_arch_prctl, ask, tile_data) == 0;
#else
  return false;
#endif
}

bool runs_here(const Kernels* kernels) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
#if defined(KNOWS_AMX)
  if (kernels == &amx_kernels) return bf16 && has_tiles();
#endif
  if (kernels == &avx512_bf16_kernels) return bf16;
  if (kernels == &avx512_kernels) return avx512;
  if (kernels == &avx2_kernels)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return true;
}

const Kernels* choose() {
  for (const Kernels* kernels : best_first)
    if (runs_here(kernels)) return kernels;
  return &scalar_kernels;
}

const Kernels* chosen = choose();

}  // namespace

extern "C" {

int32_t striate_version(void) { return 9; }

const char* striate_processor(void) { return chosen->name; }

int32_t striate_use_processor(const char* name) {
  for (const Kernels* kernels : best_first) {
    if (strcmp(kernels->name, name) == 0 && runs_here(kernels)) {
      chosen = kernels;
      return 1;
    }
  }
  return 0;
}

void striate_norm_sums(const StriateNorm* job) { chosen->norm(NORM_SUMS, *job); }
void striate_norm_activate(const StriateNorm* job) { chosen->norm(NORM_ACTIVATE, *job); }
void striate_norm_infer(const StriateNorm* job) { chosen->norm(NORM_INFER, *job); }
void striate_norm_gradient_sums(const StriateNorm* job) { chosen->norm(NORM_GRADIENT_SUMS, *job); }
void striate_norm_gradient(const StriateNorm* job) { chosen->norm(NORM_GRADIENT, *job); }
void striate_gather(const StriateGather* job) { chosen->gather(*job); }
void striate_resize(const StriateResize* job) { chosen->resize(*job); }

void striate_trunk_sizes(const StriateTrunk* job, int64_t* kept, int64_t* work) {
  chosen->trunk_sizes(*job, kept, work);
}
void striate_trunk(const StriateTrunk* job) { chosen->trunk(TRUNK_FORWARD, *job); }
void striate_trunk_back(const StriateTrunk* job) { chosen->trunk(TRUNK_BACK, *job); }

void striate_winograd_sizes(const StriateWinograd* job, int64_t* panels, int64_t* forward,
                            int64_t* gradient) {
  chosen->winograd_sizes(*job, panels, forward, gradient);
}
void striate_winograd(const StriateWinograd* job) { chosen->winograd(WINOGRAD_FORWARD, *job); }
void striate_winograd_weights(const StriateWinograd* job) {
  chosen->winograd(WINOGRAD_WEIGHTS, *job);
}

int64_t striate_muon_words(const StriateMuon* job) { return chosen->muon_words(*job); }
void striate_muon(const StriateMuon* job) { chosen->muon(*job); }

void striate_digest(const StriateDigest* job) { chosen->digest(*job); }
}
