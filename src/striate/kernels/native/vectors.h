// Vectors of sixteen values in GCC's portable notation: the compiler maps them to what the
// processor of the surrounding `#pragma GCC target` has, from one AVX-512 register to four of SSE.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(HAS_MASKS)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define APART __attribute__((noinline))  // where a loop needs all registers

constexpr int LANES = 16;

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));
typedef uint8_t Bytes __attribute__((vector_size(16)));

typedef uint16_t bfloat16;  // the upper half of a float

INLINE Floats splat(float value) { return value - (Floats){}; }

INLINE Floats choose(Ints where, Floats yes, Floats no) {
  return (Floats)((where & (Ints)yes) | (~where & (Ints)no));
}

INLINE Floats widen(Halves halves) {
#if defined(HAS_MASKS)  // one instruction in the place of two
  alignas(64) static const uint16_t upper[32] = {0, 0, 0, 1,  0, 2,  0, 3,  0, 4,  0,
                                                 5, 0, 6, 0,  7, 0,  8, 0,  9, 0,  10,
                                                 0, 11, 0, 12, 0, 13, 0, 14, 0, 15};
  const __m512i wide = _mm512_castsi256_si512((__m256i)halves);
  return (Floats)_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, _mm512_load_si512(upper), wide);
#endif
  return (Floats)(__builtin_convertvector(halves, Words) << 16);
}

// By way of 16 bits, which GCC 12 does in a sixth of the instructions.
INLINE Ints to_ints(Bytes bytes) {
  return __builtin_convertvector(__builtin_convertvector(bytes, Halves), Ints);
}

// To the nearest, ties to even, as PyTorch rounds; a NaN stays one.
INLINE Halves narrow(Floats values) {
#if defined(ROUNDS_TO_BF16)
  return (Halves)_mm512_cvtneps_pbh((__m512)values);
#else
  Words bits = (Words)values;
  Words nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  Words is_number = (Words)(values == values);
  return __builtin_convertvector((nearest & is_number) | (0x7fc0u & ~is_number), Halves);
#endif
}

// The first `count` values, 0 for the rest: rows of channels need not be a multiple of the lanes.
template <typename Vector, typename Value>
INLINE Vector load_raw(const Value* from, int64_t count) {
  Vector values = {};
  if (__builtin_expect(count >= LANES, 1)) {
    std::memcpy(&values, from, sizeof values);
    return values;
  }
#if defined(HAS_MASKS) && !defined(__SANITIZE_ADDRESS__)  // which sees no masked access
  const __mmask16 some = (1u << count) - 1;
  if constexpr (sizeof(Value) == 4) return (Vector)_mm512_maskz_loadu_epi32(some, from);
  if constexpr (sizeof(Value) == 2) return (Vector)_mm256_maskz_loadu_epi16(some, from);
#endif
  std::memcpy(&values, from, count * sizeof(Value));
  return values;
}

template <typename Vector, typename Value>
INLINE void store_raw(Value* to, Vector values, int64_t count) {
  if (__builtin_expect(count >= LANES, 1)) {
    std::memcpy(to, &values, sizeof values);
    return;
  }
#if defined(HAS_MASKS) && !defined(__SANITIZE_ADDRESS__)  // which sees no masked access
  const __mmask16 some = (1u << count) - 1;
  if constexpr (sizeof(Value) == 4) return _mm512_mask_storeu_epi32(to, some, (__m512i)values);
  if constexpr (sizeof(Value) == 2) return _mm256_mask_storeu_epi16(to, some, (__m256i)values);
#endif
  std::memcpy(to, &values, count * sizeof(Value));
}

INLINE Floats load(const float* from, int64_t count) { return load_raw<Floats>(from, count); }
INLINE Floats load(const bfloat16* from, int64_t count) {
  return widen(load_raw<Halves>(from, count));
}
INLINE void store(float* to, Floats values, int64_t count) { store_raw(to, values, count); }
INLINE void store(bfloat16* to, Floats values, int64_t count) {
  store_raw(to, narrow(values), count);
}

// e^x for x <= 0, to 2 units in the last place: 2^n times a polynomial of the rest.
INLINE Floats exp_of_negative(Floats x) {
  x = choose(x > -87.0f, x, splat(-87.0f));
  Ints n = __builtin_convertvector(x * 1.44269504f - 0.5f, Ints);  // truncation rounds to nearest
  Floats whole = __builtin_convertvector(n, Floats);
  Floats rest = (x - whole * 0.693145752f) - whole * 1.42860677e-6f;
  Floats power = splat(1.0f / 720);
  power = power * rest + 1.0f / 120;
  power = power * rest + 1.0f / 24;
  power = power * rest + 1.0f / 6;
  power = power * rest + 0.5f;
  power = power * rest + 1.0f;
  power = power * rest + 1.0f;
  return (Floats)((Ints)power + (n << 23));
}
