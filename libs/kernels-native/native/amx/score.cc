#include "amx/score.h"

#include "amx/registers.h"

// The tile registers: four sums and what they are made of. g++ wants digits.
#define HIGH_HIGH 0
#define HIGH_LOW 1
#define LOW_HIGH 2
#define LOW_LOW 3
#define QUERY_HIGH 4
#define QUERY_LOW 5
#define KEY_HIGH 6
#define KEY_LOW 7

namespace ultramem::amx {
namespace {

constexpr TileShape FULL{TILE, 64};

struct Sums {
  alignas(64) int32_t of[4][TILE][TILE];
};

// Four sums, because a product that waits for the one before it takes three times as long.
ULTRAMEM_INLINE void multiply(const int8_t* keys, const int8_t* queries, size_t tileBytes, Sums& sums) {
  _tile_zero(HIGH_HIGH);
  _tile_zero(HIGH_LOW);
  _tile_zero(LOW_HIGH);
  _tile_zero(LOW_LOW);
  for (size_t at = 0; at < tileBytes; at += 2 * LOW) {
    _tile_loadd(KEY_HIGH, keys + at, 64);
    _tile_loadd(QUERY_HIGH, queries + at, 64);
    _tile_dpbssd(HIGH_HIGH, QUERY_HIGH, KEY_HIGH);
    _tile_loadd(QUERY_LOW, queries + at + LOW, 64);
    _tile_dpbssd(LOW_HIGH, QUERY_LOW, KEY_HIGH);
    _tile_loadd(KEY_LOW, keys + at + LOW, 64);
    _tile_dpbssd(HIGH_LOW, QUERY_HIGH, KEY_LOW);
    _tile_dpbssd(LOW_LOW, QUERY_LOW, KEY_LOW);
  }
  _tile_stored(HIGH_HIGH, sums.of[HIGH_HIGH], 64);
  _tile_stored(HIGH_LOW, sums.of[HIGH_LOW], 64);
  _tile_stored(LOW_HIGH, sums.of[LOW_HIGH], 64);
  _tile_stored(LOW_LOW, sums.of[LOW_LOW], 64);
}

ULTRAMEM_INLINE __m512 joined(const Sums& sums, size_t token) {
  const auto row = [&](int part) { return _mm512_load_si512(sums.of[part][token]); };
  const __m512 middle = _mm512_cvtepi32_ps(_mm512_add_epi32(row(HIGH_LOW), row(LOW_HIGH)));
  const __m512 lower = _mm512_fmadd_ps(middle, _mm512_set1_ps(256), _mm512_cvtepi32_ps(row(LOW_LOW)));
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(row(HIGH_HIGH)), _mm512_set1_ps(65536), lower);
}

// Scores of up to TILE tokens and one tile of keys.
ULTRAMEM_INLINE void write(const TileScores& task, size_t tile, size_t first, const Sums& sums) {
  const size_t stride = task.keyTileCount * TILE;
  const size_t count = task.tokenCount - first < TILE ? task.tokenCount - first : TILE;
  const __m512 scales = _mm512_loadu_ps(task.scales + tile * TILE);
  float* scores = task.scores + first * stride + tile * TILE;
  for (size_t t = 0; t < count; t++) {
    const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(task.queryScales[first + t]));
    _mm512_storeu_ps(scores + t * stride, _mm512_mul_ps(joined(sums, t), scale));
  }
}

}  // namespace

void splitQuery(const int16_t* words, size_t width, size_t query, int8_t* tile) {
  for (size_t c = 0; c < splitBytes(width) / 2; c += 32) {
    int8_t* bytes = tile + c / STEP * 2 * LOW + query * STEP + c % STEP;
    const __m512i word = c < width ? _mm512_loadu_si512(words + c) : _mm512_setzero_si512();
    const __m512i high = _mm512_srai_epi16(_mm512_add_epi16(word, _mm512_set1_epi16(128)), 8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes), _mm512_cvtepi16_epi8(high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + LOW), _mm512_cvtepi16_epi8(word));
  }
}

void scoreTiles(const TileScores& task) {
  const TileRegisters registers({FULL, FULL, FULL, FULL, FULL, FULL, FULL, FULL});
  const size_t tileBytes = TILE * splitBytes(task.width);
  const size_t tokenTiles = (task.tokenCount + TILE - 1) / TILE;
  const size_t products = task.keyTileCount * tokenTiles;
  Sums sums[2];
  // What one product leaves is written while the next is computed: vector units and matrix units work side by side.
  for (size_t i = 0; i <= products; i++) {
    if (i < products)
      multiply(task.keys + i / tokenTiles * tileBytes, task.queries + i % tokenTiles * tileBytes, tileBytes, sums[i % 2]);
    if (i > 0) write(task, (i - 1) / tokenTiles, (i - 1) % tokenTiles * TILE, sums[(i - 1) % 2]);
  }
}

}  // namespace ultramem::amx
