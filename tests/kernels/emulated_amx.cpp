// What multiplies by AMX, whose instructions are emulated, as a library.
#include "dispatch.h"

extern "C" {
void striate_winograd_sizes(const StriateWinograd* job, int64_t* panels, int64_t* forward,
                            int64_t* gradient) {
  amx_kernels.winograd_sizes(*job, panels, forward, gradient);
}
void striate_winograd(const StriateWinograd* job) { amx_kernels.winograd(WINOGRAD_FORWARD, *job); }
void striate_winograd_weights(const StriateWinograd* job) {
  amx_kernels.winograd(WINOGRAD_WEIGHTS, *job);
}
int64_t striate_muon_words(const StriateMuon* job) { return amx_kernels.muon_words(*job); }
void striate_muon(const StriateMuon* job) { amx_kernels.muon(*job); }
}
