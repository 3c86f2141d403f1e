#pragma once

#include <cstddef>
#include <cstdint>

#include "core/workers.h"

namespace ultramem {

enum class Activation : uint8_t { swiglu, gelu, relu };

// x [rows, width] to out [rows, width / 2] for swiglu, whose second half is the gate; gelu and relu work in place and `out` is x.
void activate(Activation kind, float* x, size_t rows, size_t width, float* out, Workers& workers);

// sum += addend, each of `count` sums rounded to f32.
void addInto(float* sum, const float* addend, size_t count, Workers& workers);

// Time on one thread, roughly.
double activateNs(size_t count);
double addIntoNs(size_t count);

}  // namespace ultramem
