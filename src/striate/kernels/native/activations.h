// Activations and their derivatives on a vector of values.
#pragma once

#include "vectors.h"

enum Activation { IDENTITY = 0, RELU = 1, GELU = 2, SILU = 3 };

// The share of the standard normal distribution below z, and e^(-z^2/2).
// Abramowitz and Stegun 7.1.26, to 1.5e-7.
struct Normal {
  Floats below, bell;
};

INLINE Normal normal(Floats z) {
  Floats size = choose(z < 0.0f, -z, z) * 0.707106781f;
  Floats bell = exp_of_negative(-size * size);
  Floats t = 1.0f / (1.0f + 0.3275911f * size);
  Floats tail = splat(1.061405429f);
  tail = tail * t - 1.453152027f;
  tail = tail * t + 1.421413741f;
  tail = tail * t - 0.284496736f;
  tail = tail * t + 0.254829592f;
  tail = 0.5f * tail * t * bell;  // the share beyond |z|
  return {choose(z < 0.0f, tail, 1.0f - tail), bell};
}

INLINE Floats logistic(Floats z) {
  Floats small = exp_of_negative(choose(z < 0.0f, z, -z));  // e^-|z|
  Floats near_one = 1.0f / (1.0f + small);
  return choose(z < 0.0f, small * near_one, near_one);
}

template <int activation>
INLINE Floats activate(Floats z) {
  if constexpr (activation == RELU) return choose(z < 0.0f, splat(0.0f), z);  // NaN stays
  if constexpr (activation == GELU) return z * normal(z).below;
  if constexpr (activation == SILU) return z * logistic(z);
  return z;
}

template <int activation>
INLINE Floats derivative(Floats z) {
  if constexpr (activation == RELU) return choose(z <= 0.0f, splat(0.0f), splat(1.0f));
  if constexpr (activation == GELU) {
    Normal at = normal(z);
    return at.below + z * at.bell * 0.398942280f;
  }
  if constexpr (activation == SILU) {
    Floats s = logistic(z);
    return s * (1.0f + z * (1.0f - s));
  }
  return splat(1.0f);
}
