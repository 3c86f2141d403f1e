#include "core/rotate.h"

#include "simd/rotate.h"

namespace ultramem {

void rotate(const Rotation& task, Workers& workers) {
  const auto head = ULTRAMEM_PICK(rotateTable).head;
  const size_t width = task.headCount * 2 * task.half;
  runRows(workers, task.positions.size(), width, [=, &task](Slice slice) {
    for (size_t row = slice.begin; row < slice.end; row++) {
      const size_t angles = task.positions[row] * task.half;
      for (size_t at = row * width; at < (row + 1) * width; at += 2 * task.half)
        head(task.x + at, task.half, task.cos + angles, task.sin + angles);
    }
  });
}

double rotateNs(const Rotation& task) { return static_cast<double>(task.positions.size() * task.headCount * task.half) / 2; }

}  // namespace ultramem
