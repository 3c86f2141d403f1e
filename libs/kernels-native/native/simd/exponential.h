#pragma once

#include "simd/vector.h"

namespace ultramem::ULTRAMEM_ISA {

// e^x as mantissa 2^power, for |x| <= 350: apart, so that a caller can multiply before the result leaves the range of f32.
struct Exponential {
  Vec mantissa;
  Vec power;
};

// Relative error of the mantissa about 1e-7: Cody and Waite's reduction by ln 2 in two parts, whose first times a power is exact; then
// 1 + r + r^2 g(r), where g interpolates at Chebyshev nodes of |r| <= ln 2 / 2 (relative error 1e-8).
ULTRAMEM_INLINE Exponential exponential(Vec x) {
  const Vec power = nearest(mul(x, splat(1.44269504f)));
  Vec r = fma(power, splat(-0.693359375f), x);
  r = fma(power, splat(2.12194440e-4f), r);
  Vec g = splat(1.3926183585e-3f);
  g = fma(g, r, splat(8.3631790527e-3f));
  g = fma(g, r, splat(4.1666554617e-2f));
  g = fma(g, r, splat(1.6666576990e-1f));
  g = fma(g, r, splat(0.5f));
  return {add(fma(mul(r, r), g, r), splat(1.0f)), power};
}

// e^x for x <= 0; 0 for what is below -150, NaN for NaN.
ULTRAMEM_INLINE Vec exponentialOfNegative(Vec x) {
  const Exponential e = exponential(max(splat(-150.0f), x));
  return scale(e.mantissa, e.power);
}

}  // namespace ultramem::ULTRAMEM_ISA
