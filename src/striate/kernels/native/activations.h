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

// (f(z) - 1/2) / z of a function that rises from 0 to 1 around 0, as a polynomial in z^2 by
// Horner's rule; beyond 4.5 the function is at its ends. Fitted to the least largest error.
template <int terms>
INLINE Floats rise(Floats z, const float (&coefficients)[terms]) {
  Floats t = z * z * (2.0f / (4.5f * 4.5f)) - 1.0f;
  Floats sum = splat(coefficients[terms - 1]);
  for (int k = terms - 2; k >= 0; k--) sum = sum * t + coefficients[k];
  Floats within = sum * z + 0.5f;
  Floats beyond = choose(z < 0.0f, splat(0.0f), splat(1.0f));
  return choose(t > 1.0f, beyond, within);
}

// The share of the standard normal distribution below z, to 3e-6: enough for bf16.
INLINE Floats rough_normal(Floats z) {
  return rise(z, {0.15690509f, -0.077192277f, 0.054691711f, -0.040134557f, 0.028372448f,
                  -0.018914483f, 0.01115588f, -0.0054137776f, 0.003080673f, -0.0022588977f,
                  0.00081870584f});
}

// The derivative of z times that share, to 7e-5.
INLINE Floats rough_gelu_derivative(Floats z) {
  return rise(z, {0.15943156f, -0.090013108f, 0.086986632f, -0.093923479f, 0.097906419f,
                  -0.0938312f, 0.069740411f, -0.036220731f, 0.028486926f, -0.029358181f,
                  0.011923667f});
}

// `Value` is what the result is rounded to.
template <int activation, typename Value>
INLINE Floats activate(Floats z) {
  if constexpr (activation == GELU && sizeof(Value) == 2) return z * rough_normal(z);

  if constexpr (activation == RELU) return choose(z < 0.0f, splat(0.0f), z);  // NaN stays
  if constexpr (activation == GELU) return z * normal(z).below;
  if constexpr (activation == SILU) return z * logistic(z);
  return z;
}

template <int activation, typename Value>
INLINE Floats derivative(Floats z) {
  if constexpr (activation == GELU && sizeof(Value) == 2) return rough_gelu_derivative(z);
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
