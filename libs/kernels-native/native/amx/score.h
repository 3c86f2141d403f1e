#pragma once

#include <stddef.h>
#include <stdint.h>

namespace ultramem::amx {

// Tokens and keys of one tile of sums, and features that one multiplication takes.
constexpr size_t TILE = 16;
constexpr size_t STEP = 64;
// Whole numbers of at most this are 256 high + low, both in a signed byte.
constexpr int SPLIT_MAX = 127 * 256 + 127;
// Sums of products of that many bytes, and of two such sums, are exact in f32.
constexpr size_t WIDTH_MAX = 512;
// Narrower keys would be mostly padding (libs/planner/src/memory.ts counts with this).
constexpr size_t WIDTH_MIN = 48;

// TILE rows in the two bytes of each of their 16-bit numbers lie together: STEP features' high bytes of all rows, their low bytes, the
// next features. This is the share of one row.
static constexpr size_t splitBytes(size_t width) { return (width + STEP - 1) / STEP * STEP * 2; }
// From the high bytes of a step to the low ones.
constexpr size_t LOW = TILE * STEP;
// Where the high byte of a feature lies among those of TILE keys (queries have their features in order).
static constexpr size_t keyByte(size_t key, size_t feature) {
  return feature / STEP * 2 * LOW + feature % STEP / 4 * 64 + key * 4 + feature % 4;
}

// A query of `width` words of at most SPLIT_MAX, and zeros up to the next multiple of 32, to its place among TILE others.
void splitQuery(const int16_t* words, size_t width, size_t query, int8_t* tile);

// 16-bit products of some tokens with all keys of a list.
struct TileScores {
  const int8_t* keys;    // [keyTileCount][TILE * splitBytes]
  const float* scales;   // [keyTileCount * TILE]
  size_t keyTileCount;
  size_t width;
  const int8_t* queries;      // [tokenCount / TILE, rounded up][TILE * splitBytes]
  const float* queryScales;   // [tokenCount]
  size_t tokenCount;
  float* scores;  // [tokenCount, keyTileCount * TILE]
};
// Scores are the exact sums, rounded twice to f32, times both scales.
void scoreTiles(const TileScores& task);

}  // namespace ultramem::amx
