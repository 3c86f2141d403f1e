#include "simd/score.h"

#include "simd/vector.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr size_t PANEL = 32;
constexpr size_t QUAD = 4;

// ---- One 8-bit product per key: scorePanels

#if defined(ULTRAMEM_ISA_AVX512)

// A query's numbers as signed bytes; the keys' are unsigned by their offset of 128, which -128 panelSum takes back.
constexpr size_t QUAD_BYTES = 4;

template <int TOKENS, int PANELS>
void scoreTile(const PanelScores& task, size_t token, size_t panel) {
  __m512i sums[TOKENS][PANELS][2];
#pragma GCC unroll 16
  for (int t = 0; t < TOKENS; t++)
#pragma GCC unroll 16
    for (int p = 0; p < PANELS; p++)
      sums[t][p][0] = sums[t][p][1] = _mm512_set1_epi32(-128 * task.prepared[token + t].panelSum);
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
    const Vec scale = splat(task.prepared[token + t].panelScale);
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

// Without a product of bytes keys are widened where they are loaded, and a query keeps its 16 bits, which leaves the keys' rounding alone
// in the bounds. Sums wrap on their way; where they end is below 2^31 (`WIDTH_MAX` in core/keys.cc).
constexpr size_t QUAD_BYTES = 8;

#if defined(ULTRAMEM_ISA_AVX2)

constexpr size_t BLOCK = 8;

// sums += keys times four words at `query`, in pairs. In assembly, because g++ 12 moves and spills sums that fit the registers.
ULTRAMEM_INLINE void addQuad(__m256i& lowSum, __m256i& highSum, __m256i low, __m256i high, const uint8_t* query) {
  __m256i words, pairs;
  asm("vpbroadcastq %6, %2\n\tvpmaddwd %4, %2, %3\n\tvpmaddwd %5, %2, %2\n\tvpaddd %3, %0, %0\n\tvpaddd %2, %1, %1"
      : "+x"(lowSum), "+x"(highSum), "=&x"(words), "=&x"(pairs)
      : "x"(low), "x"(high), "m"(*reinterpret_cast<const int64_t*>(query)));
}

template <int TOKENS, int BLOCKS>
ULTRAMEM_INLINE void scoreBlocks(const PanelScores& task, size_t token, size_t key, const uint8_t* bytes) {
  __m256i sums[TOKENS][BLOCKS][2];  // of four keys times two pairs of features
#pragma GCC unroll 6
  for (int t = 0; t < TOKENS; t++)
#pragma GCC unroll 4
    for (int b = 0; b < BLOCKS; b++) sums[t][b][0] = sums[t][b][1] = _mm256_setzero_si256();
  const size_t queryBytes = task.quadCount * QUAD_BYTES;
  const uint8_t* queries = task.queries + token * queryBytes;
#pragma GCC unroll 1
  for (size_t quad = 0; quad < task.quadCount; quad++, bytes += PANEL * QUAD, queries += QUAD_BYTES) {
    __m256i low[BLOCKS], high[BLOCKS];
#pragma GCC unroll 4
    for (int b = 0; b < BLOCKS; b++) {
      const __m256i keys = _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes + b * BLOCK * QUAD));
      low[b] = _mm256_unpacklo_epi8(keys, _mm256_setzero_si256());
      high[b] = _mm256_unpackhi_epi8(keys, _mm256_setzero_si256());
    }
#pragma GCC unroll 6
    for (int t = 0; t < TOKENS; t++)
#pragma GCC unroll 4
      for (int b = 0; b < BLOCKS; b++) addQuad(sums[t][b][0], sums[t][b][1], low[b], high[b], queries + t * queryBytes);
  }
#pragma GCC unroll 6
  for (int t = 0; t < TOKENS; t++) {
    const PreparedQuery& prepared = task.prepared[token + t];
    const __m256i offset = _mm256_set1_epi32(static_cast<int32_t>(uint32_t{128} * static_cast<uint32_t>(prepared.panelSum)));
    float* scores = task.scores + (token + t) * task.panelCount * PANEL + key;
#pragma GCC unroll 4
    for (int b = 0; b < BLOCKS; b++) {
      const __m256i whole = _mm256_sub_epi32(_mm256_hadd_epi32(sums[t][b][0], sums[t][b][1]), offset);
      const Vec scales = mul(load(task.scales + key + b * BLOCK), splat(prepared.panelScale));
      store(scores + b * BLOCK, mul(_mm256_cvtepi32_ps(whole), scales));
    }
  }
}

#else

constexpr size_t BLOCK = 32;

template <int TOKENS, int BLOCKS>
ULTRAMEM_INLINE void scoreBlocks(const PanelScores& task, size_t firstToken, size_t key, const uint8_t* panel) {
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
    for (size_t j = 0; j < BLOCK; j++) out[j] = static_cast<float>(sums[j]) * (task.scales[key + j] * prepared.panelScale);
  }
}

#endif

template <int TOKENS>
void scorePanel(const PanelScores& task, size_t token, size_t panel) {
  const uint8_t* bytes = task.panels + panel * task.quadCount * PANEL * QUAD;
  // As many sums as fit the registers; for one token those of the whole panel, which is then read line by line.
  constexpr size_t BLOCKS = BLOCK == PANEL || TOKENS > 2 ? 1 : 4 / TOKENS;
  for (size_t key = 0; key < PANEL; key += BLOCKS * BLOCK)
    scoreBlocks<TOKENS, BLOCKS>(task, token, panel * PANEL + key, bytes + key * QUAD);
}

// A panel stays in the nearest cache for all tokens.
void scorePanels(const PanelScores& task) {
  for (size_t panel = 0; panel < task.panelCount; panel++) {
    size_t token = 0;
    while (token < task.tokenCount) {
      const size_t left = task.tokenCount - token;
      if (left >= 6 && left != 8) scorePanel<6>(task, token, panel), token += 6;
      else if (left >= 4) scorePanel<4>(task, token, panel), token += 4;
      else if (left >= 2) scorePanel<2>(task, token, panel), token += 2;
      else scorePanel<1>(task, token, panel), token += 1;
    }
  }
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

void prepare(const float* q, size_t width, double* wide, uint8_t* panelQuery, int16_t* words, PreparedQuery* prepared) {
  for (size_t c = 0; c < width; c++) wide[c] = q[c];
  for (size_t c = width; c % 8 != 0; c++) wide[c] = 0;
  const size_t whole = width - width % WIDTH;
  float tail[WIDTH];
  for (int i = 0; i < WIDTH; i++) tail[i] = whole + i < width ? q[whole + i] : 0.0f;
  Vec magnitude = abs(load(tail));
  // Numbers of 16 bits: neither the largest beyond 32639 nor the norm of a lane beyond 46000 (WORD_MAX and LANE_NORM_MAX in
  // core/keys.cc). Of 8 bits: the largest becomes 127.
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
  const float byNorm = normBound(squares.largestLane(), width / WIDTH, 0) / 46000.0f;
  const float byLargest = largest / 32638.0f;
  const float wordScale = byNorm > byLargest ? byNorm : byLargest;
  const size_t padded = (width + 31) / 32 * 32;
  const auto columns = [&](size_t c) { return c < whole ? load(q + c) : c == whole ? load(tail) : zero(); };
  // Whole numbers times `scale`, which `emit(c, numbers)` takes; returns the norm of what they leave.
  const auto round = [&](float scale, const auto& emit) {
    const Vec inverse = splat(1.0f / scale);
    Vec lost = zero();
    for (size_t c = 0; c < padded; c += WIDTH) {
      const Vec x = columns(c);
      const Vec number = nearest(mul(x, inverse));
      const Vec left = fma(splat(-scale), number, x);
      lost = fma(left, left, lost);
      emit(c, number);
    }
    return normBound(sumOf(lost), padded / WIDTH, norm);
  };
  prepared->norm = norm;
  prepared->wordScale = wordScale;
#if defined(ULTRAMEM_ISA_AVX512)
  prepared->wordResidual = round(wordScale, [&](size_t c, Vec number) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + c), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(number)));
  });
  __m512i sum = _mm512_setzero_si512();
  const size_t quadded = (width + QUAD - 1) / QUAD * QUAD;
  prepared->panelScale = largest / 127.0f;
  prepared->panelResidual = round(prepared->panelScale, [&](size_t c, Vec number) {
    const __m512i ints = _mm512_cvtps_epi32(number);
    const __mmask16 kept = quadded - c >= 16 ? 0xffff : (1u << (quadded - c)) - 1;
    _mm_mask_storeu_epi8(panelQuery + c, c < quadded ? kept : 0, _mm512_cvtepi32_epi8(ints));
    sum = _mm512_add_epi32(sum, ints);
  });
  prepared->panelSum = _mm512_reduce_add_epi32(sum);
#else
  prepared->wordResidual = round(wordScale, [&](size_t c, Vec number) {
#if defined(ULTRAMEM_ISA_AVX2)
    const __m256i ints = _mm256_cvtps_epi32(number);
    const __m128i eight = _mm_packs_epi32(_mm256_castsi256_si128(ints), _mm256_extracti128_si256(ints, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(words + c), eight);
#else
    float lanes[WIDTH];
    store(lanes, number);
    for (int i = 0; i < WIDTH; i++) words[c + i] = static_cast<int16_t>(lanes[i]);
#endif
  });
  int32_t sum = 0;
  for (size_t c = 0; c < padded; c++) sum += words[c];
  __builtin_memcpy(panelQuery, words, queryBytes((width + QUAD - 1) / QUAD));
  prepared->panelScale = wordScale;
  prepared->panelResidual = prepared->wordResidual;
  prepared->panelSum = sum;
#endif
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
ULTRAMEM_INLINE void addProducts(Lanes& lanes, const int16_t* row, WordVec b) {
  lanes.sums = _mm512_dpwssd_epi32(lanes.sums, loadWordVec(row).words, b.words);
}
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
ULTRAMEM_INLINE void addProducts(Lanes& lanes, const int16_t* row, WordVec b) {
  const __m256i* from = reinterpret_cast<const __m256i*>(row);
  __m256i low, high;
  asm("vpmaddwd %6, %4, %2\n\tvpmaddwd %7, %5, %3\n\tvpaddd %2, %0, %0\n\tvpaddd %3, %1, %1"
      : "+x"(lanes.low), "+x"(lanes.high), "=&x"(low), "=&x"(high)
      : "x"(b.low), "x"(b.high), "m"(from[0]), "m"(from[1]));
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
        for (size_t j = 0; j < 4; j++) addProducts(four[j], row[j] + v * WORDS, query[v]);
    } else {
      for (size_t c = 0; c < wordStride; c += WORDS) {
        const WordVec part = loadWordVec(q + c);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) addProducts(four[j], row[j] + c, part);
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
// Keys lie anywhere: what the memory needs to bring one is the time of some others' products. They come into the second-level cache, which
// takes more requests at a time than the first.
constexpr size_t KEYS_AHEAD = 8;
#if defined(ULTRAMEM_ISA_AVX512)
constexpr size_t TOKENS_MAX = 4;
constexpr size_t SUMS_MAX = 8;
#elif defined(ULTRAMEM_ISA_AVX2)
constexpr size_t TOKENS_MAX = 4;
constexpr size_t SUMS_MAX = 4;  // of two registers each
#else
constexpr size_t TOKENS_MAX = 2;
constexpr size_t SUMS_MAX = 4;
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
    __builtin_prefetch(next + c * RANKS, 0, 2);
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
  if constexpr (2 * TOKENS <= SUMS_MAX)
    for (; r + 2 <= rank; r += 2)
      exactTile<TOKENS, 2>(key + r * rowStride, rowStride, queries, pairs, rank, next + r * rowStride, refined + r);
  for (; r < rank; r++) exactTile<TOKENS, 1>(key + r * rowStride, rowStride, queries, pairs, rank, next + r * rowStride, refined + r);
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
#if defined(ULTRAMEM_ISA_AVX512) || defined(ULTRAMEM_ISA_AVX2)
      case 4: exactTokens<4>(key, rowStride, rank, queries, pairs + i, next, into); break;
      case 3: exactTokens<3>(key, rowStride, rank, queries, pairs + i, next, into); break;
#endif
      case 2: exactTokens<2>(key, rowStride, rank, queries, pairs + i, next, into); break;
      default:
        for (size_t c = 0; c < keyFloats; c += LINE_FLOATS) __builtin_prefetch(next + c, 0, 2);
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
