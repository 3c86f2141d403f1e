#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "core/memory.h"
#include "simd/grid.h"
#include "simd/select.h"

namespace ultramem {

// A cell of a grid: row a, column b, which are below 65536.
constexpr uint32_t cellOf(size_t row, size_t column) { return static_cast<uint32_t>(row << 16 | column); }
constexpr size_t rowOf(uint32_t cell) { return cell >> 16; }
constexpr size_t columnOf(uint32_t cell) { return cell & 0xffff; }

// A score is NaN: there is no order.
struct NonFiniteScore : std::runtime_error {
  NonFiniteScore() : std::runtime_error("a score is NaN") {}
};

// What all grids of one call have in common.
struct GridShape {
  size_t headCount;
  size_t keyCount;
  size_t rank;
  size_t k;
  size_t coreCount;
  const float* cores;  // [coreCount, heads, rank, rank], or nullptr: row score plus column score (rank and coreCount are 1)

  size_t columnStride() const { return (k + 15) / 16 * 16; }
};

// Where the winners of all tokens go, [tokenCount, heads, k].
struct Winners {
  double* virtualIndex;
  float* scores;     // [.., coreCount]; not written without cores
  float* rankScore;
  double* sums;      // the exact sums that ranked the winners, or nullptr
};

// Refined scores of one side's k candidates, each at most `error[r]` from the reference's.
struct ApproximateSide {
  const float* refined;  // [rank, columnStride]
  const double* error;   // [rank]
  const float* largest;  // [rank], of their magnitudes
};

// The reference's own refined scores of one side's candidates. Only those of evaluated cells need be there.
struct ExactSide {
  const uint32_t* keys;   // [k]
  const float* refined;   // [k, rank]
  const float* vector;    // [rank] collapses refined scores and so gives the candidates' order; nullptr when they are in order
};

// The grids of one head. Memory that grows to what a grid needs: keep one per thread.
class GridSelection {
 public:
  // Prepares for this head of the shape.
  void begin(const GridShape& shape, size_t head);

  // Cells (`cellOf`) that may be among the k best, in ascending order, appended to `into`. False where no bound is known (too
  // large, not finite): every cell may be.
  bool findCells(const ApproximateSide& rows, const ApproximateSide& columns, LineVector<uint32_t>& into);

  // The k best of these cells, which include the k best of all, as winners `entry .. entry + k - 1`.
  void choose(const uint32_t* cells, size_t cellCount, const ExactSide& rows, const ExactSide& columns, size_t entry,
              const Winners& into);

  // As `choose` from all cells.
  void chooseFromAll(const ExactSide& rows, const ExactSide& columns, size_t entry, const Winners& into);

 private:
  double errorOf(const ApproximateSide& rows, const ApproximateSide& columns) const;
  void write(const uint32_t* cells, size_t cellCount, const ExactSide& rows, const ExactSide& columns, size_t entry,
             const Winners& into);
  void evaluate(const uint32_t* cells, size_t cellCount, const ExactSide& rows, const ExactSide& columns);
  void order(const uint32_t* cells, size_t cellCount, const ExactSide& rows, const ExactSide& columns);

  GridShape shape_{};
  size_t head_ = 0;
  const GridKernels* kernels_ = nullptr;
  const SelectKernels* select_ = nullptr;
  LineVector<float> core_;       // [rank, rank], summed over cores
  LineVector<double> absolute_;  // [rank, rank], absolute values summed over cores
  LineVector<float> start_;      // [columnStride]
  LineVector<float> bent_;       // [rank, columnStride]
  LineVector<float> rowMaxima_;  // [k, 16]
  LineVector<uint32_t> found_;
  LineVector<float> approximate_;
  LineVector<float> ones_;       // [columnStride], without cores
  LineVector<uint32_t> all_;
  LineVector<double> perCore_;  // [cells, coreCount]
  LineVector<double> sums_;     // [cells]
  LineVector<float> keys_;
  LineVector<uint32_t> ranks_;
  LineVector<uint32_t> order_;
};

}  // namespace ultramem
