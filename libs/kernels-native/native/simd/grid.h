#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/isa.h"

namespace ultramem {

// The grid of one token and head in f32: score[a, b] = start[b] + sum over s of bent[s, a] column[s, b].
struct Grid {
  const float* bent;    // [rank, stride]
  const float* column;  // [rank, stride]
  const float* start;   // [stride]: -infinity for padding, else 0 or what every row adds
  size_t rows;
  size_t stride;  // columns padded to a multiple of 16, as rows are
  size_t rank;
};

struct Cells {
  uint32_t* cell;  // row << 16 | column, ascending
  float* score;
  size_t count;
};

// Exact sums of some cells, in f64, in the order in which the reference adds: over the rank for each core, then over cores.
struct CellSums {
  const uint32_t* cells;
  size_t count;
  const float* rows;     // [k, rank]: refined scores of the rows' candidates
  const float* columns;  // [k, rank]
  const float* cores;    // of one head: core c is [rank, rank] at c * coreStride
  size_t coreStride;
  size_t coreCount;
  size_t rank;
  double* perCore;  // [count, coreCount]
  double* sums;     // [count]
};

struct GridKernels {
  // bent[s, a] = sum over r of refined[r, a] core[r, s], all [rank, stride].
  void (*bend)(const float* refined, const float* core, size_t stride, size_t rank, float* bent);
  // A number that at least k cells reach; k is at most the number of cells. `rowMaxima` [rows, 16] is scratch and input of `cells`.
  float (*threshold)(const Grid& grid, size_t k, float* rowMaxima);
  // Appends cells that reach the threshold; room for all of them and APPEND_SLACK.
  void (*cells)(const Grid& grid, float threshold, const float* rowMaxima, Cells* into);
  // Keeps the cells that reach the limit, in order, without their scores.
  void (*keep)(Cells* cells, float limit);
  void (*sum)(const CellSums& task);
  // rank[i] = how many of x are larger than x[i]; x and rank have room up to the next multiple of 16, which is overwritten.
  void (*rankByCount)(float* x, size_t n, uint32_t* rank);
};

ULTRAMEM_TABLES(GridKernels, gridKernels)

}  // namespace ultramem
