#pragma once

// Lanes of a vector that reach a limit, and appending what belongs to them.

#include "simd/vector.h"

namespace ultramem::ULTRAMEM_ISA {

#if defined(ULTRAMEM_ISA_AVX512)
using Mask = uint32_t;
ULTRAMEM_INLINE Mask reaches(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
ULTRAMEM_INLINE uint32_t bitCount(Mask mask) { return static_cast<uint32_t>(__builtin_popcount(mask)); }
ULTRAMEM_INLINE void appendIds(uint32_t* into, Mask mask, uint32_t first) {
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i ids = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int32_t>(first)));
  _mm512_storeu_si512(into, _mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), ids));
}
ULTRAMEM_INLINE void appendValues(float* into, Mask mask, Vec v) {
  _mm512_storeu_ps(into, _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), v));
}
ULTRAMEM_INLINE Mask firstOf(size_t left) { return left >= WIDTH ? 0xffff : (1u << left) - 1; }
#else
using Mask = uint32_t;
#if defined(ULTRAMEM_ISA_AVX2)
ULTRAMEM_INLINE Mask reaches(Vec a, Vec b) { return static_cast<Mask>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ))); }
#else
ULTRAMEM_INLINE Mask reaches(Vec a, Vec b) {
  float x[WIDTH];
  float y[WIDTH];
  store(x, a);
  store(y, b);
  Mask mask = 0;
  for (int i = 0; i < WIDTH; i++) mask |= static_cast<Mask>(x[i] >= y[i]) << i;
  return mask;
}
#endif
ULTRAMEM_INLINE uint32_t bitCount(Mask mask) { return static_cast<uint32_t>(__builtin_popcount(mask)); }
ULTRAMEM_INLINE void appendIds(uint32_t* into, Mask mask, uint32_t first) {
  for (; mask != 0; mask &= mask - 1) *into++ = first + static_cast<uint32_t>(__builtin_ctz(mask));
}
ULTRAMEM_INLINE void appendValues(float* into, Mask mask, Vec v) {
  float lanes[WIDTH];
  store(lanes, v);
  for (; mask != 0; mask &= mask - 1) *into++ = lanes[__builtin_ctz(mask)];
}
ULTRAMEM_INLINE Mask firstOf(size_t left) { return left >= WIDTH ? (1u << WIDTH) - 1 : (1u << left) - 1; }
#endif

// Moves the elements of from[0 .. WIDTH) that the mask names to `to`, which lies at or before `from` or elsewhere, and writes nothing
// behind them.
template <class Word>
ULTRAMEM_INLINE void moveKept(const Word* from, Word* to, Mask mask) {
#if defined(ULTRAMEM_ISA_AVX512)
  const __m512i kept = _mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), _mm512_loadu_si512(from));
  // Storing the compressed lanes at once would take ten times as long on some machines.
  _mm512_mask_storeu_epi32(to, static_cast<__mmask16>((1u << bitCount(mask)) - 1), kept);
#else
  for (; mask != 0; mask &= mask - 1) *to++ = from[__builtin_ctz(mask)];
#endif
}

}  // namespace ultramem::ULTRAMEM_ISA
