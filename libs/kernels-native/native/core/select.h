#pragma once

#include <cstddef>
#include <cstdint>

#include "core/address.h"
#include "core/grid.h"
#include "core/keys.h"
#include "core/workers.h"

namespace ultramem {

// Queries against all keys of a table; the arrays fit the table's shape, which the caller has checked.
struct ScoreTask {
  const float* query;  // [tokenCount, groupCount, 2, width]
  size_t tokenCount;
  size_t groupCount;
  const uint32_t* groupOfHead;  // [heads], below groupCount
  const float* row;             // u [heads, rank]
  const float* column;          // v [heads, rank]
  size_t k;                     // 1 .. keyCount
};

// The k best keys of every token, head and side, best first: `index` and `refined` as `Candidates` has them. `firstKey` is added to
// key numbers. Throws NonFiniteScore.
void scoreKeys(KeyTable& keys, const ScoreTask& task, uint32_t firstKey, uint32_t* index, float* refined, Workers& workers);

// The winners of every token: the grid of the candidates that `scoreKeys` would give, to the last bit. Throws NonFiniteScore. With
// `addressing` of the winners' virtual indices, `address` as well; false as it returns false.
bool select(KeyTable& keys, const ScoreTask& task, const float* cores, size_t coreCount, const Winners& into, const AddressTask* addressing,
            Workers& workers);

// The grids of given candidates, which are in order. Throws NonFiniteScore.
struct GridTask {
  const uint32_t* index;  // [tokenCount, heads, 2, k]
  const float* refined;   // [tokenCount, heads, 2, k, rank]
  size_t tokenCount;
};
void selectGrid(const GridShape& shape, const GridTask& task, const Winners& into, Workers& workers);

// Time of one thread, roughly.
double scoreNs(const KeyTable& keys, const ScoreTask& task);
double gridNs(const GridShape& shape, size_t tokenCount);

}  // namespace ultramem
