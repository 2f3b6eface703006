// Activations and their derivatives on a vector of values.
#pragma once

#include "vectors.h"

enum Activation { IDENTITY = 0, RELU = 1, GELU = 2, SILU = 3, TANH = 4, SIGMOID = 5 };

// The share of the standard normal distribution below z, and e^(-z^2/2).
// Abramowitz and Stegun 7.1.26, to 1.5e-7.
struct Normal {
  Floats below, bell;
};

INLINE Normal normal(Floats z) {
  Floats size = choose(less(z, (Floats){}), -z, z) * 0.707106781f;
  Floats bell = exp_of_negative(-size * size);
  Floats t = 1.0f / (1.0f + 0.3275911f * size);
  Floats tail = splat(1.061405429f);
  tail = tail * t - 1.453152027f;
  tail = tail * t + 1.421413741f;
  tail = tail * t - 0.284496736f;
  tail = tail * t + 0.254829592f;
  tail = 0.5f * tail * t * bell;  // the share beyond |z|
  return {choose(less(z, (Floats){}), tail, 1.0f - tail), bell};
}

INLINE Floats logistic(Floats z) {
  Floats small = exp_of_negative(choose(less(z, (Floats){}), z, -z));  // e^-|z|
  Floats near_one = 1.0f / (1.0f + small);
  return choose(less(z, (Floats){}), small * near_one, near_one);
}

// (f(z) - 1/2) / z of a function that rises from 0 to 1 around 0, as a polynomial in z^2 by
// Horner's rule; beyond 4.5 the function is at its ends. Fitted to the least largest error.
template <int terms>
INLINE Floats rise(Floats z, const float (&coefficients)[terms]) {
  Floats t = z * z * (2.0f / (4.5f * 4.5f)) - 1.0f;
  Floats sum = splat(coefficients[terms - 1]);
  for (int k = terms - 2; k >= 0; k--) sum = sum * t + coefficients[k];
  Floats within = sum * z + 0.5f;
  Floats beyond = choose(less(z, (Floats){}), splat(0.0f), splat(1.0f));
  return choose(less(splat(1.0f), t), beyond, within);
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

// e^x = scale * (1 + rest), for |x| up to 87: neither e^x nor e^x - 1 loses digits.
struct Exponential {
  Floats scale, rest;
};

INLINE Exponential exponential(Floats x) {
  const float shifter = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
  Floats shifted = x * 1.44269504f + shifter;
  Floats whole = shifted - shifter;
  Floats rest = (x - whole * 0.693145752f) - whole * 1.42860677e-6f;
  Floats power = splat(1.388249741e-3f);  // (e^r - 1 - r) / r^2 to 1.4e-8, |r| <= ln(2) / 2
  power = power * rest + 8.366646797e-3f;
  power = power * rest + 4.166720392e-2f;
  power = power * rest + 0.1666654268f;
  power = power * rest + 0.4999999813f;
  return {(Floats)(((Words)shifted << 23) + 0x3f800000u), power * (rest * rest) + rest};
}

// To 2.6 units in the last place, never beyond 1.
INLINE Floats hyperbolic_tangent(Floats z) {
  const Ints sign = (Ints)z & (int32_t)0x80000000;
  Floats size = (Floats)((Ints)z ^ sign);
  size = choose(less(splat(9.1f), size), splat(9.1f), size);  // from there on it is 1
  const Exponential e = exponential(size + size);
  const Floats less_one = e.scale * e.rest + (e.scale - 1.0f);  // e^2z - 1
  return (Floats)((Ints)(less_one / (less_one + 2.0f)) | sign);
}

// To 2.3 units in the last place.
INLINE Floats sigmoid(Floats z) {
  Floats below = choose(less((Floats){}, z), -z, z);
  below = choose(less(below, splat(-87.0f)), splat(-87.0f), below);
  const Exponential e = exponential(below);
  const Floats small = e.scale * e.rest + e.scale;  // e^-|z|
  return choose(less((Floats){}, z), splat(1.0f), small) / (1.0f + small);
}

// `Value` is what the result is rounded to.
template <int activation, typename Value>
INLINE Floats activate(Floats z) {
  if constexpr (activation == GELU && sizeof(Value) == 2) return z * rough_normal(z);

  if constexpr (activation == RELU) return choose(less(z, (Floats){}), (Floats){}, z);  // NaN stays
  if constexpr (activation == GELU) return z * normal(z).below;
  if constexpr (activation == SILU) return z * logistic(z);
  if constexpr (activation == TANH) return hyperbolic_tangent(z);
  if constexpr (activation == SIGMOID) return sigmoid(z);
  return z;
}

template <int activation, typename Value>
INLINE Floats derivative(Floats z) {
  if constexpr (activation == GELU && sizeof(Value) == 2) return rough_gelu_derivative(z);
  if constexpr (activation == RELU) return choose(at_most(z, (Floats){}), splat(0.0f), splat(1.0f));
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
