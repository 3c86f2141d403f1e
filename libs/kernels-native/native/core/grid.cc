#include "core/grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ultramem {
namespace {

// Cells that are ranked by comparing each with each, without branches; more of them are sorted.
constexpr size_t COUNTED_MAX = 640;
// Ranks beyond which no bound is known.
constexpr size_t RANK_MAX = 16;
// The largest sum of magnitudes for which no f32 of the grid overflows.
constexpr double MAGNITUDE_MAX = 0x1p120;

double collapsed(const ExactSide& side, size_t candidate, size_t rank) {
  double sum = 0;
  for (size_t r = 0; r < rank; r++) sum += static_cast<double>(side.refined[candidate * rank + r]) * side.vector[r];
  return sum;
}

// Whether candidate a stands before b in the reference's order of candidates.
bool candidateBefore(const ExactSide& side, size_t a, size_t b, size_t rank) {
  if (side.vector == nullptr) return a < b;
  const double scoreA = collapsed(side, a, rank);
  const double scoreB = collapsed(side, b, rank);
  return scoreA > scoreB || (scoreA == scoreB && side.keys[a] < side.keys[b]);
}

}  // namespace

void GridSelection::begin(const GridShape& shape, size_t head) {
  shape_ = shape;
  head_ = head;
  kernels_ = &ULTRAMEM_PICK(gridKernels);
  select_ = &ULTRAMEM_PICK(selectKernels);
  const size_t rank = shape.rank;
  core_.assign(rank * rank, 0);
  absolute_.assign(rank * rank, 0);
  for (size_t i = 0; i < rank * rank; i++) {
    double sum = 0;
    for (size_t c = 0; shape.cores != nullptr && c < shape.coreCount; c++) {
      const double entry = shape.cores[(c * shape.headCount + head) * rank * rank + i];
      sum += entry;
      absolute_[i] += std::fabs(entry);
    }
    core_[i] = static_cast<float>(sum);
  }
  start_.assign(shape.columnStride(), -std::numeric_limits<float>::infinity());
  std::fill_n(start_.begin(), shape.k, 0.0f);
  bent_.resize(shape.columnStride() * rank);
  rowMaxima_.resize(shape.k * 16);
  found_.resize(shape.k * shape.k + APPEND_SLACK);
  approximate_.resize(found_.size());
  if (shape.cores == nullptr) ones_.assign(shape.columnStride(), 1.0f);
}

// A bound of |the reference's sum of a cell - its f32 approximation|. With S the approximate and s the reference's refined scores,
// |s - S| <= e, C the core's entries, B the sum of their magnitudes over cores, and M the largest magnitude of S:
// |s_r C s'_s - S_r C S'_s| <= B (M_r e'_s + e_r M'_s + e_r e'_s). Rounding: the summed core 2^-24 B, the f32 sums over r and s
// (2 rank + 2) 2^-24, the reference's f64 sums less than 2^-40 for cores and ranks of any sane number, all relative to
// B (M + e)(M' + e'); twice that is taken. What is denormal adds less than 2^-120 times the scores it is multiplied with.
double GridSelection::errorOf(const ApproximateSide& rows, const ApproximateSide& columns) const {
  const size_t rank = shape_.rank;
  double error = 0;
  double magnitude = 0;
  double floor = 1;
  for (size_t r = 0; r < rank; r++) {
    const double rowLargest = rows.largest[r];
    floor += rowLargest + columns.largest[r];
    for (size_t s = 0; s < rank; s++) {
      const double columnLargest = columns.largest[s];
      // Without cores a sum has two terms with factors 1.
      const double weight = absolute_[r * rank + s] + 0x1p-126;  // cores that are denormal round absolutely
      const double whole = shape_.cores == nullptr ? rowLargest + rows.error[r] + columnLargest + columns.error[s]
                                                   : weight * (rowLargest + rows.error[r]) * (columnLargest + columns.error[s]);
      magnitude += whole;
      error += whole * static_cast<double>(2 * rank + 4) * 0x1p-23;
      error += shape_.cores == nullptr ? rows.error[r] + columns.error[s]
                                       : weight * (rowLargest * columns.error[s] + rows.error[r] * (columnLargest + columns.error[s]));
    }
  }
  if (!(magnitude < MAGNITUDE_MAX)) return std::numeric_limits<double>::infinity();
  return error + floor * 0x1p-120;
}

bool GridSelection::findCells(const ApproximateSide& rows, const ApproximateSide& columns, LineVector<uint32_t>& into) {
  const size_t k = shape_.k;
  const size_t rank = shape_.rank;
  const size_t stride = shape_.columnStride();
  if (rank > RANK_MAX) return false;
  const double error = errorOf(rows, columns);
  if (!std::isfinite(error)) return false;
  Grid grid{bent_.data(), columns.refined, start_.data(), k, stride, rank};
  if (shape_.cores == nullptr) {
    // Row score times 1, plus the column score.
    std::copy_n(columns.refined, k, start_.begin());
    grid.bent = rows.refined;
    grid.column = ones_.data();
  } else {
    kernels_->bend(rows.refined, core_.data(), stride, rank, bent_.data());
  }
  // At least k cells reach the threshold, so the k-th largest true sum is at least threshold - error, which cells below
  // threshold - 2 error cannot reach. The subtraction rounds: a little more is taken away.
  const auto limitOf = [error](float threshold) {
    return std::nextafter(static_cast<float>(static_cast<double>(threshold) - 2 * error), -std::numeric_limits<float>::max());
  };
  const float threshold = kernels_->threshold(grid, k, rowMaxima_.data());
  Cells found{found_.data(), approximate_.data(), 0};
  kernels_->cells(grid, limitOf(threshold), rowMaxima_.data(), &found);
  kernels_->keep(&found, limitOf(select_->kthLargest(found.score, found.count, k, 0, threshold)));
  into.insert(into.end(), found.cell, found.cell + found.count);
  return true;
}

void GridSelection::evaluate(const uint32_t* cells, size_t cellCount, const ExactSide& rows, const ExactSide& columns) {
  const size_t rank = shape_.rank;
  const size_t coreCount = shape_.coreCount;
  sums_.resize(cellCount);
  if (shape_.cores == nullptr) {
    for (size_t i = 0; i < cellCount; i++)
      sums_[i] = static_cast<double>(rows.refined[rowOf(cells[i])]) + static_cast<double>(columns.refined[columnOf(cells[i])]);
    return;
  }
  perCore_.resize(cellCount * coreCount);
  const float* cores = shape_.cores + head_ * rank * rank;
  kernels_->sum({cells, cellCount, rows.refined, columns.refined, cores, shape_.headCount * rank * rank, coreCount, rank, perCore_.data(),
                 sums_.data()});
}

// order_[0 .. k - 1]: the best cells, best first. Larger sums first; equal sums by the candidates' order, rows first.
void GridSelection::order(const uint32_t* cells, size_t cellCount, const ExactSide& rows, const ExactSide& columns) {
  const size_t k = shape_.k;
  order_.resize(std::max(cellCount, k) + 1);
  if (cellCount <= COUNTED_MAX) {
    // Sums that differ as f32 are in the right order. Those that do not share a place, which leaves another free or the last one to
    // too many; then everything is sorted below.
    keys_.resize(COUNTED_MAX + 16);
    ranks_.resize(COUNTED_MAX + 16);
    for (size_t i = 0; i < cellCount; i++) keys_[i] = static_cast<float>(sums_[i]);
    kernels_->rankByCount(keys_.data(), cellCount, ranks_.data());
    constexpr uint32_t FREE = std::numeric_limits<uint32_t>::max();
    std::fill_n(order_.begin(), k, FREE);
    size_t placed = 0;
    for (size_t i = 0; i < cellCount; i++) {
      order_[std::min<size_t>(ranks_[i], k)] = static_cast<uint32_t>(i);
      placed += ranks_[i] < k;
    }
    const auto end = order_.begin() + static_cast<ptrdiff_t>(k);
    if (placed == k && std::find(order_.begin(), end, FREE) == end) return;
  }
  for (size_t i = 0; i < cellCount; i++) order_[i] = static_cast<uint32_t>(i);
  const auto before = [&](uint32_t i, uint32_t j) {
    if (sums_[i] != sums_[j]) return sums_[i] > sums_[j];
    const size_t rowI = rowOf(cells[i]);
    const size_t rowJ = rowOf(cells[j]);
    if (rowI != rowJ) return candidateBefore(rows, rowI, rowJ, shape_.rank);
    const size_t columnI = columnOf(cells[i]);
    const size_t columnJ = columnOf(cells[j]);
    return columnI != columnJ && candidateBefore(columns, columnI, columnJ, shape_.rank);
  };
  std::partial_sort(order_.begin(), order_.begin() + static_cast<ptrdiff_t>(k), order_.begin() + static_cast<ptrdiff_t>(cellCount), before);
}

void GridSelection::choose(const uint32_t* cells, size_t cellCount, const ExactSide& rows, const ExactSide& columns, size_t entry,
                           const Winners& into) {
  evaluate(cells, cellCount, rows, columns);
  write(cells, cellCount, rows, columns, entry, into);
}

void GridSelection::write(const uint32_t* cells, size_t cellCount, const ExactSide& rows, const ExactSide& columns, size_t entry,
                          const Winners& into) {
  order(cells, cellCount, rows, columns);
  const size_t k = shape_.k;
  const size_t coreCount = shape_.coreCount;
  for (size_t j = 0; j < k; j++) {
    const size_t i = order_[j];
    const size_t row = rowOf(cells[i]);
    const size_t column = columnOf(cells[i]);
    into.virtualIndex[entry + j] = static_cast<double>(rows.keys[row]) * static_cast<double>(shape_.keyCount) + columns.keys[column];
    into.rankScore[entry + j] = static_cast<float>(sums_[i]);
    if (into.sums != nullptr) into.sums[entry + j] = sums_[i];
    for (size_t c = 0; shape_.cores != nullptr && c < coreCount; c++)
      into.scores[(entry + j) * coreCount + c] = static_cast<float>(perCore_[i * coreCount + c]);
  }
}

void GridSelection::chooseFromAll(const ExactSide& rows, const ExactSide& columns, size_t entry, const Winners& into) {
  all_.resize(shape_.k * shape_.k);
  for (size_t i = 0; i < all_.size(); i++) all_[i] = cellOf(i / shape_.k, i % shape_.k);
  evaluate(all_.data(), all_.size(), rows, columns);
  for (double sum : sums_)
    if (std::isnan(sum)) throw NonFiniteScore();
  write(all_.data(), all_.size(), rows, columns, entry, into);
}

}  // namespace ultramem
