#include "simd/activation.h"

#include "simd/exponential.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

// a 2^n b for whole n, in an order that leaves the range of f32 only where the result does.
ULTRAMEM_INLINE Vec scaleAndMultiply(Vec a, Vec n, Vec b) {
  const Vec half = nearest(mul(n, splat(0.5f)));
  return scale(mul(scale(a, half), b), sub(n, half));
}

// With e = e^-|z| below 1 nothing overflows: silu(z) = z / (1 + e), and z e / (1 + e) for negative z. From -240 on it is 0 even times
// the largest f32.
ULTRAMEM_INLINE Vec gated(Vec up, Vec gate) {
  const Vec z = max(splat(-240.0f), gate);
  const Exponential e = exponential(max(splat(-240.0f), sub(zero(), abs(z))));
  const Vec quotient = div(z, add(splat(1.0f), scale(e.mantissa, max(splat(-200.0f), e.power))));
  return whereLess(z, zero(), scaleAndMultiply(mul(quotient, e.mantissa), e.power, up), mul(quotient, up));
}

// Φ(-|x|) = e^(-x²/2) R(|x|), where R = s p(s), s = 1 / (1 + 0.24 |x|); p interpolates at Chebyshev nodes of 0 <= |x| <= 15.2 with a
// relative error of 4e-9. Beyond 15, x Φ(-|x|) is 0 in f32.
ULTRAMEM_INLINE Vec normalDistributed(Vec x) {
  const Vec bounded = min(splat(15.0f), abs(x));
  const Vec s = div(splat(1.0f), fma(splat(0.24f), bounded, splat(1.0f)));
  Vec p = splat(2.5796710314e-2f);
  p = fma(p, s, splat(-1.2616881945e-1f));
  p = fma(p, s, splat(2.0923534350e-1f));
  p = fma(p, s, splat(-1.4949569227e-1f));
  p = fma(p, s, splat(1.4598623736e-1f));
  p = fma(p, s, splat(2.5614466211e-2f));
  p = fma(p, s, splat(8.8678655539e-2f));
  p = fma(p, s, splat(8.8729384669e-2f));
  p = fma(p, s, splat(9.5883028167e-2f));
  p = fma(p, s, splat(9.5740687540e-2f));
  // What rounding takes from the square, up to 1e-5 of the result, comes back as a factor.
  const Vec square = mul(bounded, bounded);
  const Vec lost = fma(bounded, bounded, sub(zero(), square));
  const Exponential e = exponential(mul(square, splat(-0.5f)));
  const Vec tail = mul(mul(mul(p, s), e.mantissa), fma(lost, splat(-0.5f), splat(1.0f)));
  const Vec upper = mul(x, sub(splat(1.0f), scale(tail, e.power)));
  const Vec lower = scale(mul(tail, max(splat(-15.0f), x)), e.power);
  return whereLess(x, zero(), lower, upper);
}

// Applies a function to each vector; the last elements go through a vector of their own, filled up with zeros.
template <class Apply>
ULTRAMEM_INLINE void inPlace(float* x, size_t count, const Apply& apply) {
  size_t at = 0;
  for (; at + WIDTH <= count; at += WIDTH) store(x + at, apply(load(x + at)));
  if (at == count) return;
  float rest[WIDTH] = {};
  for (size_t i = 0; at + i < count; i++) rest[i] = x[at + i];
  store(rest, apply(load(rest)));
  for (size_t i = 0; at + i < count; i++) x[at + i] = rest[i];
}

void swiglu(const float* up, const float* gate, size_t count, float* out) {
  size_t at = 0;
  for (; at + WIDTH <= count; at += WIDTH) store(out + at, gated(load(up + at), load(gate + at)));
  if (at == count) return;
  float restUp[WIDTH] = {};
  float restGate[WIDTH] = {};
  for (size_t i = 0; at + i < count; i++) {
    restUp[i] = up[at + i];
    restGate[i] = gate[at + i];
  }
  store(restUp, gated(load(restUp), load(restGate)));
  for (size_t i = 0; at + i < count; i++) out[at + i] = restUp[i];
}

void gelu(float* x, size_t count) {
  inPlace(x, count, [](Vec v) { return normalDistributed(v); });
}

// NaN stays NaN, as in Math.max; the sum makes +0 of -0.
void relu(float* x, size_t count) {
  inPlace(x, count, [](Vec v) { return add(max(zero(), v), zero()); });
}

}  // namespace

const ActivationKernels activationKernels = {swiglu, gelu, relu};

}  // namespace ultramem::ULTRAMEM_ISA
