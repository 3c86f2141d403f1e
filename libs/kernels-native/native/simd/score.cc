#include "simd/score.h"

#include "simd/vector.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr size_t PANEL = 32;
constexpr size_t QUAD = 4;

// ---- One 8-bit product per key: scorePanels

#if defined(ULTRAMEM_ISA_AVX512)

// A query's numbers as signed bytes; the keys' are unsigned by their offset of 128, which -128 sum8 takes back.
constexpr size_t QUAD_BYTES = 4;
ULTRAMEM_INLINE void storeQuad(uint8_t* bytes, const int32_t* whole) {
  for (size_t i = 0; i < QUAD; i++) bytes[i] = static_cast<uint8_t>(whole[i]);
}

template <int TOKENS, int PANELS>
void scoreTile(const PanelScores& task, size_t token, size_t panel) {
  __m512i sums[TOKENS][PANELS][2];
#pragma GCC unroll 16
  for (int t = 0; t < TOKENS; t++)
#pragma GCC unroll 16
    for (int p = 0; p < PANELS; p++)
      sums[t][p][0] = sums[t][p][1] = _mm512_set1_epi32(-128 * task.prepared[token + t].sum8);
  const size_t panelBytes = task.quadCount * PANEL * QUAD;
  const uint8_t* keys = task.panels + panel * panelBytes;
  const size_t queryBytes = task.quadCount * QUAD_BYTES;
  const uint8_t* queries = task.queries + token * queryBytes;
#pragma GCC unroll 1
  for (size_t quad = 0; quad < task.quadCount; quad++, keys += PANEL * QUAD, queries += QUAD_BYTES) {
    __m512i key[PANELS][2];
#pragma GCC unroll 16
    for (int p = 0; p < PANELS; p++) {
      key[p][0] = _mm512_load_si512(keys + p * panelBytes);
      key[p][1] = _mm512_load_si512(keys + p * panelBytes + 64);
    }
#pragma GCC unroll 16
    for (int t = 0; t < TOKENS; t++) {
      __m512i query;
      // In assembly, because g++ 12 spills tiles of intrinsics that fit the registers.
      asm("vpbroadcastd %1, %0" : "=v"(query) : "m"(*reinterpret_cast<const int32_t*>(queries + t * queryBytes)));
#pragma GCC unroll 16
      for (int p = 0; p < PANELS; p++) {
        asm("vpdpbusd %1, %2, %0" : "+v"(sums[t][p][0]) : "v"(query), "v"(key[p][0]));
        asm("vpdpbusd %1, %2, %0" : "+v"(sums[t][p][1]) : "v"(query), "v"(key[p][1]));
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < TOKENS; t++) {
    float* out = task.scores + (token + t) * task.panelCount * PANEL + panel * PANEL;
    const Vec scale = splat(task.prepared[token + t].scale8);
#pragma GCC unroll 16
    for (int p = 0; p < PANELS; p++)
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++) {
        const size_t lane = p * PANEL + half * 16;
        const Vec scales = mul(load(task.scales + panel * PANEL + lane), scale);
        store(out + lane, mul(_mm512_cvtepi32_ps(sums[t][p][half]), scales));
      }
  }
}

template <int TOKENS>
void scoreStrip(const PanelScores& task, size_t token) {
  constexpr int PANELS = TOKENS == 1 ? 4 : TOKENS == 2 ? 3 : TOKENS == 4 ? 2 : 1;
  size_t panel = 0;
  for (; panel + PANELS <= task.panelCount; panel += PANELS) scoreTile<TOKENS, PANELS>(task, token, panel);
  for (; panel < task.panelCount; panel++) scoreTile<TOKENS, 1>(task, token, panel);
}

void scorePanels(const PanelScores& task) {
  size_t token = 0;
  while (token < task.tokenCount) {
    const size_t left = task.tokenCount - token;
    if (left >= 12 && left != 16) scoreStrip<12>(task, token), token += 12;
    else if (left >= 8) scoreStrip<8>(task, token), token += 8;
    else if (left >= 4) scoreStrip<4>(task, token), token += 4;
    else if (left >= 2) scoreStrip<2>(task, token), token += 2;
    else scoreStrip<1>(task, token), token += 1;
  }
}

#else

// A query's numbers as 16-bit words: without a product of bytes, keys are widened where they are loaded.
constexpr size_t QUAD_BYTES = 8;
ULTRAMEM_INLINE void storeQuad(uint8_t* bytes, const int32_t* whole) {
  int16_t words[QUAD];
  for (size_t i = 0; i < QUAD; i++) words[i] = static_cast<int16_t>(whole[i]);
  __builtin_memcpy(bytes, words, sizeof words);
}

#if defined(ULTRAMEM_ISA_AVX2)

constexpr size_t BLOCK = 8;
using Sums = __m256i;  // of two keys' halves: four keys times two pairs of features

template <int TOKENS>
ULTRAMEM_INLINE void scoreBlock(const PanelScores& task, size_t token, size_t key, const uint8_t* bytes) {
  __m256i sums[TOKENS][2];
#pragma GCC unroll 4
  for (int t = 0; t < TOKENS; t++) sums[t][0] = sums[t][1] = _mm256_setzero_si256();
  const size_t queryBytes = task.quadCount * QUAD_BYTES;
  const uint8_t* queries = task.queries + token * queryBytes;
#pragma GCC unroll 1
  for (size_t quad = 0; quad < task.quadCount; quad++, bytes += PANEL * QUAD, queries += QUAD_BYTES) {
    const __m256i low = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
    const __m256i high = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16)));
#pragma GCC unroll 4
    for (int t = 0; t < TOKENS; t++) {
      int64_t numbers;
      __builtin_memcpy(&numbers, queries + t * queryBytes, sizeof numbers);
      const __m256i query = _mm256_set1_epi64x(numbers);
      sums[t][0] = _mm256_add_epi32(sums[t][0], _mm256_madd_epi16(low, query));
      sums[t][1] = _mm256_add_epi32(sums[t][1], _mm256_madd_epi16(high, query));
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < TOKENS; t++) {
    const PreparedQuery& prepared = task.prepared[token + t];
    const __m256i pairs = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sums[t][0], sums[t][1]), 0xd8);
    const __m256i whole = _mm256_sub_epi32(pairs, _mm256_set1_epi32(128 * prepared.sum8));
    const Vec scales = mul(load(task.scales + key), splat(prepared.scale8));
    store(task.scores + (token + t) * task.panelCount * PANEL + key, mul(_mm256_cvtepi32_ps(whole), scales));
  }
}

#else

constexpr size_t BLOCK = 32;

template <int TOKENS>
ULTRAMEM_INLINE void scoreBlock(const PanelScores& task, size_t firstToken, size_t key, const uint8_t* panel) {
  for (size_t token = firstToken; token < firstToken + TOKENS; token++) {
    const PreparedQuery& prepared = task.prepared[token];
    const uint8_t* queries = task.queries + token * task.quadCount * QUAD_BYTES;
    const uint8_t* bytes = panel;
    int32_t sums[BLOCK];
    for (size_t j = 0; j < BLOCK; j++) sums[j] = 0;
    for (size_t quad = 0; quad < task.quadCount; quad++, bytes += PANEL * QUAD, queries += QUAD_BYTES) {
      int16_t query[QUAD];
      __builtin_memcpy(query, queries, sizeof query);
      for (size_t j = 0; j < BLOCK; j++)
        for (size_t i = 0; i < QUAD; i++) sums[j] += (bytes[j * QUAD + i] - 128) * query[i];
    }
    float* out = task.scores + token * task.panelCount * PANEL + key;
    for (size_t j = 0; j < BLOCK; j++) out[j] = static_cast<float>(sums[j]) * (task.scales[key + j] * prepared.scale8);
  }
}

#endif

template <int TOKENS>
void scoreStrip(const PanelScores& task, size_t token) {
  const size_t panelBytes = task.quadCount * PANEL * QUAD;
  for (size_t panel = 0; panel < task.panelCount; panel++)
    for (size_t block = 0; block < PANEL; block += BLOCK)
      scoreBlock<TOKENS>(task, token, panel * PANEL + block, task.panels + panel * panelBytes + block * QUAD);
}

void scorePanels(const PanelScores& task) {
  size_t token = 0;
  for (; token + 4 <= task.tokenCount; token += 4) scoreStrip<4>(task, token);
  for (; token < task.tokenCount; token++) scoreStrip<1>(task, token);
}

#endif

size_t queryBytes(size_t quadCount) { return quadCount * QUAD_BYTES; }

// ---- A query in whole numbers: prepare

#if defined(ULTRAMEM_ISA_AVX512)
ULTRAMEM_INLINE float sumOf(Vec v) { return _mm512_reduce_add_ps(v); }
ULTRAMEM_INLINE float largestOf(Vec v) { return _mm512_reduce_max_ps(v); }
#else
ULTRAMEM_INLINE float sumOf(Vec v) {
  float lanes[WIDTH];
  store(lanes, v);
  float sum = 0;
  for (int i = 0; i < WIDTH; i++) sum += lanes[i];
  return sum;
}

ULTRAMEM_INLINE float largestOf(Vec v) {
  float lanes[WIDTH];
  store(lanes, v);
  float largest = 0;
  for (int i = 0; i < WIDTH; i++) largest = lanes[i] > largest ? lanes[i] : largest;
  return largest;
}
#endif

// The square root of a sum of squares, rounded up. The sum has `count` f32 additions and products; the second term is the error of
// differences that were rounded without FMA and of squares that were denormal.
ULTRAMEM_INLINE float normBound(float squares, size_t count, float norm) {
  const float root = __builtin_sqrtf(squares);
  return root * (1.0f + static_cast<float>(count + 16) * 0x1p-23f) + norm * 0x1p-21f;
}

// Squares summed by column modulo 32; two neighbours make a lane of `dotWords`.
struct LaneSquares {
  static constexpr size_t VECTORS = 32 / WIDTH;
  Vec sums[VECTORS];
  LaneSquares() {
    for (size_t v = 0; v < VECTORS; v++) sums[v] = zero();
  }
  // Columns c .. c + WIDTH - 1.
  void add(size_t c, Vec x) {
    Vec& sum = sums[c / WIDTH % VECTORS];
    sum = fma(x, x, sum);
  }
  float total() const {
    Vec all = sums[0];
    for (size_t v = 1; v < VECTORS; v++) all = ultramem::ULTRAMEM_ISA::add(all, sums[v]);
    return sumOf(all);
  }
  float largestLane() const {
    float columns[32];
    for (size_t v = 0; v < VECTORS; v++) store(columns + v * WIDTH, sums[v]);
    float largest = 0;
    for (size_t lane = 0; lane < 16; lane++) {
      const float sum = columns[2 * lane] + columns[2 * lane + 1];
      largest = sum > largest ? sum : largest;
    }
    return largest;
  }
};

#if defined(ULTRAMEM_ISA_AVX512)
struct WholeSum {
  __m512i lanes = _mm512_setzero_si512();
  void add(__m512i v) { lanes = _mm512_add_epi32(lanes, v); }
  int32_t total() const { return _mm512_reduce_add_epi32(lanes); }
};
#else
struct WholeSum {
  int32_t sum = 0;
  void add(int32_t x) { sum += x; }
  int32_t total() const { return sum; }
};
#endif

void prepare(const float* q, size_t width, double* wide, uint8_t* bytes, int16_t* words, PreparedQuery* prepared) {
  for (size_t c = 0; c < width; c++) wide[c] = q[c];
  for (size_t c = width; c % 8 != 0; c++) wide[c] = 0;
  const size_t whole = width - width % WIDTH;
  float tail[WIDTH];
  for (int i = 0; i < WIDTH; i++) tail[i] = whole + i < width ? q[whole + i] : 0.0f;
  Vec magnitude = abs(load(tail));
  // Numbers of 8 bits: the largest becomes 127. Of 16 bits: neither the largest beyond 32639 nor the norm of a lane beyond 46000
  // (WORD_MAX and LANE_NORM_MAX in core/keys.cc).
  LaneSquares squares;
  squares.add(whole, load(tail));
  for (size_t c = 0; c < whole; c += WIDTH) {
    magnitude = max(abs(load(q + c)), magnitude);
    squares.add(c, load(q + c));
  }
  const float largest = largestOf(magnitude);
  const float norm = normBound(squares.total(), width / WIDTH, 0);
  // A maximum drops NaN, a sum keeps it.
  prepared->bounded = norm == norm && largest >= 0x1p-40f && largest <= 0x1p40f;
  if (!prepared->bounded) return;
  const float scale8 = largest / 127.0f;
  const float byNorm = normBound(squares.largestLane(), width / WIDTH, 0) / 46000.0f;
  const float byLargest = largest / 32638.0f;
  const float scale16 = byNorm > byLargest ? byNorm : byLargest;
  const Vec inverse8 = splat(127.0f / largest);
  const Vec inverse16 = splat(1.0f / scale16);
  Vec lost8 = zero();
  Vec lost16 = zero();
  WholeSum sum8;
  const size_t padded = (width + 31) / 32 * 32;
  const size_t quadded = (width + QUAD - 1) / QUAD * QUAD;
  for (size_t c = 0; c < padded; c += WIDTH) {
    const Vec x = c < whole ? load(q + c) : c == whole ? load(tail) : zero();
    const Vec whole8 = nearest(mul(x, inverse8));
    const Vec whole16 = nearest(mul(x, inverse16));
    const Vec left8 = fma(splat(-scale8), whole8, x);
    const Vec left16 = fma(splat(-scale16), whole16, x);
    lost8 = fma(left8, left8, lost8);
    lost16 = fma(left16, left16, lost16);
#if defined(ULTRAMEM_ISA_AVX512)
    const __m512i ints = _mm512_cvtps_epi32(whole8);
    const __mmask16 kept = quadded - c >= 16 ? 0xffff : c < quadded ? (1u << (quadded - c)) - 1 : 0;
    _mm_mask_storeu_epi8(bytes + c, c < quadded ? kept : 0, _mm512_cvtepi32_epi8(ints));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + c), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(whole16)));
    sum8.add(ints);
#else
    float lanes8[WIDTH];
    float lanes16[WIDTH];
    store(lanes8, whole8);
    store(lanes16, whole16);
    int32_t ints[WIDTH];
    for (int i = 0; i < WIDTH; i++) {
      ints[i] = static_cast<int32_t>(lanes8[i]);
      words[c + i] = static_cast<int16_t>(lanes16[i]);
      sum8.add(ints[i]);
    }
    for (int i = 0; i < WIDTH && c + i < quadded; i += QUAD) storeQuad(bytes + (c + i) / QUAD * QUAD_BYTES, ints + i);
#endif
  }
  prepared->scale8 = scale8;
  prepared->scale16 = scale16;
  prepared->residual8 = normBound(sumOf(lost8), padded / WIDTH, norm);
  prepared->residual16 = normBound(sumOf(lost16), padded / WIDTH, norm);
  prepared->norm = norm;
  prepared->sum8 = sum8.total();
}

// ---- 16-bit products of some rows: dotWords

// Lane c / 2 % 16 takes the products of column c: `LANE_NORM_MAX` in core/keys.cc keeps each lane's sum below 2^31, not their total.
#if defined(ULTRAMEM_ISA_AVX512)
constexpr size_t WORDS = 32;
struct Lanes {
  __m512i sums = _mm512_setzero_si512();
};
struct WordVec {
  __m512i words;
};
ULTRAMEM_INLINE WordVec loadWordVec(const int16_t* p) { return {_mm512_loadu_si512(p)}; }
ULTRAMEM_INLINE void addProducts(Lanes& lanes, WordVec a, WordVec b) { lanes.sums = _mm512_dpwssd_epi32(lanes.sums, a.words, b.words); }
// The totals of four, in order.
ULTRAMEM_INLINE void storeFour(float* p, const Lanes* four) {
  __m512 v[4];
  for (size_t j = 0; j < 4; j++) v[j] = _mm512_cvtepi32_ps(four[j].sums);
  const __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1])));
  const __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3])));
  const __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
#elif defined(ULTRAMEM_ISA_AVX2)
constexpr size_t WORDS = 32;
struct Lanes {
  __m256i low = _mm256_setzero_si256();
  __m256i high = _mm256_setzero_si256();
};
struct WordVec {
  __m256i low, high;
};
ULTRAMEM_INLINE WordVec loadWordVec(const int16_t* p) {
  const __m256i* from = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)};
}
ULTRAMEM_INLINE void addProducts(Lanes& lanes, WordVec a, WordVec b) {
  lanes.low = _mm256_add_epi32(lanes.low, _mm256_madd_epi16(a.low, b.low));
  lanes.high = _mm256_add_epi32(lanes.high, _mm256_madd_epi16(a.high, b.high));
}
ULTRAMEM_INLINE void storeFour(float* p, const Lanes* four) {
  __m256 v[4];
  for (size_t j = 0; j < 4; j++) v[j] = _mm256_add_ps(_mm256_cvtepi32_ps(four[j].low), _mm256_cvtepi32_ps(four[j].high));
  const __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
  _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}
#endif

// Rows lie anywhere, but soon enough in the processor's view: fetching them ahead takes longer than it saves.
#if defined(ULTRAMEM_ISA_AVX512) || defined(ULTRAMEM_ISA_AVX2)

// Four rows at once. A query of VECTORS vectors stays in registers; of any number where that is 0.
template <size_t VECTORS>
void dotWordsOf(const int16_t* words, size_t wordStride, const uint32_t* rows, size_t count, const int16_t* q, float* sums) {
  WordVec query[VECTORS == 0 ? 1 : VECTORS];
  for (size_t v = 0; v < VECTORS; v++) query[v] = loadWordVec(q + v * WORDS);
  for (size_t i = 0; i < count; i += 4) {
    const int16_t* row[4];
    for (size_t j = 0; j < 4; j++) row[j] = words + rows[i + j < count ? i + j : i] * wordStride;
    Lanes four[4];
    if constexpr (VECTORS > 0) {
#pragma GCC unroll 16
      for (size_t v = 0; v < VECTORS; v++)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) addProducts(four[j], loadWordVec(row[j] + v * WORDS), query[v]);
    } else {
      for (size_t c = 0; c < wordStride; c += WORDS) {
        const WordVec part = loadWordVec(q + c);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) addProducts(four[j], loadWordVec(row[j] + c), part);
      }
    }
    if (i + 4 <= count) {
      storeFour(sums + i, four);
      continue;
    }
    float last[4];
    storeFour(last, four);
    for (size_t j = i; j < count; j++) sums[j] = last[j - i];
  }
}

void dotWords(const int16_t* words, size_t wordStride, const uint32_t* rows, size_t count, const int16_t* q, float* sums) {
#if defined(ULTRAMEM_ISA_AVX512)
  switch (wordStride / WORDS) {
    case 4: return dotWordsOf<4>(words, wordStride, rows, count, q, sums);
    case 6: return dotWordsOf<6>(words, wordStride, rows, count, q, sums);
    case 8: return dotWordsOf<8>(words, wordStride, rows, count, q, sums);
  }
#endif
  dotWordsOf<0>(words, wordStride, rows, count, q, sums);
}

#else

void dotWords(const int16_t* words, size_t wordStride, const uint32_t* rows, size_t count, const int16_t* q, float* sums) {
  for (size_t i = 0; i < count; i++) {
    const int16_t* row = words + rows[i] * wordStride;
    int64_t sum = 0;
    for (size_t c = 0; c < wordStride; c += 32) {
      int64_t part = 0;
      for (size_t j = c; j < c + 32; j++) part += static_cast<int32_t>(row[j]) * q[j];
      sum += part;
    }
    sums[i] = static_cast<float>(sum);
  }
}

#endif

// ---- The reference's own products: dotExact

#if defined(ULTRAMEM_ISA_AVX512)
struct Eight {
  __m512d lanes;
};
ULTRAMEM_INLINE Eight zeros() { return {_mm512_setzero_pd()}; }
ULTRAMEM_INLINE Eight widen(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
ULTRAMEM_INLINE Eight loadEight(const double* p) { return {_mm512_loadu_pd(p)}; }
ULTRAMEM_INLINE void addProduct(Eight& sum, const Eight& a, const Eight& b) { sum.lanes = _mm512_fmadd_pd(a.lanes, b.lanes, sum.lanes); }
ULTRAMEM_INLINE float total(const Eight& sum) {
  const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(sum.lanes), _mm512_extractf64x4_pd(sum.lanes, 1));
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return static_cast<float>(_mm_cvtsd_f64(two) + _mm_cvtsd_f64(_mm_unpackhi_pd(two, two)));
}
#elif defined(ULTRAMEM_ISA_AVX2)
struct Eight {
  __m256d low, high;
};
ULTRAMEM_INLINE Eight zeros() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
ULTRAMEM_INLINE Eight widen(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))}; }
ULTRAMEM_INLINE Eight loadEight(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
ULTRAMEM_INLINE void addProduct(Eight& sum, const Eight& a, const Eight& b) {
  sum.low = _mm256_fmadd_pd(a.low, b.low, sum.low);
  sum.high = _mm256_fmadd_pd(a.high, b.high, sum.high);
}
ULTRAMEM_INLINE float total(const Eight& sum) {
  const __m256d four = _mm256_add_pd(sum.low, sum.high);
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return static_cast<float>(_mm_cvtsd_f64(two) + _mm_cvtsd_f64(_mm_unpackhi_pd(two, two)));
}
#else
struct Eight {
  double lanes[8];
};
ULTRAMEM_INLINE Eight zeros() { return {}; }
ULTRAMEM_INLINE Eight widen(const float* p) {
  Eight wide;
  for (int i = 0; i < 8; i++) wide.lanes[i] = p[i];
  return wide;
}
ULTRAMEM_INLINE Eight loadEight(const double* p) {
  Eight eight;
  for (int i = 0; i < 8; i++) eight.lanes[i] = p[i];
  return eight;
}
ULTRAMEM_INLINE void addProduct(Eight& sum, const Eight& a, const Eight& b) {
  for (int i = 0; i < 8; i++) sum.lanes[i] += a.lanes[i] * b.lanes[i];
}
ULTRAMEM_INLINE float total(const Eight& sum) {
  const double* s = sum.lanes;
  return static_cast<float>((s[0] + s[4] + (s[2] + s[6])) + (s[1] + s[5] + (s[3] + s[7])));
}
#endif

// Products that go on at once hide the time of an addition.
constexpr size_t AT_ONCE = 4;
// Keys lie anywhere: what the memory needs to bring one is the time of some others' products.
constexpr size_t KEYS_AHEAD = 2;
#if defined(ULTRAMEM_ISA_AVX512)
constexpr size_t TOKENS_MAX = 4;
#else
constexpr size_t TOKENS_MAX = 2;  // more sums than registers otherwise
#endif

// RANKS rows of one key times the queries of TOKENS tokens: widening a row takes longer than a product with it. Meanwhile as many
// floats at `next` are fetched, line by line, because a burst of them would hold up the products.
template <size_t TOKENS, size_t RANKS>
ULTRAMEM_INLINE void exactTile(const float* rows, size_t rowStride, const double* queries, const KeyOfToken* pairs, size_t rank,
                               const float* next, float* refined) {
  Eight sums[TOKENS][RANKS];
  const double* query[TOKENS];
  for (size_t t = 0; t < TOKENS; t++) {
    query[t] = queries + pairs[t].token * rowStride;
    for (size_t r = 0; r < RANKS; r++) sums[t][r] = zeros();
  }
  for (size_t c = 0; c < rowStride; c += 8) {
    __builtin_prefetch(next + c * RANKS);
    Eight row[RANKS];
#pragma GCC unroll 2
    for (size_t r = 0; r < RANKS; r++) row[r] = widen(rows + r * rowStride + c);
#pragma GCC unroll 4
    for (size_t t = 0; t < TOKENS; t++) {
      const Eight q = loadEight(query[t] + c);
#pragma GCC unroll 2
      for (size_t r = 0; r < RANKS; r++) addProduct(sums[t][r], row[r], q);
    }
  }
  for (size_t t = 0; t < TOKENS; t++)
    for (size_t r = 0; r < RANKS; r++) refined[t * rank + r] = total(sums[t][r]);
}

template <size_t TOKENS>
void exactTokens(const float* key, size_t rowStride, size_t rank, const double* queries, const KeyOfToken* pairs, const float* next,
                 float* refined) {
  size_t r = 0;
  for (; r + 2 <= rank; r += 2)
    exactTile<TOKENS, 2>(key + r * rowStride, rowStride, queries, pairs, rank, next + r * rowStride, refined + r);
  if (r < rank) exactTile<TOKENS, 1>(key + r * rowStride, rowStride, queries, pairs, rank, next + r * rowStride, refined + r);
}

// Pairs whose key no other token wants; `count` of at most AT_ONCE.
struct Singles {
  const KeyOfToken* pair[AT_ONCE];
  float* refined[AT_ONCE];
  size_t count = 0;
};

void exactSingles(Singles& singles, const float* list, size_t rowStride, size_t rank, const double* queries) {
  for (size_t r = 0; r < rank; r++) {
    const float* row[AT_ONCE];
    const double* query[AT_ONCE];
    Eight sums[AT_ONCE];
    for (size_t j = 0; j < AT_ONCE; j++) {
      const KeyOfToken& pair = *singles.pair[j < singles.count ? j : 0];
      row[j] = list + (pair.key * rank + r) * rowStride;
      query[j] = queries + pair.token * rowStride;
      sums[j] = zeros();
    }
    for (size_t c = 0; c < rowStride; c += 8)
#pragma GCC unroll 4
      for (size_t j = 0; j < AT_ONCE; j++) addProduct(sums[j], widen(row[j] + c), loadEight(query[j] + c));
    for (size_t j = 0; j < singles.count; j++) singles.refined[j][r] = total(sums[j]);
  }
  singles.count = 0;
}

void dotExact(const float* list, size_t rowStride, size_t rank, const KeyOfToken* pairs, size_t count, const double* queries,
              float* refined) {
  constexpr size_t LINE_FLOATS = 16;
  const size_t keyFloats = rank * rowStride;
  Singles singles;
  size_t ahead = 0;  // the first pair of a key some keys ahead
  const auto advance = [&] {
    if (ahead < count) ahead++;
    while (ahead < count && pairs[ahead].key == pairs[ahead - 1].key) ahead++;
  };
  for (size_t i = 0; i < KEYS_AHEAD; i++) advance();
  for (size_t i = 0; i < count;) {
    const float* key = list + pairs[i].key * keyFloats;
    size_t tokens = 1;
    while (tokens < TOKENS_MAX && i + tokens < count && pairs[i + tokens].key == pairs[i].key) tokens++;
    const float* next = list + pairs[ahead < count ? ahead : i].key * keyFloats;
    if (i + tokens < count && pairs[i + tokens].key != pairs[i].key) advance();
    float* into = refined + i * rank;
    switch (tokens) {
#if defined(ULTRAMEM_ISA_AVX512)
      case 4: exactTokens<4>(key, rowStride, rank, queries, pairs + i, next, into); break;
      case 3: exactTokens<3>(key, rowStride, rank, queries, pairs + i, next, into); break;
#endif
      case 2: exactTokens<2>(key, rowStride, rank, queries, pairs + i, next, into); break;
      default:
        for (size_t c = 0; c < keyFloats; c += LINE_FLOATS) __builtin_prefetch(next + c);
        singles.pair[singles.count] = pairs + i;
        singles.refined[singles.count] = into;
        if (++singles.count == AT_ONCE) exactSingles(singles, list, rowStride, rank, queries);
    }
    i += tokens;
  }
  if (singles.count > 0) exactSingles(singles, list, rowStride, rank, queries);
}

}  // namespace

extern const ScoreKernels scoreKernels = {queryBytes, prepare, scorePanels, dotWords, dotExact};

}  // namespace ultramem::ULTRAMEM_ISA
