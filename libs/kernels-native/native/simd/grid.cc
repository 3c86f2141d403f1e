#include "simd/grid.h"

#include "simd/search.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

ULTRAMEM_INLINE size_t rowOf(uint32_t cell) { return cell >> 16; }
ULTRAMEM_INLINE size_t columnOf(uint32_t cell) { return cell & 0xffff; }

void bend(const float* refined, const float* core, size_t stride, size_t rank, float* bent) {
  for (size_t s = 0; s < rank; s++)
    for (size_t a = 0; a < stride; a += WIDTH) {
      Vec sum = mul(load(refined + a), splat(core[s]));
      for (size_t r = 1; r < rank; r++) sum = fma(load(refined + r * stride + a), splat(core[r * rank + s]), sum);
      store(bent + s * stride + a, sum);
    }
}

template <int RANK>
struct Row {
  Vec bent[RANK < 0 ? 1 : RANK];
};

template <int RANK>
ULTRAMEM_INLINE Row<RANK> rowAt(const Grid& grid, size_t row) {
  Row<RANK> at;
  for (int s = 0; s < RANK; s++) at.bent[s] = splat(grid.bent[s * grid.stride + row]);
  return at;
}

// Scores of the columns b .. of a row. Without a known rank what a row has in common is loaded again. Of rank 2, which only cores have,
// the last columns alone can be padding and need their start.
template <int RANK>
ULTRAMEM_INLINE Vec scoresOf(const Grid& grid, const Row<RANK>& at, size_t row, size_t b) {
  const float* column = grid.column + b;
  if constexpr (RANK == 2) {
    const Vec first = b + 16 < grid.stride ? mul(at.bent[0], load(column)) : fma(at.bent[0], load(column), load(grid.start + b));
    return fma(at.bent[1], load(column + grid.stride), first);
  }
  Vec score = load(grid.start + b);
  if constexpr (RANK < 0) {
    for (size_t s = 0; s < grid.rank; s++) score = fma(splat(grid.bent[s * grid.stride + row]), load(column + s * grid.stride), score);
  } else {
    for (int s = 0; s < RANK; s++) score = fma(at.bent[s], load(column + s * grid.stride), score);
  }
  return score;
}

template <int RANK>
float thresholdOf(const Grid grid, size_t k, float* rowMaxima) {
  const size_t groups = groupVectors(grid.rows, k);
  float maxima[GROUP_VECTORS_MAX * WIDTH];
  size_t row = 0;
  for (size_t group = 0; group < groups; group++) {
    const size_t end = grid.rows * (group + 1) / groups;
    Vec groupLargest = splat(-INFINITE);
    for (; row < end; row++) {
      const Row<RANK> at = rowAt<RANK>(grid, row);
      Vec largest = scoresOf<RANK>(grid, at, row, 0);
      for (size_t b = WIDTH; b < grid.stride; b += WIDTH) largest = max(scoresOf<RANK>(grid, at, row, b), largest);
      store(rowMaxima + row * WIDTH, largest);
      groupLargest = max(largest, groupLargest);
    }
    store(maxima + group * WIDTH, groupLargest);
  }
  return searchFromLowest(maxima, groups, k, slackOf(k));
}

float threshold(const Grid& grid, size_t k, float* rowMaxima) {
  switch (grid.rank) {
    case 1: return thresholdOf<1>(grid, k, rowMaxima);
    case 2: return thresholdOf<2>(grid, k, rowMaxima);
    default: return thresholdOf<-1>(grid, k, rowMaxima);
  }
}

// The grid by value: what is appended could otherwise be taken for a change of it.
template <int RANK>
void cellsOf(const Grid grid, float threshold, const float* rowMaxima, Cells* into) {
  const Vec limit = splat(threshold);
  uint32_t* const cell = into->cell;
  float* const scores = into->score;
  size_t count = into->count;
  for (size_t row = 0; row < grid.rows; row++) {
    if (reaches(load(rowMaxima + row * WIDTH), limit) == 0) continue;
    const Row<RANK> at = rowAt<RANK>(grid, row);
    for (size_t b = 0; b < grid.stride; b += WIDTH) {
      const Vec score = scoresOf<RANK>(grid, at, row, b);
      const Mask mask = reaches(score, limit);
      appendIds(cell + count, mask, static_cast<uint32_t>(row << 16 | b));
      appendValues(scores + count, mask, score);
      count += bitCount(mask);
    }
  }
  into->count = count;
}

void cells(const Grid& grid, float threshold, const float* rowMaxima, Cells* into) {
  switch (grid.rank) {
    case 1: return cellsOf<1>(grid, threshold, rowMaxima, into);
    case 2: return cellsOf<2>(grid, threshold, rowMaxima, into);
    default: return cellsOf<-1>(grid, threshold, rowMaxima, into);
  }
}

void keep(Cells* cells, float limit) {
  size_t kept = 0;
  for (size_t i = 0; i < cells->count; i += WIDTH) {
    const Mask mask = reaches(load(cells->score + i), splat(limit)) & firstOf(cells->count - i);
    moveKept(cells->cell + i, cells->cell + kept, mask, true);
    kept += bitCount(mask);
  }
  cells->count = kept;
}

// N = RANK times CORES numbers at once: [core, s].
template <size_t RANK, size_t CORES>
void sumOf(const CellSums& task) {
  constexpr size_t N = RANK * CORES;
  double core[RANK][N];
  for (size_t r = 0; r < RANK; r++)
    for (size_t i = 0; i < N; i++) core[r][i] = task.cores[i / RANK * task.coreStride + r * RANK + i % RANK];
  for (size_t cell = 0; cell < task.count; cell++) {
    const float* row = task.rows + rowOf(task.cells[cell]) * RANK;
    const float* column = task.columns + columnOf(task.cells[cell]) * RANK;
    double products[N];
#pragma GCC unroll 4
    for (size_t i = 0; i < N; i++) {
      double bent = 0;
      for (size_t r = 0; r < RANK; r++) bent += static_cast<double>(row[r]) * core[r][i];
      products[i] = bent * static_cast<double>(column[i % RANK]);
    }
    double sum = 0;
    for (size_t c = 0; c < CORES; c++) {
      double score = 0;
      for (size_t s = 0; s < RANK; s++) score += products[c * RANK + s];
      task.perCore[cell * CORES + c] = score;
      sum += score;
    }
    task.sums[cell] = sum;
  }
}

void sumOfAny(const CellSums& task) {
  const size_t rank = task.rank;
  for (size_t cell = 0; cell < task.count; cell++) {
    const float* row = task.rows + rowOf(task.cells[cell]) * rank;
    const float* column = task.columns + columnOf(task.cells[cell]) * rank;
    double sum = 0;
    for (size_t c = 0; c < task.coreCount; c++) {
      const float* core = task.cores + c * task.coreStride;
      double score = 0;
      for (size_t s = 0; s < rank; s++) {
        double bent = 0;
        for (size_t r = 0; r < rank; r++) bent += static_cast<double>(row[r]) * core[r * rank + s];
        score += bent * column[s];
      }
      task.perCore[cell * task.coreCount + c] = score;
      sum += score;
    }
    task.sums[cell] = sum;
  }
}

void sum(const CellSums& task) {
  if (task.rank == 1 && task.coreCount == 1) return sumOf<1, 1>(task);
  if (task.rank == 2 && task.coreCount == 1) return sumOf<2, 1>(task);
  if (task.rank == 2 && task.coreCount == 2) return sumOf<2, 2>(task);
  sumOfAny(task);
}

void rankByCount(float* x, size_t n, uint32_t* rank) {
  for (size_t i = 0; i < WIDTH; i++) x[n + i] = -INFINITE;
  constexpr size_t AT_ONCE = 6;
  for (size_t i = 0; i < n; i += AT_ONCE * WIDTH) {
    const size_t vectors = (n - i + WIDTH - 1) / WIDTH < AT_ONCE ? (n - i + WIDTH - 1) / WIDTH : AT_ONCE;
    Vec own[AT_ONCE];
    LaneCounts larger[AT_ONCE];
#pragma GCC unroll 6
    for (size_t v = 0; v < AT_ONCE; v++) own[v] = load(x + (v < vectors ? i + v * WIDTH : i));
    for (size_t j = 0; j < n; j++) {
      const Vec other = splat(x[j]);
#pragma GCC unroll 6
      for (size_t v = 0; v < AT_ONCE; v++) larger[v].addLarger(other, own[v]);
    }
    for (size_t v = 0; v < vectors; v++) larger[v].store(rank + i + v * WIDTH);
  }
}

}  // namespace

extern const GridKernels gridKernels = {bend, threshold, cells, keep, sum, rankByCount};

}  // namespace ultramem::ULTRAMEM_ISA
