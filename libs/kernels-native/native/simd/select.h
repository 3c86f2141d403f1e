#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/isa.h"

namespace ultramem {

// Elements that a function may write beyond the end of what it appends.
constexpr size_t APPEND_SLACK = 32;

// Scores of panels of 32 keys. The true score of a key lies within its panel's error of its score; padding keys have -infinity.
struct BoundedScores {
  const float* scores;  // [panelCount, 32]
  const float* errors;  // [panelCount]
  size_t panelCount;
};

// Keys whose upper bound reaches a threshold, in ascending order, in two lists that do not overlap: those that are likely to lie
// above it, at least k if the lower bounds of k reach it, and the others with their upper bounds.
struct Survivors {
  uint32_t* sure;
  size_t sureCount;
  uint32_t* doubtful;
  float* upper;
  size_t doubtfulCount;
};

// Keys with bounds of their scores.
struct Entries {
  uint32_t* keys;
  float* lower;
  float* upper;
};

// Choosing the largest of many. A threshold is the k-th largest of the maxima of groups, which the k-th largest of all can only
// exceed: no sort, no sample, and nothing is lost when all scores are equal.
struct SelectKernels {
  // errors[i] = norm residuals[i] + residual norms[i], for `count` padded to 16. Returns the largest.
  float (*panelErrors)(const float* residuals, const float* norms, float norm, float residual, size_t count, float* errors);
  // A number that the lower bounds of at least k keys reach; the lowest finite one where there are fewer than k.
  float (*threshold)(const BoundedScores& scores, size_t k);
  // Appends to `sure`, overwrites the rest; every list has room for all keys and APPEND_SLACK.
  void (*survivors)(const BoundedScores& scores, float largestError, float threshold, size_t k, Survivors* into);
  // The largest number found that at least k of the n reach and, if it can be told apart, at most k + slack. At least k reach `low`,
  // where the search begins. x has room for 16 elements behind its end, which are overwritten.
  float (*kthLargest)(float* x, size_t n, size_t k, size_t slack, float low);
  // Writes lower and upper bounds of the scores that the sums of `dotWords` give. `bounds` are RowBound.
  void (*boundScores)(const float* bounds, const uint32_t* rows, const float* sums, size_t count, float scale, float norm,
                      float residual, float* lower, float* upper);
  // As `boundScores` for scores of panels.
  void (*boundPanels)(const BoundedScores& scores, const uint32_t* keys, size_t count, float* lower, float* upper);
  // Moves the entries whose upper bound reaches the limit to `to`, which lies at or before `from`, and returns how many.
  size_t (*keep)(const Entries& from, size_t count, float limit, const Entries& to);
  // The middles of bounds, the widest distance of two and the largest magnitude of a middle.
  void (*middles)(const float* lower, const float* upper, size_t count, float* into, float* widest, float* largest);
  // x -= factor y
  void (*subtract)(float* x, const float* y, float factor, size_t count);
  // x *= factor; returns the largest magnitude.
  float (*scale)(float* x, float factor, size_t count);
};

ULTRAMEM_TABLES(SelectKernels, selectKernels)

}  // namespace ultramem
