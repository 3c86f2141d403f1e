#include "simd/normalise.h"

#include "simd/pool-rows.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

void normaliseRow(const float* x, size_t width, bool centred, double eps, const float* weight, const float* bias, float* out) {
  const size_t whole = width / LANES * LANES;
  double mean = 0;
  if (centred) {
    F64x8 sums{};
    for (size_t c = 0; c < whole; c += LANES) sums += wide(x + c);
    mean = sumOfLanes(sums);
    for (size_t c = whole; c < width; c++) mean += static_cast<double>(x[c]);
    mean /= static_cast<double>(width);
  }
  F64x8 sums{};
  for (size_t c = 0; c < whole; c += LANES) {
    const F64x8 centre = wide(x + c) - mean;
    sums += centre * centre;
  }
  double squares = sumOfLanes(sums);
  for (size_t c = whole; c < width; c++) {
    const double centre = static_cast<double>(x[c]) - mean;
    squares += centre * centre;
  }
  const double scale = 1 / __builtin_sqrt(squares / static_cast<double>(width) + eps);
  for (size_t c = 0; c < whole; c += LANES) {
    F64x8 y = widen(narrow((wide(x + c) - mean) * scale));
    if (weight != nullptr) y *= wide(weight + c);
    if (bias != nullptr) y += wide(bias + c);
    const F32x8 rounded = narrow(y);
    __builtin_memcpy(out + c, &rounded, sizeof rounded);
  }
  for (size_t c = whole; c < width; c++) {
    double y = static_cast<double>(static_cast<float>((static_cast<double>(x[c]) - mean) * scale));
    if (weight != nullptr) y *= static_cast<double>(weight[c]);
    if (bias != nullptr) y += static_cast<double>(bias[c]);
    out[c] = static_cast<float>(y);
  }
}

}  // namespace

const NormaliseTable normaliseTable{normaliseRow};

}  // namespace ultramem::ULTRAMEM_ISA
