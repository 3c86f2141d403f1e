#include "simd/pack.h"

#include "simd/vector.h"

// Vectors of GCC and Clang beside `Vec`, of as many lanes.
namespace ultramem::ULTRAMEM_ISA {
namespace {

typedef int32_t Whole32 __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t Bits __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t Halves __attribute__((vector_size(2 * WIDTH)));
typedef int8_t Bytes __attribute__((vector_size(WIDTH)));

constexpr size_t BLOCK = 64;
constexpr size_t STEPS = BLOCK / WIDTH;
constexpr int32_t INFINITE = 0x7f800000;

template <class To, class From>
ULTRAMEM_INLINE To bitsOf(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
template <class T>
ULTRAMEM_INLINE T loadAs(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

// WIDTH int8 in the memory as whole numbers, and back. g++ 12 goes through memory or many halves for the compilers' own conversions.
ULTRAMEM_INLINE Whole32 loadBytes(const uint8_t* from) {
#if defined(ULTRAMEM_ISA_AVX512)
  return (Whole32)_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(ULTRAMEM_ISA_AVX2)
  return (Whole32)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
#else
  return __builtin_convertvector(loadAs<Bytes>(from), Whole32);
#endif
}
ULTRAMEM_INLINE void storeBytes(uint8_t* into, Whole32 whole) {
#if defined(ULTRAMEM_ISA_AVX512)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(into), _mm512_cvtepi32_epi8((__m512i)whole));
#elif defined(ULTRAMEM_ISA_AVX2)
  const __m256i lowest = _mm256_set1_epi32(0x0c080400);  // the lowest byte of each number of a half, in its first four
  const __m256i halves = _mm256_shuffle_epi8((__m256i)whole, lowest);
  const __m128i bytes = _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(into), bytes);
#else
  const Bytes bytes = __builtin_convertvector(whole, Bytes);
  __builtin_memcpy(into, &bytes, sizeof bytes);
#endif
}

ULTRAMEM_INLINE uint16_t roundWord(uint32_t word) {
  if ((word & 0x7fffffffu) > static_cast<uint32_t>(INFINITE)) return static_cast<uint16_t>(word >> 16 | 0x40);
  return static_cast<uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
}
ULTRAMEM_INLINE float widenHalf(uint16_t half) { return bitsOf<float>(static_cast<uint32_t>(half) << 16); }

void toBf16(const float* values, size_t count, uint8_t* bytes) {
  size_t at = 0;
  for (; at + WIDTH <= count; at += WIDTH) {
    const Bits word = loadAs<Bits>(values + at);
    const Bits rounded = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
    // Quiet, so that the fraction is not 0.
    const Bits notANumber = word >> 16 | 0x40u;
    const Bits isNaN = (Bits)((Whole32)(word & 0x7fffffffu) > INFINITE);
    const Halves halves = __builtin_convertvector((notANumber & isNaN) | (rounded & ~isNaN), Halves);
    __builtin_memcpy(bytes + 2 * at, &halves, sizeof halves);
  }
  for (; at < count; at++) {
    const uint16_t half = roundWord(loadAs<uint32_t>(values + at));
    __builtin_memcpy(bytes + 2 * at, &half, sizeof half);
  }
}

void ofBf16(const uint8_t* bytes, size_t count, float* values) {
  size_t at = 0;
  for (; at + WIDTH <= count; at += WIDTH) {
    const Bits word = __builtin_convertvector(loadAs<Halves>(bytes + 2 * at), Bits) << 16;
    __builtin_memcpy(values + at, &word, sizeof word);
  }
  for (; at < count; at++) values[at] = widenHalf(loadAs<uint16_t>(bytes + 2 * at));
}

// The least bf16 of which 127 reach `largest`, and 2^-126 at least: a scale times an int8 is then exact.
ULTRAMEM_INLINE uint16_t scaleOf(float largest) {
  if (largest == 0) return 0;
  const float quotient = largest / 127;
  const uint16_t nearest = roundWord(bitsOf<uint32_t>(quotient < 0x1p-126f ? 0x1p-126f : quotient));
  return widenHalf(nearest) * 127.0 < largest ? nearest + 1 : nearest;
}

ULTRAMEM_INLINE float largestOf(const float* block) {
  Whole32 most{};
  for (size_t i = 0; i < STEPS; i++) {
    const Whole32 magnitude = loadAs<Whole32>(block + i * WIDTH) & 0x7fffffff;
    most = magnitude > most ? magnitude : most;
  }
  int32_t word = 0;
  for (int i = 0; i < WIDTH; i++) word = most[i] > word ? most[i] : word;
  return bitsOf<float>(word);
}

// 64 numbers, to the nearest multiple of the scale, halves upwards. A f32 quotient is never taken for a half that it only lies beside: at
// most 24 bits over 8 stay further from it than rounding reaches.
ULTRAMEM_INLINE bool toInt8Block(const float* block, uint8_t* bytes, uint16_t& scale) {
  const float largest = largestOf(block);
  if (!(largest <= 0x1.fffffep127f)) return false;
  scale = scaleOf(largest);
  if (scale == 0) {
    __builtin_memset(bytes, 0, BLOCK);
    return true;
  }
  const Vec divisor = splat(widenHalf(scale));
  for (size_t i = 0; i < STEPS; i++) {
    const Vec quotient = div(load(block + i * WIDTH), divisor);
    const Vec even = nearest(quotient);
    const Whole32 isHalfAbove = (Whole32)(sub(quotient, even) == splat(0.5f));
    storeBytes(bytes + i * WIDTH, __builtin_convertvector(even, Whole32) - isHalfAbove);
  }
  return true;
}

bool toInt8(const float* values, size_t width, uint8_t* row) {
  uint8_t* scales = row + width;
  for (size_t at = 0; at < width; at += BLOCK, scales += 2) {
    uint16_t scale = 0;
    if (at + BLOCK <= width) {
      if (!toInt8Block(values + at, row + at, scale)) return false;
    } else {
      // Zeros change neither the largest nor what is kept.
      float block[BLOCK] = {};
      uint8_t bytes[BLOCK];
      for (size_t i = 0; at + i < width; i++) block[i] = values[at + i];
      if (!toInt8Block(block, bytes, scale)) return false;
      for (size_t i = 0; at + i < width; i++) row[at + i] = bytes[i];
    }
    __builtin_memcpy(scales, &scale, sizeof scale);
  }
  return true;
}

void ofInt8(const uint8_t* row, size_t width, float* values) {
  const uint8_t* scales = row + width;
  for (size_t from = 0; from < width; from += BLOCK, scales += 2) {
    const size_t end = from + BLOCK < width ? from + BLOCK : width;
    const float scale = widenHalf(loadAs<uint16_t>(scales));
    size_t at = from;
    for (; at + WIDTH <= end; at += WIDTH)
      store(values + at, mul((Vec)__builtin_convertvector(loadBytes(row + at), Vec), splat(scale)));
    for (; at < end; at++) values[at] = scale * static_cast<float>(static_cast<int8_t>(row[at]));
  }
}

}  // namespace

const PackTable packTable{toBf16, ofBf16, toInt8, ofInt8};

}  // namespace ultramem::ULTRAMEM_ISA
