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

// Keys in ascending order, in two lists that do not overlap.
struct Survivors {
  uint32_t* sure;      // keys whose lower bound reaches the threshold
  size_t sureCount;
  uint32_t* doubtful;  // keys of which only the upper bound does
  float* upper;        // their upper bounds
  size_t doubtfulCount;
};

// The grid of one token and head: rows a, columns b, score[a, b] = sum over s of bent[a, s] column[s, b].
struct Grid {
  const float* bent;     // [rows, rank]
  const float* column;   // [rank, columns padded to 16]
  const float* start;    // [columns padded to 16]: 0, and -infinity for padding; or the score itself where rank is 0
  size_t rows;
  size_t columns;
  size_t rank;
};

struct Cells {
  uint32_t* cell;  // a << 16 | b, ascending
  float* score;
  size_t count;
};

// Choosing the largest of many. A threshold is the k-th largest of the maxima of groups, which the k-th largest of all can only
// exceed: no sort, no sample, and nothing is lost when all scores are equal.
struct SelectKernels {
  // errors[i] = norm residuals[i] + residual norms[i], for `count` padded to 16.
  void (*panelErrors)(const float* residuals, const float* norms, float norm, float residual, size_t count, float* errors);
  // A number that the lower bounds of at least k keys reach; the lowest finite one where there are fewer than k.
  float (*threshold)(const BoundedScores& scores, size_t k);
  // Appends to both lists, which have room for all keys and APPEND_SLACK.
  void (*survivors)(const BoundedScores& scores, float threshold, Survivors* into);
  // The largest number found that at least k of the n reach: the k-th largest unless several are equal or next to each other.
  // At least k reach `low`, where the search begins. x has room for 16 elements behind its end, which are overwritten.
  float (*kthLargest)(float* x, size_t n, size_t k, float low);
  // Writes lower and upper bounds of the scores that the whole numbers of `dotWords` give. `bounds` are RowBound.
  void (*boundScores)(const float* bounds, const uint32_t* rows, const int32_t* sums, size_t count, float scale, float norm,
                      float residual, float* lower, float* upper);
  // A number that at least k cells reach; k <= rows * columns. `rowMaxima` [rows, 16] is scratch and input of `gridCells`.
  float (*gridThreshold)(const Grid& grid, size_t k, float* rowMaxima);
  // Appends cells that reach the threshold; room for all of them and APPEND_SLACK.
  void (*gridCells)(const Grid& grid, float threshold, const float* rowMaxima, Cells* into);
  // rank[i] = how many of x are larger than x[i]; x and rank have room up to the next multiple of 16, which is overwritten.
  void (*rankByCount)(float* x, size_t n, uint32_t* rank);
};

ULTRAMEM_TABLES(SelectKernels, selectKernels)

}  // namespace ultramem
