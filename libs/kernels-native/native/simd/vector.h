#pragma once

// One vector of f32 in the instruction set that the including file of simd/ is compiled for: `Vec` with WIDTH lanes. Everything lies
// in the namespace of that set.

#include <stddef.h>
#include <stdint.h>

#if defined(ULTRAMEM_ISA_AVX512) || defined(ULTRAMEM_ISA_AVX2)
#include <immintrin.h>
#elif defined(ULTRAMEM_ISA_NEON)
#include <arm_neon.h>
#endif

#define ULTRAMEM_INLINE static inline __attribute__((always_inline))

namespace ultramem::ULTRAMEM_ISA {

#if defined(ULTRAMEM_ISA_AVX512)

using Vec = __m512;
using Words = __m512i;
constexpr int WIDTH = 16;

ULTRAMEM_INLINE Vec zero() { return _mm512_setzero_ps(); }
ULTRAMEM_INLINE Vec splat(float x) { return _mm512_set1_ps(x); }
ULTRAMEM_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
ULTRAMEM_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
ULTRAMEM_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
ULTRAMEM_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
ULTRAMEM_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
ULTRAMEM_INLINE Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
ULTRAMEM_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
ULTRAMEM_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
// a b + c
ULTRAMEM_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
// sum += a b, with `sum` held in a register: from intrinsics alone g++ 12 spills tiles that fit, which halves their speed.
ULTRAMEM_INLINE void accumulate(Vec& sum, Vec a, Vec b) { asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }
// Pairs of bf16, see simd/matmul.h: an instruction that not every machine with AVX-512 has.
ULTRAMEM_INLINE void accumulatePairs(Vec& sum, Vec a, Vec b) { asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }
ULTRAMEM_INLINE Vec nearest(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// a 2^n for whole n; rounds once where the result is denormal
ULTRAMEM_INLINE Vec scale(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }
ULTRAMEM_INLINE Vec abs(Vec a) { return _mm512_abs_ps(a); }
// where x < limit: a, else b (also where x is NaN)
ULTRAMEM_INLINE Vec whereLess(Vec x, Vec limit, Vec a, Vec b) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, limit, _CMP_LT_OQ), b, a);
}
// the magnitude of a with the sign of s
ULTRAMEM_INLINE Vec withSign(Vec a, Vec s) {
  const __m512i sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(a), _mm512_castps_si512(s), sign, 0xe4));
}
ULTRAMEM_INLINE Words loadWords(const uint32_t* p) { return _mm512_loadu_si512(p); }
ULTRAMEM_INLINE Vec highHalves(Words w) {
  return _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
ULTRAMEM_INLINE Vec lowHalves(Words w) { return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)); }
ULTRAMEM_INLINE Vec loadF16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// The first `count` lanes, 0 <= count <= WIDTH; loads leave 0 in the others.
ULTRAMEM_INLINE __mmask16 firstLanes(size_t count) { return static_cast<__mmask16>((1u << count) - 1); }
ULTRAMEM_INLINE Vec loadFirst(const float* p, size_t count) { return _mm512_maskz_loadu_ps(firstLanes(count), p); }
ULTRAMEM_INLINE void storeFirst(float* p, Vec v, size_t count) { _mm512_mask_storeu_ps(p, firstLanes(count), v); }

#elif defined(ULTRAMEM_ISA_AVX2)

using Vec = __m256;
using Words = __m256i;
constexpr int WIDTH = 8;

ULTRAMEM_INLINE Vec zero() { return _mm256_setzero_ps(); }
ULTRAMEM_INLINE Vec splat(float x) { return _mm256_set1_ps(x); }
ULTRAMEM_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
ULTRAMEM_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
ULTRAMEM_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
ULTRAMEM_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
ULTRAMEM_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
ULTRAMEM_INLINE Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
ULTRAMEM_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
ULTRAMEM_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
ULTRAMEM_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
ULTRAMEM_INLINE void accumulate(Vec& sum, Vec a, Vec b) { asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b)); }
ULTRAMEM_INLINE Vec nearest(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
ULTRAMEM_INLINE Vec abs(Vec a) { return _mm256_andnot_ps(splat(-0.0f), a); }
ULTRAMEM_INLINE Vec whereLess(Vec x, Vec limit, Vec a, Vec b) {
  return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, limit, _CMP_LT_OQ));
}
ULTRAMEM_INLINE Vec withSign(Vec a, Vec s) {
  const __m256 sign = splat(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, s));
}
// 2^n for whole -126 <= n <= 127
ULTRAMEM_INLINE Vec powerOfTwo(Vec n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
ULTRAMEM_INLINE Words loadWords(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
ULTRAMEM_INLINE Vec highHalves(Words w) {
  return _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}
ULTRAMEM_INLINE Vec lowHalves(Words w) { return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)); }
ULTRAMEM_INLINE Vec loadF16(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }

ULTRAMEM_INLINE __m256i firstLanes(size_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
ULTRAMEM_INLINE Vec loadFirst(const float* p, size_t count) { return _mm256_maskload_ps(p, firstLanes(count)); }
ULTRAMEM_INLINE void storeFirst(float* p, Vec v, size_t count) { _mm256_maskstore_ps(p, firstLanes(count), v); }

#elif defined(ULTRAMEM_ISA_NEON)

using Vec = float32x4_t;
using Words = uint32x4_t;
constexpr int WIDTH = 4;

ULTRAMEM_INLINE Vec zero() { return vdupq_n_f32(0); }
ULTRAMEM_INLINE Vec splat(float x) { return vdupq_n_f32(x); }
ULTRAMEM_INLINE Vec load(const float* p) { return vld1q_f32(p); }
ULTRAMEM_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }
ULTRAMEM_INLINE Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
ULTRAMEM_INLINE Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
ULTRAMEM_INLINE Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
ULTRAMEM_INLINE Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
// As on x86: b where either is NaN.
ULTRAMEM_INLINE Vec max(Vec a, Vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
ULTRAMEM_INLINE Vec min(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
ULTRAMEM_INLINE Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
ULTRAMEM_INLINE void accumulate(Vec& sum, Vec a, Vec b) { sum = vfmaq_f32(sum, a, b); }
ULTRAMEM_INLINE Vec nearest(Vec a) { return vrndnq_f32(a); }
ULTRAMEM_INLINE Vec abs(Vec a) { return vabsq_f32(a); }
ULTRAMEM_INLINE Vec whereLess(Vec x, Vec limit, Vec a, Vec b) { return vbslq_f32(vcltq_f32(x, limit), a, b); }
ULTRAMEM_INLINE Vec withSign(Vec a, Vec s) { return vbslq_f32(vdupq_n_u32(0x80000000u), s, a); }
ULTRAMEM_INLINE Vec powerOfTwo(Vec n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
}
ULTRAMEM_INLINE Words loadWords(const uint32_t* p) { return vld1q_u32(p); }
ULTRAMEM_INLINE Vec highHalves(Words w) { return vreinterpretq_f32_u32(vandq_u32(w, vdupq_n_u32(0xffff0000u))); }
ULTRAMEM_INLINE Vec lowHalves(Words w) { return vreinterpretq_f32_u32(vshlq_n_u32(w, 16)); }
ULTRAMEM_INLINE Vec loadF16(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

#else

// Four lanes in the compiler's own vectors: what every machine has. Without FMA a product is rounded before it is added.
typedef float Vec __attribute__((vector_size(16)));
typedef uint32_t Words __attribute__((vector_size(16)));
typedef int32_t Whole __attribute__((vector_size(16)));
constexpr int WIDTH = 4;

ULTRAMEM_INLINE Vec zero() { return Vec{}; }
ULTRAMEM_INLINE Vec splat(float x) { return Vec{x, x, x, x}; }
ULTRAMEM_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
ULTRAMEM_INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
ULTRAMEM_INLINE Vec add(Vec a, Vec b) { return a + b; }
ULTRAMEM_INLINE Vec sub(Vec a, Vec b) { return a - b; }
ULTRAMEM_INLINE Vec mul(Vec a, Vec b) { return a * b; }
ULTRAMEM_INLINE Vec div(Vec a, Vec b) { return a / b; }
ULTRAMEM_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
ULTRAMEM_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }
ULTRAMEM_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
ULTRAMEM_INLINE void accumulate(Vec& sum, Vec a, Vec b) { sum += a * b; }
// For |a| < 2^22: adding 1.5 2^23 pushes the fraction out.
ULTRAMEM_INLINE Vec nearest(Vec a) {
  volatile float magic = 12582912.0f;  // or the compiler would take both away
  const Vec big = splat(magic);
  return (a + big) - big;
}
ULTRAMEM_INLINE Vec abs(Vec a) { return (Vec)((Words)a & 0x7fffffffu); }
ULTRAMEM_INLINE Vec whereLess(Vec x, Vec limit, Vec a, Vec b) { return x < limit ? a : b; }
ULTRAMEM_INLINE Vec withSign(Vec a, Vec s) { return (Vec)(((Words)a & 0x7fffffffu) | ((Words)s & 0x80000000u)); }
ULTRAMEM_INLINE Vec powerOfTwo(Vec n) { return (Vec)((__builtin_convertvector(n, Whole) + 127) << 23); }
ULTRAMEM_INLINE Words loadWords(const uint32_t* p) {
  Words v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
ULTRAMEM_INLINE Vec highHalves(Words w) { return (Vec)(w & 0xffff0000u); }
ULTRAMEM_INLINE Vec lowHalves(Words w) { return (Vec)(w << 16); }
ULTRAMEM_INLINE float widenF16(uint16_t half) {
  const uint32_t fraction = half & 0x3ff;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  uint32_t word = sign | ((exponent + 112) << 23) | (fraction << 13);
  if (exponent == 0x1f) word = sign | 0x7f800000u | (fraction << 13);
  float value;
  __builtin_memcpy(&value, &word, 4);
  if (exponent != 0) return value;
  const float small = static_cast<float>(fraction) * 0x1p-24f;
  return sign ? -small : small;
}
ULTRAMEM_INLINE Vec loadF16(const uint16_t* p) { return Vec{widenF16(p[0]), widenF16(p[1]), widenF16(p[2]), widenF16(p[3])}; }

#endif

#if !defined(ULTRAMEM_ISA_AVX512)
// a 2^n for whole -252 <= n <= 254. In two steps, because 2^n itself may be out of range.
ULTRAMEM_INLINE Vec scale(Vec a, Vec n) {
  const Vec half = nearest(mul(n, splat(0.5f)));
  return mul(mul(a, powerOfTwo(half)), powerOfTwo(sub(n, half)));
}
#endif

#if !defined(ULTRAMEM_ISA_AVX512) && !defined(ULTRAMEM_ISA_AVX2)
ULTRAMEM_INLINE Vec loadFirst(const float* p, size_t count) {
  float lanes[WIDTH] = {};
  for (size_t i = 0; i < count; i++) lanes[i] = p[i];
  return load(lanes);
}
ULTRAMEM_INLINE void storeFirst(float* p, Vec v, size_t count) {
  float lanes[WIDTH];
  store(lanes, v);
  for (size_t i = 0; i < count; i++) p[i] = lanes[i];
}
#endif

}  // namespace ultramem::ULTRAMEM_ISA
