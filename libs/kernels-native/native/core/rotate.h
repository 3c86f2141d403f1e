#pragma once

#include <cstddef>
#include <cstdint>

#include "core/workers.h"

namespace ultramem {

struct Rotation {
  float* x;  // [rows, headCount, 2 half], changed in place
  size_t rows;
  size_t headCount;
  size_t half;
  const float* cos;  // [positions, half]
  const float* sin;  // the same
  const uint32_t* positions;  // [rows], inside the table
};

// Every head of a row by the angles of the row's position. The same bits on every instruction set.
void rotate(const Rotation& task, Workers& workers);

// Time on one thread, roughly.
double rotateNs(const Rotation& task);

}  // namespace ultramem
