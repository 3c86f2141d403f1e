#pragma once

#include <cstddef>
#include <cstdint>

#include "core/workers.h"

namespace ultramem {

// What vectors are rounded to for slow links: bf16, or rows as in a table of int8Block64 (core/value-table.h).
enum class Packing : uint8_t { bf16, int8 };

// Bytes of a packed row of `width` numbers, which is below 2^32.
size_t packedRowBytes(Packing packing, size_t width);

struct PackTask {
  const float* values;  // [rowCount, width]
  size_t rowCount;
  size_t width;
  Packing packing;
  uint8_t* out;  // [rowCount, packedRowBytes]
};

struct UnpackTask {
  const uint8_t* bytes;  // [rowCount, packedRowBytes]
  size_t rowCount;
  size_t width;
  Packing packing;
  float* out;  // [rowCount, width]
};

// The bits of libs/kernels/src/reference/pack-vectors.ts. False where a number is not finite, for which int8 has no place; the bytes are
// then worth nothing.
bool packVectors(const PackTask& task, Workers& workers);
void unpackVectors(const UnpackTask& task, Workers& workers);

// Time of one thread for so many numbers, roughly.
double packNs(size_t count);

}  // namespace ultramem
