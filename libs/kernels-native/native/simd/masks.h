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
#if defined(ULTRAMEM_ISA_AVX2)
// For each mask the lanes that it names, in order, then any.
struct LanesOfMasks {
  uint8_t lanes[1 << WIDTH][WIDTH] = {};
  constexpr LanesOfMasks() {
    for (int mask = 0; mask < 1 << WIDTH; mask++)
      for (uint8_t lane = 0, next = 0; lane < WIDTH; lane++)
        if (mask >> lane & 1) lanes[mask][next++] = lane;
  }
};
alignas(64) constexpr LanesOfMasks LANES_OF_MASKS;
ULTRAMEM_INLINE __m256i lanesOf(Mask mask) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(LANES_OF_MASKS.lanes[mask])));
}
ULTRAMEM_INLINE void appendIds(uint32_t* into, Mask mask, uint32_t first) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(into), _mm256_add_epi32(lanesOf(mask), _mm256_set1_epi32(static_cast<int32_t>(first))));
}
ULTRAMEM_INLINE void appendValues(float* into, Mask mask, Vec v) { store(into, _mm256_permutevar8x32_ps(v, lanesOf(mask))); }
#else
ULTRAMEM_INLINE void appendIds(uint32_t* into, Mask mask, uint32_t first) {
  for (; mask != 0; mask &= mask - 1) *into++ = first + static_cast<uint32_t>(__builtin_ctz(mask));
}
ULTRAMEM_INLINE void appendValues(float* into, Mask mask, Vec v) {
  float lanes[WIDTH];
  store(lanes, v);
  for (; mask != 0; mask &= mask - 1) *into++ = lanes[__builtin_ctz(mask)];
}
#endif
ULTRAMEM_INLINE Mask firstOf(size_t left) { return left >= WIDTH ? (1u << WIDTH) - 1 : (1u << left) - 1; }
#endif

// Counts in every lane.
#if defined(ULTRAMEM_ISA_AVX512)
struct LaneCounts {
  __m512i counts = _mm512_setzero_si512();
  // One more where a > b.
  void addLarger(Vec a, Vec b) {
    counts = _mm512_mask_sub_epi32(counts, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), counts, _mm512_set1_epi32(-1));
  }
  void store(uint32_t* p) const { _mm512_storeu_si512(p, counts); }
};
#elif defined(ULTRAMEM_ISA_AVX2)
struct LaneCounts {
  __m256i counts = _mm256_setzero_si256();
  void add(__m256 mask) { counts = _mm256_sub_epi32(counts, _mm256_castps_si256(mask)); }
  void addLarger(Vec a, Vec b) { add(_mm256_cmp_ps(a, b, _CMP_GT_OQ)); }
  void store(uint32_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), counts); }
  uint32_t total() const {
    uint32_t lanes[WIDTH];
    store(lanes);
    uint32_t sum = 0;
    for (uint32_t lane : lanes) sum += lane;
    return sum;
  }
};
#else
struct LaneCounts {
  uint32_t counts[WIDTH] = {};
  void addLarger(Vec a, Vec b) {
    float x[WIDTH];
    float y[WIDTH];
    ultramem::ULTRAMEM_ISA::store(x, a);
    ultramem::ULTRAMEM_ISA::store(y, b);
    for (int i = 0; i < WIDTH; i++) counts[i] += x[i] > y[i];
  }
  void store(uint32_t* p) const { __builtin_memcpy(p, counts, sizeof counts); }
};
#endif

// How many lanes of some vectors reach a limit.
class Reaching {
 public:
#if defined(ULTRAMEM_ISA_AVX2)
  void add(Vec v, Vec limit) { counts_.add(_mm256_cmp_ps(v, limit, _CMP_GE_OQ)); }
  uint32_t total() const { return counts_.total(); }

 private:
  LaneCounts counts_;
#else
  void add(Vec v, Vec limit) { total_ += bitCount(reaches(v, limit)); }
  uint32_t total() const { return total_; }

 private:
  uint32_t total_ = 0;
#endif
};

// Moves the elements of from[0 .. WIDTH) that the mask names to `to`, which lies at or before `from` or elsewhere. Behind them it writes
// up to `to + WIDTH` where `isRoom`, else nothing.
template <class Word>
ULTRAMEM_INLINE void moveKept(const Word* from, Word* to, Mask mask, bool isRoom) {
#if defined(ULTRAMEM_ISA_AVX512)
  (void)isRoom;
  const __m512i kept = _mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), _mm512_loadu_si512(from));
  // Storing the compressed lanes at once would take ten times as long on some machines.
  _mm512_mask_storeu_epi32(to, static_cast<__mmask16>((1u << bitCount(mask)) - 1), kept);
#elif defined(ULTRAMEM_ISA_AVX2)
  const __m256i kept = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), lanesOf(mask));
  if (isRoom) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), kept);
  else _mm256_maskstore_epi32(reinterpret_cast<int*>(to), firstLanes(bitCount(mask)), kept);
#else
  (void)isRoom;
  for (; mask != 0; mask &= mask - 1) *to++ = from[__builtin_ctz(mask)];
#endif
}

}  // namespace ultramem::ULTRAMEM_ISA
