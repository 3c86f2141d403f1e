#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/isa.h"

namespace ultramem {

// Terms added one after another in one accumulator; the sums of such blocks are then added in order. It bounds the error of long
// sums and is the same for every tile, batch size and instruction set with FMA, which makes their results the same bits. (Large weights
// on matrix units are summed in another order, amx/matmul.h.)
constexpr size_t SUM_BLOCK = 256;

// One tile: `height` rows of x times `panels` neighbouring panels of the weight.
//
// A panel holds `panelRows` rows of the weight, [columns][panelRows]. f32 and f16 lie in order; bf16 in words of 32 bits, where word j
// of a column holds row j in its low half and row j + panelRows / 2 in its high half, so that widening is a shift and a mask.
struct Tile {
  const void* panel;      // at the first column of this tile
  size_t panelBytes;      // from one panel to the next
  const float* x;         // [depth][height]
  size_t depth;           // columns; a multiple of SUM_BLOCK where more follow
  float* out;             // [height][panels * panelRows]
  size_t outStride;       // elements from row to row
  const float* bias;      // [panels * panelRows] added last, or nullptr
  bool adds;              // to what `out` holds, instead of replacing it
  const void* next;       // what to fetch meanwhile: `nextStep` bytes with every column, panelBytes further on for each other panel;
  size_t nextStep;        // with 0 there is nothing, and `next` is any address that the cache has
};

struct MatmulKernels {
  uint32_t panelRows;
  uint32_t heightMax;
  double macsPerNs;  // of one thread, roughly
  // Panels that one call takes for a tile of `height` rows: low tiles need several to keep the adders busy.
  uint32_t (*panelsAtOnce)(uint32_t height);
  // `panels` is 1 or panelsAtOnce(height); dtype as in core/matmul.h.
  void (*multiply)(uint32_t dtype, uint32_t height, uint32_t panels, const Tile& tile);
  // Rows of x to [columns][height].
  void (*packRows)(const float* x, size_t columns, uint32_t height, float* packed);
  // `rowCount` rows of a weight, row-major, into lanes firstLane and on of a panel.
  void (*packPanel)(uint32_t dtype, const void* rows, uint32_t rowCount, size_t columns, uint32_t firstLane, void* panel);
};

ULTRAMEM_TABLES(MatmulKernels, matmulKernels)

}  // namespace ultramem
