#include "simd/pool.h"

#include "simd/pool-rows.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr size_t CACHE_LINE = 64;
constexpr size_t SCALE_BLOCK = 64;
constexpr size_t SCALE_EIGHTS = SCALE_BLOCK / LANES;

// Eight columns in vectors of the machine. Sums of up to EIGHTS_MAX of them stay in registers while all rows of a run are added.
#if defined(ULTRAMEM_ISA_AVX512)
constexpr size_t PARTS = 1;
constexpr size_t EIGHTS_MAX = 16;
#elif defined(ULTRAMEM_ISA_AVX2)
constexpr size_t PARTS = 2;
constexpr size_t EIGHTS_MAX = 6;
#elif defined(ULTRAMEM_ISA_NEON)
constexpr size_t PARTS = 4;
constexpr size_t EIGHTS_MAX = 6;
#else
constexpr size_t PARTS = 4;
constexpr size_t EIGHTS_MAX = 3;
#endif
typedef double Part __attribute__((vector_size(8 * LANES / PARTS)));
struct Eight {
  Part part[PARTS];
};

// Compilers leave a difference to 0 out, as they may not do with a sum.
ULTRAMEM_INLINE Part splat(double x) { return x - Part{}; }

ULTRAMEM_INLINE void addProducts(Eight& sums, Part weight, const Eight& factors) {
  for (size_t p = 0; p < PARTS; p++) {
    // Fused or not has the same bits: products of two f32 are exact in f64.
#if defined(ULTRAMEM_ISA_AVX512)
    sums.part[p] = addProduct(sums.part[p], weight, factors.part[p]);
#elif defined(ULTRAMEM_ISA_AVX2)
    sums.part[p] = (Part)_mm256_fmadd_pd((__m256d)weight, (__m256d)factors.part[p], (__m256d)sums.part[p]);
#elif defined(ULTRAMEM_ISA_NEON)
    sums.part[p] = (Part)vfmaq_f64((float64x2_t)sums.part[p], (float64x2_t)weight, (float64x2_t)factors.part[p]);
#else
    sums.part[p] = sums.part[p] + weight * factors.part[p];
#endif
  }
}

#if !defined(ULTRAMEM_ISA_AVX512)
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
ULTRAMEM_INLINE void widenFour(F32x4 four, Part* into) { into[0] = (Part)_mm256_cvtps_pd((__m128)four); }
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
ULTRAMEM_INLINE void widenFour(F32x4 four, Part* into) {
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
ULTRAMEM_INLINE void widenFour(F32x4 four, Part* into) {
  into[0] = (Part)_mm_cvtps_pd((__m128)four);
  into[1] = (Part)_mm_cvtps_pd(_mm_movehl_ps((__m128)four, (__m128)four));
}
#else
template <class Row>
ULTRAMEM_INLINE F32x4 fourOf(Row, const uint8_t* from) {
  return F32x4{Row::one(from), Row::one(from + Row::BYTES), Row::one(from + 2 * Row::BYTES), Row::one(from + 3 * Row::BYTES)};
}
ULTRAMEM_INLINE void widenFour(F32x4 four, Part* into) {
  for (size_t i = 0; i < 4; i++) into[i / 2][i % 2] = static_cast<double>(four[i]);
}
#endif
#endif

// Elements as they are.
template <class Row>
struct Plain {
  using Type = Row;
  static constexpr bool SCALED = false;
  ULTRAMEM_INLINE Eight eight(const uint8_t* from) {
#if defined(ULTRAMEM_ISA_AVX512)
    return {{widen(Row::load(from))}};
#else
    Eight values;
    widenFour(fourOf(Row{}, from), values.part);
    widenFour(fourOf(Row{}, from + 4 * Row::BYTES), values.part + PARTS / 2);
    return values;
#endif
  }
  ULTRAMEM_INLINE double one(const uint8_t* from, float) { return static_cast<double>(Row::one(from)); }
};
// int8 times a scale, rounded to f32: right for every scale. Where the product is exact, `whole` has the same bits with less work,
// because the scale can go into the weight, a product of 32 bits.
struct Scaled {
  using Type = RowInt8;
  static constexpr bool SCALED = true;
  ULTRAMEM_INLINE Eight eight(const uint8_t* from, float scale) {
#if defined(ULTRAMEM_ISA_AVX512)
    return {{widen(RowInt8::load(from) * (F32x8{} + scale))}};
#else
    Eight values;
    widenFour(fourOf(RowInt8{}, from) * scale, values.part);
    widenFour(fourOf(RowInt8{}, from + 4) * scale, values.part + PARTS / 2);
    return values;
#endif
  }
  ULTRAMEM_INLINE Eight whole(const uint8_t* from) {
#if defined(ULTRAMEM_ISA_AVX512)
    return {{RowInt8::wide(from)}};
#else
    return Plain<RowInt8>::eight(from);
#endif
  }
  ULTRAMEM_INLINE double one(const uint8_t* from, float scale) { return static_cast<double>(RowInt8::one(from) * scale); }
};
// A bf16 has 8 bits, so only a product that is denormal or overflows is rounded.
ULTRAMEM_INLINE bool isExact(float scale) { return scale == 0 || (scale >= 0x1p-126f && scale <= 0x1p120f); }

// Columns of 8 * Eights at `offset` bytes of each row; int8 has the scale of each SCALE_EIGHTS of them from `scaleOffset` on.
template <class Element, size_t Eights>
void sumEights(const RowRun& run, size_t offset, size_t scaleOffset, float* out) {
  constexpr size_t BYTES = Element::Type::BYTES;
  constexpr size_t BLOCKS = Element::SCALED ? (Eights + SCALE_EIGHTS - 1) / SCALE_EIGHTS : 1;
  Eight sums[Eights] = {};
  const uint8_t* const* row = run.row;
  // Rows of foreign files begin anywhere on a line, and these columns then end on one line more.
  constexpr size_t SPAN = Eights * LANES * BYTES;
  const size_t last = (reinterpret_cast<uintptr_t>(row[0]) + offset + SPAN) % CACHE_LINE == 0 ? 0 : SPAN - 1;
  for (size_t i = 0; i < run.count; i++) {
    const uint8_t* at = row[i] + offset;
    const uint8_t* soon = row[i + ROWS_SOON] + offset;
    const uint8_t* later = row[i + run.ahead] + offset;
    // One register for each row, and constants beside it: compilers else keep a register for every constant plus `offset`.
    __asm__("" : "+r"(at), "+r"(soon), "+r"(later));
    Part weight[BLOCKS];
    float scale[BLOCKS];
    bool exact = true;
    for (size_t b = 0; b < BLOCKS; b++) {
      weight[b] = splat(run.weight[i]);
      if constexpr (Element::SCALED) {
        scale[b] = scaleAt(row[i] + scaleOffset, b);
        exact = exact & isExact(scale[b]);
      }
    }
    if constexpr (Element::SCALED) {
      __builtin_prefetch(row[i + run.ahead] + scaleOffset, 0, 2);
      __builtin_prefetch(row[i + ROWS_SOON] + scaleOffset);
      if (exact)
        for (size_t b = 0; b < BLOCKS; b++) weight[b] = splat(run.weight[i] * static_cast<double>(scale[b]));
    }
    __builtin_prefetch(later + last, 0, 2);
    __builtin_prefetch(soon + last);
#pragma GCC unroll 16
    for (size_t e = 0; e < Eights; e++) {
      const size_t byte = e * LANES * BYTES;
      const size_t b = e / SCALE_EIGHTS % BLOCKS;
      if (byte % CACHE_LINE == 0) {
        __builtin_prefetch(later + byte, 0, 2);
        __builtin_prefetch(soon + byte);
      }
      if constexpr (Element::SCALED)
        addProducts(sums[e], weight[b], exact ? Element::whole(at + byte) : Element::eight(at + byte, scale[b]));
      else
        addProducts(sums[e], weight[b], Element::eight(at + byte));
    }
  }
  for (size_t e = 0; e < Eights; e++)
    for (size_t p = 0; p < PARTS; p++)
      for (size_t i = 0; i < LANES / PARTS; i++) *out++ = static_cast<float>(sums[e].part[p][i]);
}

// sumEights for a number of eights, 1 .. Eights, that only the caller knows.
template <class Element, size_t Eights = EIGHTS_MAX>
ULTRAMEM_INLINE void sumSomeEights(size_t eights, const RowRun& run, size_t offset, size_t scaleOffset, float* out) {
  if constexpr (Eights == 1)
    sumEights<Element, 1>(run, offset, scaleOffset, out);
  else if (eights == Eights)
    sumEights<Element, Eights>(run, offset, scaleOffset, out);
  else
    sumSomeEights<Element, Eights - 1>(eights, run, offset, scaleOffset, out);
}

// Columns as far as they have the same weights, in passes over the rows that are as even as possible.
template <class Element>
void sumColumns(const RowRun& run, size_t offset, size_t scaleOffset, size_t count, float* out) {
  constexpr size_t BYTES = Element::Type::BYTES;
  size_t done = 0;
  for (size_t left = count / LANES; left > 0;) {
    const size_t passes = (left + EIGHTS_MAX - 1) / EIGHTS_MAX;
    const size_t eights = (left + passes - 1) / passes;
    sumSomeEights<Element>(eights, run, offset + done * BYTES, scaleOffset, out + done);
    left -= eights;
    done += eights * LANES;
  }
  for (; done < count; done++) {
    double sum = 0;
    for (size_t i = 0; i < run.count; i++) {
      const float scale = Element::SCALED ? scaleAt(run.row[i] + scaleOffset, 0) : 1;
      sum += run.weight[i] * Element::one(run.row[i] + offset + done * BYTES, scale);
    }
    out[done] = static_cast<float>(sum);
  }
}

template <class Row>
void sumRows(const RowRun& run, size_t first, size_t count, float* out) {
  sumColumns<Plain<Row>>(run, first * Row::BYTES, 0, count, out);
}

void sumScaledRows(const RowRun& run, size_t first, size_t count, float* out) {
  for (size_t done = 0; done < count;) {
    const size_t place = run.scalePhase + first + done;
    // Two blocks at a time where registers hold their sums.
    const bool two = EIGHTS_MAX >= 2 * SCALE_EIGHTS && place % SCALE_BLOCK == 0 && count - done >= 2 * SCALE_BLOCK;
    const size_t left = two ? 2 * SCALE_BLOCK : SCALE_BLOCK - place % SCALE_BLOCK;
    const size_t taken = left < count - done ? left : count - done;
    sumColumns<Scaled>(run, first + done, run.scaleOffset + place / SCALE_BLOCK * 2, taken, out + done);
    done += taken;
  }
}

}  // namespace

const PoolTable poolTable{sumRows<RowF32>, sumRows<RowBf16>, sumRows<RowF16>, sumScaledRows};

}  // namespace ultramem::ULTRAMEM_ISA
