#include "core/activation.h"

#include "simd/activation.h"

namespace ultramem {

void activate(Activation kind, float* x, size_t rows, size_t width, float* out, Workers& workers) {
  const ActivationKernels& kernels = ULTRAMEM_PICK(activationKernels);
  if (kind == Activation::swiglu) {
    const size_t half = width / 2;
    runRows(workers, rows, width, [=, &kernels](Slice slice) {
      for (size_t row = slice.begin; row < slice.end; row++)
        kernels.swiglu(x + row * width, x + row * width + half, half, out + row * half);
    });
    return;
  }
  const auto inPlace = kind == Activation::gelu ? kernels.gelu : kernels.relu;
  runRows(workers, rows * width, 1, [=](Slice slice) { inPlace(x + slice.begin, slice.end - slice.begin); });
}

void addInto(float* sum, const float* addend, size_t count, Workers& workers) {
  runRows(workers, count, 1, [=](Slice slice) {
    for (size_t i = slice.begin; i < slice.end; i++) sum[i] += addend[i];
  });
}

double addIntoNs(size_t count) { return static_cast<double>(count) / 8; }

double activateNs(size_t count) { return static_cast<double>(count); }

}  // namespace ultramem
