// Vectors of sixteen values in GCC's portable notation, on what the processor of the surrounding
// `#pragma GCC target` has: from one AVX-512 register to four of SSE. The compiler cuts arithmetic
// into registers; what it does badly is cut here, or written in the processor's instructions.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#if REGISTER >= 8
#define HAS_AVX2
#include <immintrin.h>
#endif

#define ALWAYS __attribute__((always_inline))  // of a method or a lambda
#define INLINE static inline ALWAYS
#define APART __attribute__((noinline))  // where a loop needs all registers

constexpr int LANES = 16;

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));
typedef uint8_t Bytes __attribute__((vector_size(16)));

typedef uint16_t bfloat16;  // the upper half of a float

// As many values as a register of the processor holds.
typedef float Part __attribute__((vector_size(REGISTER * sizeof(float))));
typedef int32_t PartInts __attribute__((vector_size(REGISTER * sizeof(int32_t))));

// A vector, a register at a time: GCC 12 compares wider ones value by value, and copies them by way
// of the stack.
template <typename Vector, typename Register>
struct Cut {
  static constexpr int count = sizeof(Vector) / sizeof(Register);
  Register parts[count];

  ALWAYS Cut() {}
  ALWAYS Cut(Vector whole) { std::memcpy(parts, &whole, sizeof whole); }
  ALWAYS operator Vector() const {
    Vector whole;
    std::memcpy(&whole, parts, sizeof whole);
    return whole;
  }
};

typedef Cut<Floats, Part> CutFloats;
typedef Cut<Ints, PartInts> CutInts;

template <typename Result, typename Work, typename... Vectors>
INLINE Result by_register(Work work, const Vectors&... vectors) {
  Result result;
  for (int i = 0; i < Result::count; i++) result.parts[i] = work(vectors.parts[i]...);
  return result;
}

INLINE Floats splat(float value) { return value - (Floats){}; }
INLINE Ints splat_int(int32_t value) { return value - (Ints){}; }

// Where it is so, all bits of a value are set.
INLINE Ints less(Floats a, Floats b) {
  return by_register<CutInts>([](Part x, Part y) ALWAYS { return x < y; }, CutFloats(a),
                              CutFloats(b));
}
INLINE Ints at_most(Floats a, Floats b) {
  return by_register<CutInts>([](Part x, Part y) ALWAYS { return x <= y; }, CutFloats(a),
                              CutFloats(b));
}
INLINE Ints is_nan(Floats a) {
  return by_register<CutInts>([](Part x) ALWAYS { return x != x; }, CutFloats(a));
}
INLINE Ints less(Ints a, Ints b) {
  return by_register<CutInts>([](PartInts x, PartInts y) ALWAYS { return x < y; }, CutInts(a),
                              CutInts(b));
}
INLINE Ints equal(Ints a, Ints b) {
  return by_register<CutInts>([](PartInts x, PartInts y) ALWAYS { return x == y; }, CutInts(a),
                              CutInts(b));
}

INLINE Floats choose(Ints where, Floats yes, Floats no) {
  return by_register<CutFloats>([](PartInts w, Part y, Part n) ALWAYS { return w ? y : n; },
                                CutInts(where), CutFloats(yes), CutFloats(no));
}
INLINE Ints choose(Ints where, Ints yes, Ints no) {
  return by_register<CutInts>([](PartInts w, PartInts y, PartInts n) ALWAYS { return w ? y : n; },
                              CutInts(where), CutInts(yes), CutInts(no));
}

// Memory need not be aligned.
template <typename Vector, typename Value>
INLINE Vector read(const Value* from) {
  if constexpr (sizeof(Vector) > sizeof(Part)) {
    typedef Cut<Vector, PartInts> Parts;
    Parts values;
    for (int i = 0; i < Parts::count; i++)
      std::memcpy(&values.parts[i], (const char*)from + i * sizeof(Part), sizeof(Part));
    return values;
  } else {
    Vector values;
    std::memcpy(&values, from, sizeof values);
    return values;
  }
}

template <typename Vector, typename Value>
INLINE void write(Value* to, Vector values) {
  if constexpr (sizeof(Vector) > sizeof(Part)) {
    const Cut<Vector, PartInts> cut(values);
    for (int i = 0; i < cut.count; i++)
      std::memcpy((char*)to + i * sizeof(Part), &cut.parts[i], sizeof(Part));
  } else {
    std::memcpy(to, &values, sizeof values);
  }
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

// GCC 12 takes several instructions for each of these where the processor has one.
INLINE Halves to_halves(Bytes bytes) {
#if defined(HAS_AVX2)
  return (Halves)_mm256_cvtepu8_epi16((__m128i)bytes);
#endif
  return __builtin_convertvector(bytes, Halves);
}

INLINE Ints to_ints(Bytes bytes) {
#if defined(HAS_MASKS)
  return (Ints)_mm512_cvtepu8_epi32((__m128i)bytes);
#elif defined(HAS_AVX2)
  CutInts values;
  values.parts[0] = (PartInts)_mm256_cvtepu8_epi32((__m128i)bytes);
  values.parts[1] = (PartInts)_mm256_cvtepu8_epi32(_mm_srli_si128((__m128i)bytes, 8));
  return values;
#endif
  return __builtin_convertvector(to_halves(bytes), Ints);
}

#if defined(HAS_AVX2)
// To bytes, in order again: an instruction packs within each half of a register.
INLINE Bytes pack(__m256i halves) {
  const __m256i in_order = _mm256_permute4x64_epi64(halves, 0xd8);
  return (Bytes)_mm_packus_epi16(_mm256_castsi256_si128(in_order),
                                 _mm256_extracti128_si256(in_order, 1));
}
#endif

// Of values from 0 to 255.
INLINE Bytes to_bytes(Ints values) {
#if defined(HAS_MASKS)
  return (Bytes)_mm512_cvtepi32_epi8((__m512i)values);
#elif defined(HAS_AVX2)
  const CutInts cut(values);
  return pack(_mm256_packus_epi32((__m256i)cut.parts[0], (__m256i)cut.parts[1]));
#endif
  return __builtin_convertvector(__builtin_convertvector(values, Halves), Bytes);
}

// To the nearest, ties to even, as PyTorch rounds; a NaN stays one.
INLINE Halves narrow(Floats values) {
#if defined(ROUNDS_TO_BF16)
  return (Halves)_mm512_cvtneps_pbh((__m512)values);
#else
  Words bits = (Words)values;
  Words nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Ints chosen = choose(is_nan(values), splat_int(0x7fc0), (Ints)nearest);
  return __builtin_convertvector((Words)chosen, Halves);
#endif
}

// The first `count` values, 0 for the rest: rows of channels need not be a multiple of the lanes.
template <typename Vector, typename Value>
INLINE Vector load_raw(const Value* from, int64_t count) {
  if (__builtin_expect(count >= LANES, 1)) return read<Vector>(from);
  Vector values = {};
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
  if (__builtin_expect(count >= LANES, 1)) return write(to, values);
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
  x = choose(less(splat(-87.0f), x), x, splat(-87.0f));
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
