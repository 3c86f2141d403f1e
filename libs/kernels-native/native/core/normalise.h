#pragma once

#include <cstddef>

#include "core/workers.h"

namespace ultramem {

struct Normalisation {
  const float* x;  // [rows, width]
  size_t rows;
  size_t width;
  bool centred;  // the mean is taken away first
  double eps;
  const float* weight;  // [width] or nullptr
  const float* bias;    // the same
  float* out;           // [rows, width]
};

// Each row over its width. A row has the same bits in any batch and on every instruction set.
void normalise(const Normalisation& task, Workers& workers);

// Time on one thread, roughly.
double normaliseNs(const Normalisation& task);

}  // namespace ultramem
