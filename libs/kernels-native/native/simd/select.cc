#include "simd/select.h"

#include "simd/vector.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr size_t PANEL = 32;
constexpr float LOWEST = -3.402823466e38f;
constexpr float INFINITE = __builtin_inff();
// Group maxima per wanted element: more make the threshold tighter and its search longer.
constexpr double GROUPS_PER_ELEMENT = 2.6;
constexpr size_t GROUP_VECTORS_MAX = 4096 / WIDTH;

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
#endif

ULTRAMEM_INLINE float largestLane(Vec v) {
  float lanes[WIDTH];
  store(lanes, v);
  float largest = lanes[0];
  for (int i = 1; i < WIDTH; i++) largest = lanes[i] > largest ? lanes[i] : largest;
  return largest;
}

ULTRAMEM_INLINE float smallestLane(Vec v) { return -largestLane(sub(zero(), v)); }

ULTRAMEM_INLINE uint32_t countReaching(const float* x, size_t vectors, float limit) {
  const Vec bound = splat(limit);
  uint32_t count = 0;
#pragma GCC unroll 4
  for (size_t i = 0; i < vectors; i++) count += bitCount(reaches(load(x + i * WIDTH), bound));
  return count;
}

// The largest number found that at least k elements of whole vectors reach, stopping at the first that at most k + slack reach.
// At least k reach `low`. The number is always one that was counted, so ties and rounding in the search cost tightness, never
// correctness.
float search(const float* x, size_t vectors, size_t k, size_t slack, float low) {
  Vec highs = splat(-INFINITE);
  for (size_t i = 0; i < vectors; i++) highs = max(load(x + i * WIDTH), highs);
  float high = largestLane(highs);
  uint32_t reachLow = countReaching(x, vectors, low);
  if (reachLow <= k + slack || !(high > low)) return low;
  uint32_t reachHigh = countReaching(x, vectors, high);
  if (reachHigh >= k) return high;
  const float target = static_cast<float>(k) + 0.5f * static_cast<float>(slack);
  for (int turn = 0; turn < 64; turn++) {
    // Interpolation first, which scores that thin out upwards satisfy in a few turns; then halving, which always ends.
    float part = 0.5f;
    if (turn < 8) {
      part = (static_cast<float>(reachLow) - target) / static_cast<float>(reachLow - reachHigh);
      if (turn == 0) part *= 0.6f;
      part = part < 0.03f ? 0.03f : part > 0.97f ? 0.97f : part;
    }
    float middle = low + (high - low) * part;
    if (!(middle > low && middle < high)) middle = 0.5f * low + 0.5f * high;
    if (!(middle > low && middle < high)) break;
    const uint32_t reach = countReaching(x, vectors, middle);
    if (reach >= k) {
      low = middle;
      reachLow = reach;
      if (reach <= k + slack) break;
    } else {
      high = middle;
      reachHigh = reach;
    }
  }
  return low;
}

// As `search`, among all; LOWEST where fewer than k are finite. -infinity is padding.
float searchFromLowest(const float* x, size_t vectors, size_t k, size_t slack) {
  Vec lows = splat(INFINITE);
  for (size_t i = 0; i < vectors; i++) {
    const Vec v = load(x + i * WIDTH);
    lows = min(whereLess(v, splat(LOWEST), splat(INFINITE), v), lows);
  }
  const float low = smallestLane(lows);
  return countReaching(x, vectors, low) < k ? LOWEST : search(x, vectors, k, slack, low);
}

void panelErrors(const float* residuals, const float* norms, float norm, float residual, size_t count, float* errors) {
  for (size_t i = 0; i < count; i += WIDTH)
    store(errors + i, fma(load(residuals + i), splat(norm), mul(load(norms + i), splat(residual))));
}

ULTRAMEM_INLINE size_t groupVectors(size_t vectors, size_t k) {
  size_t groups = static_cast<size_t>(static_cast<double>(k) * GROUPS_PER_ELEMENT / WIDTH) + 1;
  if (groups > GROUP_VECTORS_MAX) groups = GROUP_VECTORS_MAX;
  return groups < vectors ? groups : vectors;
}

ULTRAMEM_INLINE size_t slackOf(size_t k) { return k / 32 + 1; }

float threshold(const BoundedScores& scores, size_t k) {
  constexpr size_t PER_PANEL = PANEL / WIDTH;
  const size_t vectors = scores.panelCount * PER_PANEL;
  const size_t groups = groupVectors(vectors, k);
  float maxima[GROUP_VECTORS_MAX * WIDTH];
  size_t next = 0;
  for (size_t group = 0; group < groups; group++) {
    const size_t end = vectors * (group + 1) / groups;
    Vec largest = splat(-INFINITE);
    for (; next < end; next++)
      largest = max(sub(load(scores.scores + next * WIDTH), splat(scores.errors[next / PER_PANEL])), largest);
    store(maxima + group * WIDTH, largest);
  }
  return searchFromLowest(maxima, groups, k, slackOf(k));
}

void survivors(const BoundedScores& scores, float threshold, Survivors* into) {
  const Vec limit = splat(threshold);
  uint32_t* sure = into->sure + into->sureCount;
  uint32_t* doubtful = into->doubtful + into->doubtfulCount;
  float* upper = into->upper + into->doubtfulCount;
  for (size_t panel = 0; panel < scores.panelCount; panel++) {
    const Vec error = splat(scores.errors[panel]);
#pragma GCC unroll 2
    for (size_t lane = 0; lane < PANEL; lane += WIDTH) {
      const Vec score = load(scores.scores + panel * PANEL + lane);
      const Vec high = add(score, error);
      const Mask reachable = reaches(high, limit);
#if !defined(ULTRAMEM_ISA_AVX512)
      if (reachable == 0) continue;
#endif
      const Mask reached = reaches(sub(score, error), limit);
      const Mask rest = reachable & ~reached;
      const uint32_t first = static_cast<uint32_t>(panel * PANEL + lane);
      appendIds(sure, reached, first);
      appendIds(doubtful, rest, first);
      appendValues(upper, rest, high);
      sure += bitCount(reached);
      doubtful += bitCount(rest);
      upper += bitCount(rest);
    }
  }
  into->sureCount = static_cast<size_t>(sure - into->sure);
  into->doubtfulCount = static_cast<size_t>(doubtful - into->doubtful);
}

float kthLargest(float* x, size_t n, size_t k, float low) {
  for (int i = 0; i < WIDTH; i++) x[n + i] = -INFINITE;
  return search(x, (n + WIDTH - 1) / WIDTH, k, 0, low);
}

void boundScores(const float* bounds, const uint32_t* rows, const int32_t* sums, size_t count, float scale, float norm, float residual,
                 float* lower, float* upper) {
  for (size_t i = 0; i < count; i++) {
    const float* bound = bounds + rows[i] * size_t{4};  // RowBound: scale, residual, norm
    const float score = static_cast<float>(sums[i]) * (bound[0] * scale);
    const float error = norm * bound[1] + residual * bound[2];
    lower[i] = score - error;
    upper[i] = score + error;
  }
}

template <int RANK>
ULTRAMEM_INLINE Vec gridVector(const Grid& grid, const float* bent, size_t padded, size_t b) {
  Vec score = load(grid.start + b);
  const size_t rank = RANK < 0 ? grid.rank : RANK;
  for (size_t s = 0; s < rank; s++) score = fma(splat(bent[s]), load(grid.column + s * padded + b), score);
  return score;
}

ULTRAMEM_INLINE size_t paddedColumns(const Grid& grid) { return (grid.columns + 15) / 16 * 16; }

template <int RANK>
float gridThresholdOf(const Grid grid, size_t k, float* rowMaxima) {
  const size_t padded = paddedColumns(grid);
  const size_t groups = groupVectors(grid.rows, k);
  float maxima[GROUP_VECTORS_MAX * WIDTH];
  size_t row = 0;
  for (size_t group = 0; group < groups; group++) {
    const size_t end = grid.rows * (group + 1) / groups;
    Vec groupLargest = splat(-INFINITE);
    for (; row < end; row++) {
      const float* bent = grid.bent + row * grid.rank;
      Vec largest = gridVector<RANK>(grid, bent, padded, 0);
      for (size_t b = WIDTH; b < padded; b += WIDTH) largest = max(gridVector<RANK>(grid, bent, padded, b), largest);
      store(rowMaxima + row * WIDTH, largest);
      groupLargest = max(largest, groupLargest);
    }
    store(maxima + group * WIDTH, groupLargest);
  }
  return searchFromLowest(maxima, groups, k, slackOf(k));
}

float gridThreshold(const Grid& grid, size_t k, float* rowMaxima) {
  switch (grid.rank) {
    case 1: return gridThresholdOf<1>(grid, k, rowMaxima);
    case 2: return gridThresholdOf<2>(grid, k, rowMaxima);
    default: return gridThresholdOf<-1>(grid, k, rowMaxima);
  }
}

// The grid by value: what is appended could otherwise be taken for a change of it.
template <int RANK>
void gridCellsOf(const Grid grid, float threshold, const float* rowMaxima, Cells* into) {
  const size_t padded = paddedColumns(grid);
  const Vec limit = splat(threshold);
  uint32_t* cell = into->cell + into->count;
  float* scores = into->score + into->count;
  for (size_t row = 0; row < grid.rows; row++) {
    if (reaches(load(rowMaxima + row * WIDTH), limit) == 0) continue;
    const float* bent = grid.bent + row * grid.rank;
    for (size_t b = 0; b < padded; b += WIDTH) {
      const Vec score = gridVector<RANK>(grid, bent, padded, b);
      const Mask mask = reaches(score, limit);
      appendIds(cell, mask, static_cast<uint32_t>(row << 16 | b));
      appendValues(scores, mask, score);
      cell += bitCount(mask);
      scores += bitCount(mask);
    }
  }
  into->count = static_cast<size_t>(cell - into->cell);
}

void gridCells(const Grid& grid, float threshold, const float* rowMaxima, Cells* into) {
  switch (grid.rank) {
    case 1: return gridCellsOf<1>(grid, threshold, rowMaxima, into);
    case 2: return gridCellsOf<2>(grid, threshold, rowMaxima, into);
    default: return gridCellsOf<-1>(grid, threshold, rowMaxima, into);
  }
}

void rankByCount(float* x, size_t n, uint32_t* rank) {
#if defined(ULTRAMEM_ISA_AVX512)
  for (size_t i = 0; i < WIDTH; i++) x[n + i] = -INFINITE;
  constexpr size_t AT_ONCE = 6;
  for (size_t i = 0; i < n; i += AT_ONCE * WIDTH) {
    const size_t vectors = (n - i + WIDTH - 1) / WIDTH < AT_ONCE ? (n - i + WIDTH - 1) / WIDTH : AT_ONCE;
    __m512 own[AT_ONCE];
    __m512i larger[AT_ONCE];
#pragma GCC unroll 6
    for (size_t v = 0; v < AT_ONCE; v++) {
      own[v] = load(x + (v < vectors ? i + v * WIDTH : i));
      larger[v] = _mm512_setzero_si512();
    }
    for (size_t j = 0; j < n; j++) {
      const Vec other = splat(x[j]);
#pragma GCC unroll 6
      for (size_t v = 0; v < AT_ONCE; v++)
        larger[v] = _mm512_mask_sub_epi32(larger[v], _mm512_cmp_ps_mask(other, own[v], _CMP_GT_OQ), larger[v], _mm512_set1_epi32(-1));
    }
    for (size_t v = 0; v < vectors; v++) _mm512_storeu_si512(rank + i + v * WIDTH, larger[v]);
  }
#else
  for (size_t i = 0; i < n; i++) rank[i] = 0;
  for (size_t j = 0; j < n; j++) {
    const float other = x[j];
    for (size_t i = 0; i < n; i++) rank[i] += other > x[i];
  }
#endif
}

}  // namespace

extern const SelectKernels selectKernels = {panelErrors,   threshold, survivors,  kthLargest, boundScores,
                                            gridThreshold, gridCells, rankByCount};

}  // namespace ultramem::ULTRAMEM_ISA
