#include "core/activation.h"

#include <algorithm>

#include "simd/activation.h"

namespace ultramem {
namespace {

constexpr size_t PART_ELEMENTS = 16'384;

}  // namespace

void activate(Activation kind, float* x, size_t rows, size_t width, float* out, Workers& workers) {
  const ActivationKernels& kernels = ULTRAMEM_PICK(activationKernels);
  const size_t count = rows * width;
  const auto parts = static_cast<uint32_t>(std::max<size_t>(1, count / PART_ELEMENTS));
  if (kind == Activation::swiglu) {
    const size_t half = width / 2;
    workers.run(parts, [=, &kernels](uint32_t part, uint32_t) {
      const Slice slice = sliceOf(rows, part, parts);
      for (size_t row = slice.begin; row < slice.end; row++)
        kernels.swiglu(x + row * width, x + row * width + half, half, out + row * half);
    });
    return;
  }
  const auto inPlace = kind == Activation::gelu ? kernels.gelu : kernels.relu;
  workers.run(parts, [=](uint32_t part, uint32_t) {
    const Slice slice = sliceOf(count, part, parts);
    inPlace(x + slice.begin, slice.end - slice.begin);
  });
}

void addInto(float* sum, const float* addend, size_t count, Workers& workers) {
  const auto parts = static_cast<uint32_t>(std::max<size_t>(1, count / PART_ELEMENTS));
  workers.run(parts, [=](uint32_t part, uint32_t) {
    const Slice slice = sliceOf(count, part, parts);
    for (size_t i = slice.begin; i < slice.end; i++) sum[i] += addend[i];
  });
}

double addIntoNs(size_t count) { return static_cast<double>(count) / 8; }

double activateNs(size_t count) { return static_cast<double>(count); }

}  // namespace ultramem
