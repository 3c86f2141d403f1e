#pragma once

#include <stddef.h>

#include "core/isa.h"

namespace ultramem {

struct NormaliseTable {
  // One row: out = (x - mean) / sqrt(mean square + eps), rounded to f32, times weight, plus bias. The mean is 0 unless `centred`; weight
  // and bias may be nullptr. Sums in f64, in eight lanes.
  using Row = void (*)(const float* x, size_t width, bool centred, double eps, const float* weight, const float* bias, float* out);
  Row row;
};

ULTRAMEM_TABLES(NormaliseTable, normaliseTable)

}  // namespace ultramem
