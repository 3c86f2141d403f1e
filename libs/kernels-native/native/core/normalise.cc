#include "core/normalise.h"

#include <algorithm>

#include "simd/normalise.h"

namespace ultramem {
namespace {

constexpr size_t PART_ELEMENTS = 16'384;

}  // namespace

void normalise(const Normalisation& task, Workers& workers) {
  const auto row = ULTRAMEM_PICK(normaliseTable).row;
  const auto parts = static_cast<uint32_t>(std::max<size_t>(1, task.rows * task.width / PART_ELEMENTS));
  workers.run(parts, [=, &task](uint32_t part, uint32_t) {
    const Slice slice = sliceOf(task.rows, part, parts);
    for (size_t at = slice.begin; at < slice.end; at++)
      row(task.x + at * task.width, task.width, task.centred, task.eps, task.weight, task.bias, task.out + at * task.width);
  });
}

double normaliseNs(const Normalisation& task) { return static_cast<double>(task.rows * task.width) / 3; }

}  // namespace ultramem
