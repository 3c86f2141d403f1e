#pragma once

#include <cstddef>

#include "core/activation.h"
#include "core/matmul.h"
#include "core/workers.h"

namespace ultramem {

// The MLP of a block: `inner`, the non-linearity, `outer`. outer.columns() is inner.rows(), or half of it for swiglu.
struct FeedForward {
  const PackedMatrix& inner;
  const float* innerBias;  // [inner.rows()] or nullptr
  Activation activation;
  const PackedMatrix& outer;
  const float* outerBias;  // [outer.rows()] or nullptr
};

// x [rowCount, inner.columns()] to out [rowCount, outer.rows()], with the bits of `matmul`, `activate` and `matmul`.
void feedForward(const FeedForward& layer, const float* x, size_t rowCount, float* out, Workers& workers);

// Time on one thread, roughly.
double feedForwardNs(const FeedForward& layer, size_t rowCount);

}  // namespace ultramem
