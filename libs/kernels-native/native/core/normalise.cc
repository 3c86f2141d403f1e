#include "core/normalise.h"

#include "simd/normalise.h"

namespace ultramem {

void normalise(const Normalisation& task, Workers& workers) {
  const auto row = ULTRAMEM_PICK(normaliseTable).row;
  runRows(workers, task.rows, task.width, [=, &task](Slice slice) {
    for (size_t at = slice.begin; at < slice.end; at++)
      row(task.x + at * task.width, task.width, task.centred, task.eps, task.weight, task.bias, task.out + at * task.width);
  });
}

double normaliseNs(const Normalisation& task) { return static_cast<double>(task.rows * task.width) / 3; }

}  // namespace ultramem
