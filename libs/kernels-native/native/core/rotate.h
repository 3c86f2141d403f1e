#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/workers.h"

namespace ultramem {

struct Rotation {
  float* x;  // [positions, headCount, 2 half], changed in place
  size_t headCount;
  size_t half;
  const float* cos;  // [positions of the table, half]
  const float* sin;  // the same
  std::vector<uint32_t> positions;  // inside the table
};

// Every head of a row by the angles of the row's position. The same bits on every instruction set.
void rotate(const Rotation& task, Workers& workers);

// Time on one thread, roughly.
double rotateNs(const Rotation& task);

}  // namespace ultramem
