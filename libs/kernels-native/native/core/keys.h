#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "amx/score.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/workers.h"

namespace ultramem {

constexpr size_t SIDES = 2;
// Keys that are scored together; their bytes lie side by side, four features of each.
constexpr size_t PANEL_KEYS = 32;
constexpr size_t QUAD = 4;

constexpr size_t roundUp(size_t count, size_t unit) { return (count + unit - 1) / unit * unit; }

// Keys [heads, 2, keyCount, rank, width]. A list is one head and side: list = head * 2 + side.
struct KeyShape {
  size_t headCount;
  size_t keyCount;
  size_t width;
  size_t rank;

  size_t listCount() const { return headCount * SIDES; }
  // Floats from one exact row to the next: whole groups of the eight sums of a dot product.
  size_t rowStride() const { return roundUp(width, 8); }
  size_t quadCount() const { return roundUp(width, QUAD) / QUAD; }
  size_t panelCount() const { return roundUp(keyCount, PANEL_KEYS) / PANEL_KEYS; }
  size_t paddedKeyCount() const { return panelCount() * PANEL_KEYS; }
  // Whole numbers from one 16-bit row to the next.
  size_t wordStride() const { return roundUp(width, 32); }
  // Whether `PackedList::split` is there: matrix units multiply 16-bit numbers as fast as vector units those of 8 bits.
  bool isSplit() const { return isa() == Isa::amx && width >= amx::WIDTH_MIN && width <= amx::WIDTH_MAX; }
};

// What is known about a row x of which only whole numbers w are kept, x ~ scale w: for every query q with its own whole numbers,
// scale and residual (`PreparedQuery`), the score computed from the whole numbers lies within
//   |q| residual + |q's residual| norm
// of the score that the reference computes. The proof is above `quantise` in keys.cc.
struct RowBound {
  float scale;
  float residual;
  float norm;
  float unused;
};

// One list in whole numbers, folded for its collapse vector: folded = sum over ranks of vector[r] * row[r].
struct PackedList {
  // Nothing is known about rounding errors (numbers too large, a vector of zeros): every score is computed exactly.
  bool exactOnly = true;
  // The rank whose refined score is derived from the folded score and those of the other ranks: that of vector's largest entry.
  size_t derivedRank = 0;
  std::vector<float> vector;           // [rank]
  const uint8_t* panels = nullptr;     // [panelCount, quadCount, PANEL_KEYS, QUAD], whole numbers -127 .. 127 plus 128
  const float* scales = nullptr;       // [paddedKeyCount]
  const float* residuals = nullptr;    // [panelCount, padded to 16], the largest of each panel's keys
  const float* norms = nullptr;        // as residuals
  const int16_t* folded = nullptr;     // [keyCount, wordStride]
  const RowBound* foldedBounds = nullptr;  // [keyCount]
  // With `KeyShape::isSplit`, `folded` again in tiles of keys (amx/score.h), with what its bounds hold laid out as for `panels`.
  const int8_t* split = nullptr;
  const float* splitScales = nullptr;
  const float* splitResiduals = nullptr;
  const float* splitNorms = nullptr;
  const int16_t* others = nullptr;     // [keyCount, rank - 1, wordStride], the ranks other than the derived one
  const RowBound* otherBounds = nullptr;   // [keyCount, rank - 1]
};

struct PackedKeys {
  std::vector<float> row;     // u [heads, rank]
  std::vector<float> column;  // v [heads, rank]
  std::vector<PackedList> lists;
  Memory memory;
};

class KeyTable {
 public:
  explicit KeyTable(const KeyShape& shape);

  // Takes rows firstRow .. of the flat [heads * 2 * keyCount * rank, width].
  void fill(size_t firstRow, size_t rowCount, const float* rows);

  const KeyShape& shape() const { return shape_; }
  // [keyCount, rank, rowStride] of one list; what lies beyond the width is 0.
  const float* rows(size_t list) const { return memory_.as<float>() + list * shape_.keyCount * shape_.rank * shape_.rowStride(); }

  bool isPacked(const float* row, const float* column) const;
  // The keys folded for these collapse vectors [heads, rank]. Made at the first call and kept until other vectors come.
  std::shared_ptr<const PackedKeys> packed(const float* row, const float* column, Workers& workers);

  // With the packed form, which is there after the first selection.
  size_t residentBytes() const;

 private:
  KeyShape shape_;
  Memory memory_;
  mutable std::mutex mutex_;
  std::shared_ptr<const PackedKeys> packed_;
};

}  // namespace ultramem
