#pragma once

#include <stddef.h>

#include "core/isa.h"

namespace ultramem {

struct RotateTable {
  // One head of 2 half numbers, in place: feature j goes with feature j + half, by the angle whose cosine and sine stand at j. Products
  // and their sums in f64, each result rounded to f32 once.
  using Head = void (*)(float* x, size_t half, const float* cos, const float* sin);
  Head head;
};

ULTRAMEM_TABLES(RotateTable, rotateTable)

}  // namespace ultramem
