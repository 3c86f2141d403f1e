#pragma once

#include <cstddef>

#include "core/isa.h"

namespace ultramem {

struct MergeTable {
  // into[0 .. columns - 1] = the rows' elements from `at` on, added in the order of the rows, in f64, and rounded once. One row at least.
  void (*sumRows)(float* into, const float* const* rows, size_t rowCount, size_t at, size_t columns);
};

ULTRAMEM_TABLES(MergeTable, mergeTable)

}  // namespace ultramem
