#pragma once

// Eight columns of a table's row as f64, for every stored dtype, in the instruction set that the including file is compiled for.
// Written with the vectors of GCC and Clang, which every set has; intrinsics only where compilers do badly without them.

#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(ULTRAMEM_ISA_NEON)
#include <arm_neon.h>
#endif

#define ULTRAMEM_INLINE static inline __attribute__((always_inline))
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors wider than the machine's are passed between inlined functions only

namespace ultramem::ULTRAMEM_ISA {

typedef double F64x8 __attribute__((vector_size(64)));
typedef float F32x8 __attribute__((vector_size(32)));
typedef uint32_t U32x8 __attribute__((vector_size(32)));
typedef int32_t I32x8 __attribute__((vector_size(32)));
typedef uint16_t U16x8 __attribute__((vector_size(16)));
typedef int8_t I8x8 __attribute__((vector_size(8)));

constexpr size_t LANES = 8;
constexpr size_t CACHE_LINE = 64;
constexpr size_t SCALE_BLOCK = 64;

template <class Vector, class Element>
ULTRAMEM_INLINE Vector loadUnaligned(const Element* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

ULTRAMEM_INLINE F64x8 splat8(double x) { return F64x8{x, x, x, x, x, x, x, x}; }
// The sum of eight lanes, in the order of `dot` in libs/kernels/src/reference/multiply-rows.ts.
ULTRAMEM_INLINE double sumOfLanes(F64x8 s) { return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])); }

// sum + a b. Both are exact f32, or products that f64 holds exactly, so a fused sum has the same bits.
ULTRAMEM_INLINE F64x8 addProduct(F64x8 sum, F64x8 a, F64x8 b) {
#if defined(ULTRAMEM_ISA_AVX512)
  return (F64x8)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)sum);
#elif defined(ULTRAMEM_ISA_AVX2)
#define ULTRAMEM_HALF(v, i) (__m256d)__builtin_shufflevector(v, v, i, i + 1, i + 2, i + 3)
  const __m256d low = _mm256_fmadd_pd(ULTRAMEM_HALF(a, 0), ULTRAMEM_HALF(b, 0), ULTRAMEM_HALF(sum, 0));
  const __m256d high = _mm256_fmadd_pd(ULTRAMEM_HALF(a, 4), ULTRAMEM_HALF(b, 4), ULTRAMEM_HALF(sum, 4));
#undef ULTRAMEM_HALF
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return sum + a * b;
#endif
}

ULTRAMEM_INLINE float floatOfWord(uint32_t word) {
  float value;
  __builtin_memcpy(&value, &word, sizeof value);
  return value;
}
ULTRAMEM_INLINE float widenBf16(uint16_t bits) { return floatOfWord(static_cast<uint32_t>(bits) << 16); }
ULTRAMEM_INLINE float widenF16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) return floatOfWord(sign | 0x7f800000u | (magnitude & 0x3ff) << 13);
  // A f16's fraction and exponent in a f32 are off by 2^112, which a product mends exactly, for subnormals too.
  const float value = floatOfWord(magnitude << 13) * 0x1p112f;
  return sign ? -value : value;
}
ULTRAMEM_INLINE float scaleAt(const uint8_t* scales, size_t block) {
  uint16_t bits;
  __builtin_memcpy(&bits, scales + 2 * block, sizeof bits);
  return widenBf16(bits);
}
// Whether products of int8 and this scale are f32. A bf16 has 8 bits, so only one that is denormal or overflows is rounded.
// In integers, which takes fewer instructions and no jump.
ULTRAMEM_INLINE bool isExact(float scale) {
  uint32_t bits;
  __builtin_memcpy(&bits, &scale, sizeof bits);
  return (bits == 0) | (bits - 0x00800000 <= 0x7b800000 - 0x00800000);
}

// One element type each: `load` of eight elements at any address, `one` of a single one, both before scaling.
struct RowF32 {
  static constexpr size_t BYTES = 4;
  static constexpr bool SCALED = false;
  ULTRAMEM_INLINE F32x8 load(const uint8_t* from) { return loadUnaligned<F32x8>(from); }
  ULTRAMEM_INLINE float one(const uint8_t* from) {
    float value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
  }
};

ULTRAMEM_INLINE uint16_t halfAt(const uint8_t* from) {
  uint16_t bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return bits;
}

struct RowBf16 {
  static constexpr size_t BYTES = 2;
  static constexpr bool SCALED = false;
  ULTRAMEM_INLINE F32x8 load(const uint8_t* from) {
#if defined(ULTRAMEM_ISA_AVX512) || defined(ULTRAMEM_ISA_AVX2)
    // Each word into the upper half of 32 bits, in one step less than widening and shifting take.
    const __m256i upper = _mm256_set_epi8(15, 14, -1, -1, 13, 12, -1, -1, 11, 10, -1, -1, 9, 8, -1, -1,  //
                                          7, 6, -1, -1, 5, 4, -1, -1, 3, 2, -1, -1, 1, 0, -1, -1);
    const __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return (F32x8)_mm256_shuffle_epi8(twice, upper);
#else
    return (F32x8)(__builtin_convertvector(loadUnaligned<U16x8>(from), U32x8) << 16);
#endif
  }
  ULTRAMEM_INLINE float one(const uint8_t* from) { return widenBf16(halfAt(from)); }
};

struct RowF16 {
  static constexpr size_t BYTES = 2;
  static constexpr bool SCALED = false;
  ULTRAMEM_INLINE F32x8 load(const uint8_t* from) {
#if defined(ULTRAMEM_ISA_AVX512) || defined(ULTRAMEM_ISA_AVX2)
    return (F32x8)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#else
    F32x8 values;
    for (size_t i = 0; i < LANES; i++) values[i] = widenF16(halfAt(from + 2 * i));
    return values;
#endif
  }
  ULTRAMEM_INLINE float one(const uint8_t* from) { return widenF16(halfAt(from)); }
};

struct RowInt8 {
  static constexpr size_t BYTES = 1;
  static constexpr bool SCALED = true;
  ULTRAMEM_INLINE I32x8 whole(const uint8_t* from) {
#if defined(ULTRAMEM_ISA_AVX512) || defined(ULTRAMEM_ISA_AVX2)
    return (I32x8)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
#else
    return __builtin_convertvector(loadUnaligned<I8x8>(from), I32x8);
#endif
  }
  ULTRAMEM_INLINE F32x8 load(const uint8_t* from) { return __builtin_convertvector(whole(from), F32x8); }
  ULTRAMEM_INLINE F64x8 wide(const uint8_t* from) {
#if defined(ULTRAMEM_ISA_AVX512)
    // From 64 bits, because a conversion from 32 takes two steps.
    return (F64x8)_mm512_cvtepi64_pd(_mm512_cvtepi8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
    return __builtin_convertvector(whole(from), F64x8);
#endif
  }
  ULTRAMEM_INLINE float one(const uint8_t* from) { return static_cast<float>(static_cast<int8_t>(*from)); }
};

ULTRAMEM_INLINE F64x8 widen(F32x8 values) {
#if defined(ULTRAMEM_ISA_AVX512)
  return (F64x8)_mm512_maskz_cvtps_pd(0xff, (__m256)values);  // g++ 12 makes two halves of a conversion of vectors
#else
  return __builtin_convertvector(values, F64x8);
#endif
}
ULTRAMEM_INLINE F64x8 wide(const float* from) { return widen(loadUnaligned<F32x8>(from)); }
ULTRAMEM_INLINE F32x8 narrow(F64x8 values) {
#if defined(ULTRAMEM_ISA_AVX512)
  return (F32x8)_mm512_maskz_cvtpd_ps(0xff, (__m512d)values);
#else
  return __builtin_convertvector(values, F32x8);
#endif
}

}  // namespace ultramem::ULTRAMEM_ISA
