#pragma once

// How a few columns of one row are added to their sums, for every stored dtype, with few registers (AVX2, NEON, SSE2, scalar).

#include "simd/pool-rows.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

#if defined(ULTRAMEM_ISA_AVX2)
constexpr size_t PARTS = 2;
#else
constexpr size_t PARTS = 4;
#endif
typedef double Part __attribute__((vector_size(8 * LANES / PARTS)));

// Fused or not has the same bits: products of two f32 are exact in f64.
ULTRAMEM_INLINE Part addProduct(Part sum, Part weight, Part factor) {
#if defined(ULTRAMEM_ISA_AVX2)
  return (Part)_mm256_fmadd_pd((__m256d)weight, (__m256d)factor, (__m256d)sum);
#elif defined(ULTRAMEM_ISA_NEON)
  return (Part)vfmaq_f64((float64x2_t)sum, (float64x2_t)weight, (float64x2_t)factor);
#else
  return sum + weight * factor;
#endif
}

typedef float F32x4 __attribute__((vector_size(16)));

// Four elements at any address, before scaling; and four as f64. In intrinsics, because compilers take vectors apart here.
ULTRAMEM_INLINE F32x4 fourOf(RowF32, const uint8_t* from) { return loadUnaligned<F32x4>(from); }
#if defined(ULTRAMEM_ISA_AVX2)
ULTRAMEM_INLINE __m128i wordsAt(const uint8_t* from) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)); }
ULTRAMEM_INLINE F32x4 fourOf(RowBf16, const uint8_t* from) {
  return (F32x4)_mm_slli_epi32(_mm_cvtepu16_epi32(wordsAt(from)), 16);
}
ULTRAMEM_INLINE F32x4 fourOf(RowF16, const uint8_t* from) { return (F32x4)_mm_cvtph_ps(wordsAt(from)); }
ULTRAMEM_INLINE F32x4 fourOf(RowInt8, const uint8_t* from) {
  return (F32x4)_mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(loadUnaligned<int32_t>(from))));
}
ULTRAMEM_INLINE void widen(F32x4 four, Part* into) { into[0] = (Part)_mm256_cvtps_pd((__m128)four); }
#elif defined(ULTRAMEM_ISA_NEON)
ULTRAMEM_INLINE uint16x4_t wordsAt(const uint8_t* from) { return loadUnaligned<uint16x4_t>(from); }
ULTRAMEM_INLINE F32x4 fourOf(RowBf16, const uint8_t* from) { return (F32x4)vshlq_n_u32(vmovl_u16(wordsAt(from)), 16); }
ULTRAMEM_INLINE F32x4 fourOf(RowF16, const uint8_t* from) {
  return (F32x4)vcvt_f32_f16(vreinterpret_f16_u16(wordsAt(from)));
}
ULTRAMEM_INLINE F32x4 fourOf(RowInt8, const uint8_t* from) {
  const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(loadUnaligned<int32_t>(from)));
  return (F32x4)vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
}
ULTRAMEM_INLINE void widen(F32x4 four, Part* into) {
  into[0] = (Part)vcvt_f64_f32(vget_low_f32((float32x4_t)four));
  into[1] = (Part)vcvt_high_f64_f32((float32x4_t)four);
}
#elif defined(__SSE2__)
ULTRAMEM_INLINE F32x4 fourOf(RowBf16, const uint8_t* from) {
  const __m128i words = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  return (F32x4)_mm_unpacklo_epi16(_mm_setzero_si128(), words);
}
ULTRAMEM_INLINE F32x4 fourOf(RowF16, const uint8_t* from) {
  return F32x4{RowF16::one(from), RowF16::one(from + 2), RowF16::one(from + 4), RowF16::one(from + 6)};
}
ULTRAMEM_INLINE F32x4 fourOf(RowInt8, const uint8_t* from) {
  const __m128i bytes = _mm_cvtsi32_si128(loadUnaligned<int32_t>(from));
  const __m128i words = _mm_unpacklo_epi8(_mm_setzero_si128(), bytes);
  return (F32x4)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(_mm_setzero_si128(), words), 24));
}
ULTRAMEM_INLINE void widen(F32x4 four, Part* into) {
  into[0] = (Part)_mm_cvtps_pd((__m128)four);
  into[1] = (Part)_mm_cvtps_pd(_mm_movehl_ps((__m128)four, (__m128)four));
}
#else
template <class Row>
ULTRAMEM_INLINE F32x4 fourOf(Row, const uint8_t* from) {
  return F32x4{Row::one(from), Row::one(from + Row::BYTES), Row::one(from + 2 * Row::BYTES), Row::one(from + 3 * Row::BYTES)};
}
ULTRAMEM_INLINE void widen(F32x4 four, Part* into) {
  for (size_t i = 0; i < 4; i++) into[i / 2][i % 2] = static_cast<double>(four[i]);
}
#endif

template <class Row>
ULTRAMEM_INLINE void wideFour(Row row, const uint8_t* from, Part* into) {
  widen(fourOf(row, from), into);
}
#if defined(ULTRAMEM_ISA_AVX2)
// A conversion of a register takes two cycles, so a byte, plus 128, becomes the last bits of 2^52, and the difference is exact.
ULTRAMEM_INLINE void wideFour(RowInt8, const uint8_t* from, Part* into) {
  const __m256i bytes = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(loadUnaligned<int32_t>(from)));
  const __m256i bits = _mm256_xor_si256(bytes, _mm256_set1_epi64x(0x4330000000000080));
  into[0] = (Part)_mm256_sub_pd(_mm256_castsi256_pd(bits), _mm256_set1_pd(0x1p52 + 128));
}
#endif

// Steps take COLUMNS of a row at once and have as many f64 sums, in SUMS vectors and any order until `write`. `add` adds weight times
// each element, `addScaled` weight times (element times scale, rounded to f32). Sums of a step that does not hold are wrong.

template <class Row>
struct One {
  static constexpr size_t COLUMNS = 1;
  static constexpr size_t SUMS = 1;
  typedef double Sum;

  ULTRAMEM_INLINE Sum spread(double weight) { return weight; }
  ULTRAMEM_INLINE void add(Sum* sum, Sum weight, const uint8_t* from) { *sum += weight * static_cast<double>(Row::one(from)); }
  ULTRAMEM_INLINE void addScaled(Sum* sum, Sum weight, const uint8_t* from, float scale) {
    *sum += weight * static_cast<double>(Row::one(from) * scale);
  }
  ULTRAMEM_INLINE void write(const double* sums, float* out) { *out = static_cast<float>(*sums); }
};

// Four elements at a time, in their order.
template <class Row, size_t Fours>
struct Plain {
  static constexpr size_t COLUMNS = 4 * Fours;
  static constexpr size_t SUMS = Fours * PARTS / 2;
  typedef Part Sum;

  // Compilers leave a difference to 0 out, as they may not do with a sum.
  ULTRAMEM_INLINE Sum spread(double weight) { return weight - Part{}; }
  ULTRAMEM_INLINE void add(Sum* sums, Sum weight, const uint8_t* from) {
    addFours(sums, weight, [=](size_t i, Part* factors) { wideFour(Row{}, from + 4 * i * Row::BYTES, factors); });
  }
  ULTRAMEM_INLINE void addScaled(Sum* sums, Sum weight, const uint8_t* from, float scale) {
    addFours(sums, weight, [=](size_t i, Part* factors) { widen(fourOf(Row{}, from + 4 * i * Row::BYTES) * scale, factors); });
  }
  ULTRAMEM_INLINE void write(const double* sums, float* out) {
    for (size_t i = 0; i < COLUMNS; i++) out[i] = static_cast<float>(sums[i]);
  }
  bool holds() const { return true; }

 private:
  template <class Factors>
  ULTRAMEM_INLINE void addFours(Sum* sums, Sum weight, Factors factorsOf) {
#pragma GCC unroll 4
    for (size_t i = 0; i < Fours; i++, sums += PARTS / 2) {
      Part factors[PARTS / 2];
      factorsOf(i, factors);
#pragma GCC unroll 2
      for (size_t p = 0; p < PARTS / 2; p++) sums[p] = addProduct(sums[p], weight, factors[p]);
    }
  }
};

// What most columns are added with.
template <class Row>
struct Long : Plain<Row, 4> {};

#if defined(ULTRAMEM_ISA_AVX2)
// Lane i of sum j is column 4 i + j.
ULTRAMEM_INLINE void writeTransposed(const double* sums, float* out) {
  __m128 row[4];
  for (size_t j = 0; j < 4; j++) row[j] = _mm256_cvtpd_ps(_mm256_loadu_pd(sums + 4 * j));
  _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
  for (size_t i = 0; i < 4; i++) _mm_storeu_ps(out + 4 * i, row[i]);
}

// A conversion of a register to f64 takes two cycles, so f64 are put together from the bits: a bf16's sign, exponent and fraction are
// moved to their places in a f64, which is then off by 2^896. The weight makes up for it, exactly. Infinities and NaN would become
// numbers: `holds` says whether there were none.
template <>
struct Long<RowBf16> {
  static constexpr size_t COLUMNS = 16;
  static constexpr size_t SUMS = 4;
  typedef __m256d Sum;

  ULTRAMEM_INLINE Sum spread(double weight) { return _mm256_set1_pd(weight * 0x1p896); }
  __attribute__((always_inline)) void add(Sum* sums, Sum weight, const uint8_t* from) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    largest_ = _mm256_max_epu16(largest_, _mm256_slli_epi16(words, 1));
    const __m256i odd = _mm256_srai_epi32(words, 3);
    const __m256i even = _mm256_srai_epi32(_mm256_slli_epi32(words, 16), 3);
    sums[0] = _mm256_fmadd_pd(weight, upper(_mm256_slli_epi64(even, 32)), sums[0]);
    sums[1] = _mm256_fmadd_pd(weight, upper(_mm256_slli_epi64(odd, 32)), sums[1]);
    sums[2] = _mm256_fmadd_pd(weight, upper(even), sums[2]);
    sums[3] = _mm256_fmadd_pd(weight, upper(odd), sums[3]);
  }
  ULTRAMEM_INLINE void write(const double* sums, float* out) { writeTransposed(sums, out); }
  bool holds() const {
    const __m256i isSpecial = _mm256_cmpeq_epi16(_mm256_adds_epu16(largest_, _mm256_set1_epi16(0xff)), _mm256_set1_epi16(-1));
    return _mm256_testz_si256(isSpecial, isSpecial);
  }

 private:
  // Sign, exponent and fraction of the upper half of each 64 bits; between sign and exponent are three copies of the sign.
  ULTRAMEM_INLINE Sum upper(__m256i halves) {
    return _mm256_castsi256_pd(_mm256_and_si256(halves, _mm256_set1_epi64x(static_cast<int64_t>(0x8fffe00000000000))));
  }

  __m256i largest_ = _mm256_setzero_si256();
};
#endif

}  // namespace
}  // namespace ultramem::ULTRAMEM_ISA
