#include "core/rotate.h"

#include <algorithm>

#include "simd/rotate.h"

namespace ultramem {
namespace {

constexpr size_t PART_ELEMENTS = 16'384;

}  // namespace

void rotate(const Rotation& task, Workers& workers) {
  const auto head = ULTRAMEM_PICK(rotateTable).head;
  const size_t width = task.headCount * 2 * task.half;
  const size_t rows = task.positions.size();
  const auto parts = static_cast<uint32_t>(std::max<size_t>(1, rows * width / PART_ELEMENTS));
  workers.run(parts, [=, &task](uint32_t part, uint32_t) {
    const Slice slice = sliceOf(rows, part, parts);
    for (size_t row = slice.begin; row < slice.end; row++) {
      const size_t angles = task.positions[row] * task.half;
      for (size_t at = row * width; at < (row + 1) * width; at += 2 * task.half)
        head(task.x + at, task.half, task.cos + angles, task.sin + angles);
    }
  });
}

double rotateNs(const Rotation& task) { return static_cast<double>(task.positions.size() * task.headCount * task.half) / 2; }

}  // namespace ultramem
