#pragma once

#include <stddef.h>
#include <stdint.h>

namespace ultramem::amx {

// Dense products on tiles of bf16 that are as good as products in f32.
//
// An f32 number is the sum of three bf16 numbers: the nearest one, the nearest one to what is left, and the rest, which fits, because
// three times 8 bits are 24. f16 is the sum of two, bf16 is one. Part i of x is multiplied with part j of the weight for i + j <= 2, all
// into one f32 sum. Products of bf16 are exact in f32. Part i is at most 2^-8i of its number, so what is left out is at most 2^-23 of a
// term, of either sign and 2^-26 on average, which is what rounding the product to f32 costs. Where x is rounded to bf16 anyway it has one
// part. A multiplication adds up 32 terms by themselves before it adds them to the sum: fewer roundings follow each other than in a chain
// of FMA.
//
// Tiles take denormal numbers as zero and leave none behind. While the largest magnitudes X and W of a row of x and of a row of the
// weight are in the range of `fitsBf16`, all that is lost to this is below columns * 2^-42 X W; beyond it others must multiply.

// Columns that one multiplication takes, rows of x in a tile, and rows of a weight in a panel, which is two tiles.
constexpr size_t STEP_COLUMNS = 32;
constexpr size_t TILE_ROWS = 16;
constexpr size_t PANEL_ROWS = 2 * TILE_ROWS;
constexpr size_t TILE_BYTES = 1024;

// Rows of x in their parts, three or one, [tile of rows][step][part][row][STEP_COLUMNS], zeros behind the last row and column.
static constexpr size_t splitTileBytes(size_t columns, size_t parts) {
  return (columns + STEP_COLUMNS - 1) / STEP_COLUMNS * parts * TILE_BYTES;
}
// One tile, of up to TILE_ROWS rows.
void splitRows(const float* x, size_t rowCount, size_t columns, size_t parts, uint8_t* tile);
// Multiplications that a pair of tiles takes.
size_t productsOf(uint32_t dtype, size_t xParts);

// Rows of x times neighbouring panels of a weight, packed as simd/matmul.h does for AVX-512.
struct TileProduct {
  uint32_t dtype;
  const uint8_t* panels;
  size_t panelCount;
  size_t rows;  // of the weight in these panels; the last one may be filled in part
  size_t columns;
  const uint8_t* x;  // tiles of `splitRows`
  size_t xParts;
  size_t rowCount;
  const float* bias;  // [rows] added last, or nullptr
  float* out;         // [rowCount, rows]
  size_t outStride;   // elements from row to row
  uint8_t* scratch;   // SCRATCH_BYTES, at a cache line
};
constexpr size_t BLOCK_STEPS = 16;
constexpr size_t SCRATCH_BYTES = 2 * BLOCK_STEPS * 3 * 2 * TILE_BYTES;

// Each output is summed in one order, whatever the other rows are.
void multiplyTiles(const TileProduct& product);

}  // namespace ultramem::amx
