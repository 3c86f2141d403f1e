#pragma once

#include <cstddef>
#include <vector>

#include "core/workers.h"

namespace ultramem {

// Causal attention of the last `queryCount` of one sequence's `keyCount` positions; head h takes key head h / (headCount / kvHeadCount).
struct Attention {
  const float* query;   // [queryCount, headCount, headWidth]
  const float* keys;    // [keyCount, kvHeadCount, headWidth]
  const float* values;  // the same shape
  const float* slopes;  // [headCount], or nullptr without alibi
  float* out;           // [queryCount, headCount, headWidth]
  size_t queryCount;
  size_t keyCount;
  size_t headCount;
  size_t kvHeadCount;
  size_t headWidth;
};

// The sequences of a batch, with as many heads. Softmax with a running maximum, in f32; sums of exponentials in f64. A query's result has the same bits alone and among others, on
// any number of threads: keys are taken in fixed blocks, and fixed spans of blocks are merged in order.
void attend(const std::vector<Attention>& batch, Workers& workers);

// Time on one thread, roughly.
double attendNs(const std::vector<Attention>& batch);

}  // namespace ultramem
