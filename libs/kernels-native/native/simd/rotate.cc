#include "simd/rotate.h"

#include "simd/pool-rows.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

void rotateHead(float* x, size_t half, const float* cos, const float* sin) {
  const size_t whole = half / LANES * LANES;
  for (size_t j = 0; j < whole; j += LANES) {
    const F64x8 c = wide(cos + j), s = wide(sin + j);
    const F64x8 a = wide(x + j), b = wide(x + half + j);
    const F32x8 first = narrow(a * c - b * s);
    const F32x8 second = narrow(b * c + a * s);
    __builtin_memcpy(x + j, &first, sizeof first);
    __builtin_memcpy(x + half + j, &second, sizeof second);
  }
  for (size_t j = whole; j < half; j++) {
    const double c = static_cast<double>(cos[j]), s = static_cast<double>(sin[j]);
    const double a = static_cast<double>(x[j]), b = static_cast<double>(x[half + j]);
    x[j] = static_cast<float>(a * c - b * s);
    x[half + j] = static_cast<float>(b * c + a * s);
  }
}

}  // namespace

const RotateTable rotateTable{rotateHead};

}  // namespace ultramem::ULTRAMEM_ISA
