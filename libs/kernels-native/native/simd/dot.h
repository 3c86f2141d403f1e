#pragma once

#include <cstddef>
#include <cstdint>

#include "core/isa.h"

namespace ultramem {

// Rows whose dot products are computed side by side, so that one's sums do not wait for each other.
constexpr uint32_t DOT_ROWS = 4;

struct DotGroup {
  const uint8_t* row[DOT_ROWS];    // the first column
  const uint8_t* scale[DOT_ROWS];  // int8: the scale of the first column's block
  uint32_t phase;                  // int8: the first column's place in its block
  const uint8_t* ahead[DOT_ROWS];  // rows to fetch into the cache on the way; any address is allowed
};

struct DotTable {
  // dots[r] = row r times query[0 .. columns - 1], in f64: column c is added to sum c mod 8, the eight are halved three times.
  using DotRows = void (*)(double* dots, const float* query, size_t columns, const DotGroup& group);
  // Functions for DOT_ROWS rows and for one.
  DotRows f32[2];
  DotRows bf16[2];
  DotRows f16[2];
  DotRows int8[2];
  // x[0 .. count - 1] = gelu(x), as the reference computes it: f64 inside, rounded to f32.
  void (*gelu)(float* x, size_t count);
};

ULTRAMEM_TABLES(DotTable, dotTable)

}  // namespace ultramem
