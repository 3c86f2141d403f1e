#include "simd/select.h"

#include "simd/search.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr size_t PANEL = 32;

float panelErrors(const float* residuals, const float* norms, float norm, float residual, size_t count, float* errors) {
  Vec largest = zero();
  for (size_t i = 0; i < count; i += WIDTH) {
    const Vec error = fma(load(residuals + i), splat(norm), mul(load(norms + i), splat(residual)));
    store(errors + i, error);
    largest = max(error, largest);
  }
  return largestLane(largest);
}

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

// What is passed by value cannot be taken for changed by what is appended.
ULTRAMEM_INLINE Survivors survivorsOf(const BoundedScores scores, float largestError, float threshold, size_t k, Survivors found) {
  const Vec limit = splat(threshold);
  size_t count = 0;
  for (size_t panel = 0; panel < scores.panelCount; panel++) {
    const Vec error = splat(scores.errors[panel]);
#pragma GCC unroll 2
    for (size_t lane = 0; lane < PANEL; lane += WIDTH) {
      const Vec high = add(load(scores.scores + panel * PANEL + lane), error);
      const Mask reachable = reaches(high, limit);
#if !defined(ULTRAMEM_ISA_AVX512) && !defined(ULTRAMEM_ISA_AVX2)
      if (reachable == 0) continue;
#endif
      appendIds(found.doubtful + count, reachable, static_cast<uint32_t>(panel * PANEL + lane));
      appendValues(found.upper + count, reachable, high);
      count += bitCount(reachable);
    }
  }
  // The lower bound of whoever reaches this reaches the threshold. Where errors differ they may be fewer than k: then all are taken.
  Vec sureLimit = splat(threshold + 1.8f * largestError);
  size_t reaching = 0;
  for (size_t i = 0; i < count; i += WIDTH) reaching += bitCount(reaches(load(found.upper + i), sureLimit) & firstOf(count - i));
  if (reaching < k) sureLimit = limit;
  size_t sure = found.sureCount;
  size_t doubtful = 0;
  for (size_t i = 0; i < count; i += WIDTH) {
    const Mask there = firstOf(count - i);
    const Mask reached = reaches(load(found.upper + i), sureLimit) & there;
    const Mask rest = there & ~reached;
    moveKept(found.doubtful + i, found.sure + sure, reached, true);
    moveKept(found.doubtful + i, found.doubtful + doubtful, rest, true);
    moveKept(found.upper + i, found.upper + doubtful, rest, true);
    sure += bitCount(reached);
    doubtful += bitCount(rest);
  }
  found.sureCount = sure;
  found.doubtfulCount = doubtful;
  return found;
}

void survivors(const BoundedScores& scores, float largestError, float threshold, size_t k, Survivors* into) {
  *into = survivorsOf(scores, largestError, threshold, k, *into);
}

float kthLargest(float* x, size_t n, size_t k, size_t slack, float low) {
  for (int i = 0; i < WIDTH; i++) x[n + i] = -INFINITE;
  const size_t vectors = (n + WIDTH - 1) / WIDTH;
  Vec highs = splat(-INFINITE);
  for (size_t i = 0; i < vectors; i++) highs = max(load(x + i * WIDTH), highs);
  return search(x, vectors, k, slack, low, largestLane(highs));
}

typedef float Four __attribute__((vector_size(16)));

ULTRAMEM_INLINE Four loadFour(const float* p) {
  Four four;
  __builtin_memcpy(&four, p, sizeof four);
  return four;
}

void boundScores(const float* bounds, const uint32_t* rows, const float* sums, size_t count, float scale, float norm, float residual,
                 float* lower, float* upper) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    // RowBound: scale, residual, norm. Four of them become a vector of each.
    Four bound[4];
    for (size_t j = 0; j < 4; j++) bound[j] = loadFour(bounds + rows[i + j] * size_t{4});
    const Four low01 = __builtin_shufflevector(bound[0], bound[1], 0, 4, 1, 5);
    const Four low23 = __builtin_shufflevector(bound[2], bound[3], 0, 4, 1, 5);
    const Four high01 = __builtin_shufflevector(bound[0], bound[1], 2, 6, 3, 7);
    const Four high23 = __builtin_shufflevector(bound[2], bound[3], 2, 6, 3, 7);
    const Four scales = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    const Four residuals = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    const Four norms = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    const Four score = loadFour(sums + i) * (scales * scale);
    const Four error = residuals * norm + norms * residual;
    const Four low = score - error;
    const Four high = score + error;
    __builtin_memcpy(lower + i, &low, sizeof low);
    __builtin_memcpy(upper + i, &high, sizeof high);
  }
  for (; i < count; i++) {
    const float* bound = bounds + rows[i] * size_t{4};
    const float score = sums[i] * (bound[0] * scale);
    const float error = norm * bound[1] + residual * bound[2];
    lower[i] = score - error;
    upper[i] = score + error;
  }
}

void boundPanels(const BoundedScores& scores, const uint32_t* keys, size_t count, float* lower, float* upper) {
  for (size_t i = 0; i < count; i++) {
    const float score = scores.scores[keys[i]];
    const float error = scores.errors[keys[i] / PANEL];
    lower[i] = score - error;
    upper[i] = score + error;
  }
}

size_t keep(const Entries& from, size_t count, float limit, const Entries& to) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i += WIDTH) {
    const Mask mask = reaches(load(from.upper + i), splat(limit)) & firstOf(count - i);
    const bool isWhole = i + WIDTH <= count;
    moveKept(from.keys + i, to.keys + kept, mask, isWhole);
    moveKept(from.lower + i, to.lower + kept, mask, isWhole);
    moveKept(from.upper + i, to.upper + kept, mask, isWhole);
    kept += bitCount(mask);
  }
  return kept;
}

void middles(const float* lower, const float* upper, size_t count, float* into, float* widest, float* largest) {
  Vec wide = zero();
  Vec large = zero();
  for (size_t i = 0; i < count; i += WIDTH) {
    const size_t left = count - i < WIDTH ? count - i : WIDTH;
    const Vec low = loadFirst(lower + i, left);
    const Vec high = loadFirst(upper + i, left);
    const Vec middle = fma(splat(0.5f), low, mul(splat(0.5f), high));
    wide = max(sub(high, low), wide);
    large = max(abs(middle), large);
    storeFirst(into + i, middle, left);
  }
  *widest = largestLane(wide);
  *largest = largestLane(large);
}

void subtract(float* x, const float* y, float factor, size_t count) {
  for (size_t i = 0; i < count; i += WIDTH) {
    const size_t left = count - i < WIDTH ? count - i : WIDTH;
    storeFirst(x + i, fma(splat(-factor), loadFirst(y + i, left), loadFirst(x + i, left)), left);
  }
}

float scale(float* x, float factor, size_t count) {
  Vec large = zero();
  for (size_t i = 0; i < count; i += WIDTH) {
    const size_t left = count - i < WIDTH ? count - i : WIDTH;
    const Vec scaled = mul(loadFirst(x + i, left), splat(factor));
    large = max(abs(scaled), large);
    storeFirst(x + i, scaled, left);
  }
  return largestLane(large);
}

}  // namespace

extern const SelectKernels selectKernels = {panelErrors, threshold, survivors, kthLargest, boundScores,
                                            boundPanels, keep,      middles,   subtract,   scale};

}  // namespace ultramem::ULTRAMEM_ISA
