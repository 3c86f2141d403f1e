#pragma once

// Numbers that at least k of many reach.

#include "simd/masks.h"

namespace ultramem::ULTRAMEM_ISA {

constexpr float LOWEST = -3.402823466e38f;
constexpr float INFINITE = __builtin_inff();
// Group maxima per wanted element: more make the threshold tighter and its search longer.
constexpr double GROUPS_PER_ELEMENT = 2.6;
constexpr size_t GROUP_VECTORS_MAX = 4096 / WIDTH;

ULTRAMEM_INLINE float largestLane(Vec v) {
#if defined(ULTRAMEM_ISA_AVX512)
  return _mm512_reduce_max_ps(v);
#else
  float lanes[WIDTH];
  store(lanes, v);
  float largest = lanes[0];
  for (int i = 1; i < WIDTH; i++) largest = lanes[i] > largest ? lanes[i] : largest;
  return largest;
#endif
}

ULTRAMEM_INLINE float smallestLane(Vec v) { return -largestLane(sub(zero(), v)); }

ULTRAMEM_INLINE uint32_t countReaching(const float* x, size_t vectors, float limit) {
  const Vec bound = splat(limit);
  Reaching count;
#pragma GCC unroll 4
  for (size_t i = 0; i < vectors; i++) count.add(load(x + i * WIDTH), bound);
  return count.total();
}

// How many of whole vectors reach each of three limits: three counts take little longer than one, which waits for its sum.
ULTRAMEM_INLINE void countThree(const float* x, size_t vectors, const float* limits, uint32_t* counts) {
  const Vec bound[3] = {splat(limits[0]), splat(limits[1]), splat(limits[2])};
  Reaching reaching[3];
#pragma GCC unroll 2
  for (size_t i = 0; i < vectors; i++) {
    const Vec v = load(x + i * WIDTH);
#pragma GCC unroll 3
    for (int j = 0; j < 3; j++) reaching[j].add(v, bound[j]);
  }
  for (int j = 0; j < 3; j++) counts[j] = reaching[j].total();
}

// The largest number found that at least k elements of whole vectors reach, stopping at the first that at most k + slack reach.
// At least k reach `low`; `high` is the largest of all. The number is always one that was counted, so ties and rounding in the search
// cost tightness, never correctness.
static float search(const float* x, size_t vectors, size_t k, size_t slack, float low, float high) {
  if (!(high > low)) return low;
  const float ends[3] = {low, high, high};
  uint32_t reach[3];
  countThree(x, vectors, ends, reach);
  uint32_t reachLow = reach[0];
  uint32_t reachHigh = reach[1];
  if (reachLow <= k + slack) return low;
  if (reachHigh >= k) return high;
  const float target = static_cast<float>(k) + 0.5f * static_cast<float>(slack);
  for (int turn = 0; turn < 64; turn++) {
    // Interpolation first, which scores that thin out upwards satisfy in a few turns; then halving, which always ends.
    float part = 0.5f;
    float aside = 0.25f;
    if (turn < 6) {
      part = (static_cast<float>(reachLow) - target) / static_cast<float>(reachLow - reachHigh);
      if (turn == 0) part *= 0.7f;
      part = part < 0.1f ? 0.1f : part > 0.9f ? 0.9f : part;
      aside = 0.3f * (part < 0.5f ? part : 1.0f - part);
      if (turn == 0) aside = 0.3f * part;
    }
    const float width = high - low;
    const float limits[3] = {low + width * (part - aside), low + width * part, low + width * (part + aside)};
    countThree(x, vectors, limits, reach);
    bool moved = false;
    for (int j = 0; j < 3; j++) {
      if (!(limits[j] > low && limits[j] < high)) continue;
      moved = true;
      if (reach[j] >= k) {
        low = limits[j];
        reachLow = reach[j];
      } else {
        high = limits[j];
        reachHigh = reach[j];
      }
    }
    if (!moved || reachLow <= k + slack) break;
  }
  return low;
}

// As `search`, among all; LOWEST where fewer than k are finite. -infinity is padding.
static float searchFromLowest(const float* x, size_t vectors, size_t k, size_t slack) {
  Vec lows = splat(INFINITE);
  Vec highs = splat(-INFINITE);
  for (size_t i = 0; i < vectors; i++) {
    const Vec v = load(x + i * WIDTH);
    highs = max(v, highs);
    lows = min(whereLess(v, splat(LOWEST), splat(INFINITE), v), lows);
  }
  const float low = smallestLane(lows);
  return countReaching(x, vectors, low) < k ? LOWEST : search(x, vectors, k, slack, low, largestLane(highs));
}

ULTRAMEM_INLINE size_t groupVectors(size_t vectors, size_t k) {
  size_t groups = static_cast<size_t>(static_cast<double>(k) * GROUPS_PER_ELEMENT / WIDTH) + 1;
  if (groups > GROUP_VECTORS_MAX) groups = GROUP_VECTORS_MAX;
  return groups < vectors ? groups : vectors;
}

ULTRAMEM_INLINE size_t slackOf(size_t k) { return k / 16 + 1; }

}  // namespace ultramem::ULTRAMEM_ISA
