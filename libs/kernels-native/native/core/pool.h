#pragma once

#include <cstddef>
#include <cstdint>

#include "core/value-table.h"
#include "core/workers.h"

namespace ultramem {

// A ragged batch: entries entryStart[t] .. entryStart[t + 1] - 1 belong to token t. Checked by whoever makes it: entryStart begins
// with 0 and never goes back.
struct Entries {
  size_t tokenCount;
  const uint32_t* entryStart;  // [tokenCount + 1]
  const uint32_t* slot;        // [entries]

  size_t count() const { return entryStart[tokenCount]; }
};

// The gate of v2: weights are multiplied by the (activated) dot product of the slot's pre-value row and the token's query.
struct PreGate {
  const ValueTable* table;  // whole rows
  const float* query;       // [tokenCount, table width]
  bool activation;
};

struct PoolRequest {
  Entries entries;
  const uint8_t* block;  // [entries]
  uint32_t blockCount;
  const float* weight;  // [entries, coreCount]
  uint32_t coreCount;   // divides the table's full width
  const PreGate* pre;   // or nullptr
};

// The first entry that cannot be looked up, or -1.
int64_t firstSlotOutside(const ValueTable& table, const Entries& entries);
int64_t firstBlockOutside(const PoolRequest& request);

// Weighted sums of rows per token and block into out [tokenCount, blockCount, table width]: f64, in the order of the entries, rounded
// once. All slots and blocks must be inside.
void pool(const ValueTable& table, const PoolRequest& request, float* out, Workers& workers);

// Dot products of rows with their tokens' queries [tokenCount, table width] into out [entries]. All slots must be inside.
void dotRows(const ValueTable& table, const Entries& entries, const float* query, double* out, Workers& workers);

// Time on one thread, roughly.
double poolNs(const ValueTable& table, const PoolRequest& request);
double dotRowsNs(const ValueTable& table, size_t entryCount);

}  // namespace ultramem
