#pragma once

#include <stddef.h>

#include "core/isa.h"

namespace ultramem {

// Elementwise; relative errors of a few units in the last place, also where results are denormal or inputs huge.
struct ActivationKernels {
  // out = up * silu(gate), silu(z) = z / (1 + e^-z)
  void (*swiglu)(const float* up, const float* gate, size_t count, float* out);
  // x Φ(x) with the normal distribution function, in place
  void (*gelu)(float* x, size_t count);
  void (*relu)(float* x, size_t count);
};

ULTRAMEM_TABLES(ActivationKernels, activationKernels)

}  // namespace ultramem
