#pragma once

#include <cstddef>
#include <cstdint>

#include "core/isa.h"

namespace ultramem {

// Rows from the one that is added to the one that is fetched into the first cache.
constexpr size_t ROWS_SOON = 8;

// Rows that are added up. They are fetched twice before: far ahead into the second cache, which waits for more lines of memory at once
// than the first, then a little ahead into the first, both line by line between the sums.
struct RowRun {
  const uint8_t* const* row;  // [count], each at its first column; behind them at least `ahead` more to fetch, of any address
  const double* weight;       // [count]
  size_t count;
  size_t ahead;  // rows from the one that is added to the one that is fetched into the second cache; at least ROWS_SOON
  size_t scaleOffset;  // int8: from a row's first column to the scale of that column's block
  uint32_t scalePhase;  // int8: the first column's place in its block
};

struct PoolTable {
  // out[0 .. count - 1] = columns first .. first + count - 1 of the sum of weight times row, in f64 in the order of the rows,
  // rounded once.
  using SumRows = void (*)(const RowRun& run, size_t first, size_t count, float* out);
  SumRows f32;
  SumRows bf16;
  SumRows f16;
  SumRows int8;
};

ULTRAMEM_TABLES(PoolTable, poolTable)

}  // namespace ultramem
