#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/workers.h"

namespace ultramem {

// What one shard pooled: its columns of `count` tokens of the batch.
struct MergePart {
  const uint32_t* token;  // [count], ascending
  size_t count;
  size_t columnBegin;  // columnBegin <= columnEnd <= width
  size_t columnEnd;
  const float* pooled;  // [count, blockCount, columnEnd - columnBegin]
};

struct MergeTask {
  std::vector<MergePart> parts;
  size_t tokenCount;  // below 2^32
  size_t blockCount;
  size_t width;
  float* out;  // [tokenCount, blockCount, width]
};

// Parts of the same columns are added in their order, in f64, and rounded once; other column ranges lie beside each other. The bits of
// libs/kernels/src/reference/merge-partials.ts. Token numbers are compared and nothing else: whatever they are, or become meanwhile,
// nothing outside the arrays is touched.
void mergePartials(const MergeTask& task, Workers& workers);

// Time of one thread, roughly.
double mergeNs(const MergeTask& task);

}  // namespace ultramem
