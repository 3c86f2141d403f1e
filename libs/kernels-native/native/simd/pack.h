#pragma once

#include <cstddef>
#include <cstdint>

#include "core/isa.h"

namespace ultramem {

// Bytes lie at any address.
struct PackTable {
  // `count` numbers to bf16, to the nearest and of two as near the even one; a NaN stays one.
  void (*toBf16)(const float* values, size_t count, uint8_t* bytes);
  void (*ofBf16)(const uint8_t* bytes, size_t count, float* values);
  // One row of int8Block64: the int8, then the bf16 scale of each 64. False where a number is not finite.
  bool (*toInt8)(const float* values, size_t width, uint8_t* row);
  void (*ofInt8)(const uint8_t* row, size_t width, float* values);
};

ULTRAMEM_TABLES(PackTable, packTable)

}  // namespace ultramem
