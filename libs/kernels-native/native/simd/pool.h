#pragma once

#include <cstddef>
#include <cstdint>

#include "core/isa.h"

namespace ultramem {

// Rows that are added together: sums are loaded and stored once for all of them.
constexpr uint32_t ROW_GROUP = 4;

// A range of columns of up to ROW_GROUP rows.
struct RowGroup {
  const uint8_t* row[ROW_GROUP];  // the range's first column
  double weight[ROW_GROUP];
  const uint8_t* scale[ROW_GROUP];  // int8: the scale of the first column's block
  uint32_t phase;                   // int8: the first column's place in its block
  // As `row`, of rows that come later and are fetched on the way: soon, into the first cache, and much later, into the second. Any
  // address is allowed.
  const uint8_t* soon[ROW_GROUP];
  const uint8_t* later[ROW_GROUP];
};

struct PoolTable {
  // sums[0 .. columns - 1] += weight[0] row[0], then weight[1] row[1] and so on, in f64. One function for each number of rows - 1.
  using AddRows = void (*)(double* sums, size_t columns, const RowGroup& group);
  AddRows f32[ROW_GROUP];
  AddRows bf16[ROW_GROUP];
  AddRows f16[ROW_GROUP];
  AddRows int8[ROW_GROUP];
};

ULTRAMEM_TABLES(PoolTable, poolTable)

}  // namespace ultramem
