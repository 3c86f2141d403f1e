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
// A panel holds `panelRows` rows of the weight: f32 and f16 as [columns][panelRows], bf16 as [pairs of columns][panelRows], whose first
// column is the high half of a word and whose second the low half, so that widening is a mask and a shift. An odd last column has zeros
// beside it.
struct Tile {
  const void* panel;      // at the first column of this tile
  size_t panelBytes;      // from one panel to the next
  const float* x;         // [depth][height]; for Inputs::pairs [pairs of columns][height] in words as those of the weight
  size_t depth;           // columns; a multiple of SUM_BLOCK where more follow
  float* out;             // [height][panels * panelRows]
  size_t outStride;       // elements from row to row
  const float* bias;      // [panels * panelRows] added last, or nullptr
  bool adds;              // to what `out` holds, instead of replacing it
  const void* next;       // what to fetch meanwhile: `nextStep` bytes with every column, panelBytes further on for each other panel;
  size_t nextStep;        // with 0 there is nothing, and `next` is any address that the cache has
};

// How a weight of bf16 meets x: widened to f32, or as it is with pairs of bf16, which takes half the instructions. One such instruction
// adds the product of the first columns, then that of the second, each sum rounded to f32 and denormal numbers taken as zero: where
// there are none its sums have the bits of FMA in that order.
enum class Inputs : uint32_t { floats, pairs };

struct MatmulKernels {
  uint32_t panelRows;
  uint32_t heightMax;
  double macsPerNs;  // of one thread, roughly, on floats
  // Panels that one call takes for a tile of `height` rows: low tiles need several to keep the adders busy.
  uint32_t (*panelsAtOnce)(uint32_t height);
  // `panels` is 1 or panelsAtOnce(height); dtype as in core/matmul.h. Pairs only where core/isa.h says that the machine has them.
  void (*multiply)(uint32_t dtype, Inputs inputs, uint32_t height, uint32_t panels, const Tile& tile);
  // Rows of x to [columns][height]; rows of pairs alike.
  void (*packRows)(const float* x, size_t columns, uint32_t height, float* packed);
  // Numbers to the nearest bf16, ties to even: each as f32, or in words of two with a zero behind an odd last one.
  void (*roundRow)(const float* x, size_t columns, Inputs inputs, float* rounded);
  // Whether the largest magnitude of these numbers is 0 or within 2^-40 .. 2^60, so that what is lost where denormal numbers are zero is
  // below 2^-42 of it a product. dtype as in core/matmul.h; at any address.
  bool (*fitsBf16)(uint32_t dtype, const void* numbers, size_t count);
  // `rowCount` rows of a weight, row-major, into lanes firstLane and on of a panel.
  void (*packPanel)(uint32_t dtype, const void* rows, uint32_t rowCount, size_t columns, uint32_t firstLane, void* panel);
};

ULTRAMEM_TABLES(MatmulKernels, matmulKernels)

}  // namespace ultramem
