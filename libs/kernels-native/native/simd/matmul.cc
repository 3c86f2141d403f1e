#include "simd/matmul.h"

#include "simd/transpose.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr uint32_t PANEL_ROWS = 2 * WIDTH;
// Accumulators, two weight vectors and one of x fill the registers: 24 + 3 of 32, or 12 + 3 of 16.
#if defined(ULTRAMEM_ISA_AVX512) || defined(ULTRAMEM_ISA_NEON)
constexpr uint32_t HEIGHT_MAX = 12;
#elif defined(ULTRAMEM_ISA_AVX2)
constexpr uint32_t HEIGHT_MAX = 6;
#else
constexpr uint32_t HEIGHT_MAX = 4;
#endif

constexpr uint32_t panelsOf(uint32_t height) { return height == 1 ? 4 : height * 6 <= HEIGHT_MAX + 6 ? 2 : 1; }

enum : uint32_t { F32 = 0, BF16 = 1, F16 = 2 };

// How far ahead low tiles fetch their weights from the second level cache. Tall ones use a column for so long that the processor does it in
// time by itself, and have no room for the instruction.
constexpr size_t AHEAD_BYTES = 1024;
constexpr bool fetchesAhead(int height) { return 3 * height <= 2 * static_cast<int>(HEIGHT_MAX); }

template <uint32_t DTYPE, int HEIGHT>
ULTRAMEM_INLINE void prefetchColumn(const Tile& tile, size_t panel, size_t column) {
  constexpr size_t COLUMN_BYTES = PANEL_ROWS * (DTYPE == F32 ? 4 : 2);
  const char* ahead = static_cast<const char*>(tile.panel) + panel * tile.panelBytes + column * COLUMN_BYTES + AHEAD_BYTES;
  for (size_t at = 0; fetchesAhead(HEIGHT) && at < COLUMN_BYTES; at += 64) __builtin_prefetch(ahead + at);
  if (HEIGHT == 1) return;  // takes no longer than reading does, and reads four panels at once
  const char* next = static_cast<const char*>(tile.next) + panel * tile.panelBytes + column * tile.nextStep;
  __builtin_prefetch(next, 0, 2);
  if (COLUMN_BYTES > 64 && tile.nextStep > 64) __builtin_prefetch(next + 64, 0, 2);
}

// Both vectors of one column of a panel.
template <uint32_t DTYPE>
ULTRAMEM_INLINE void loadColumn(const void* panel, size_t column, Vec& low, Vec& high) {
  if constexpr (DTYPE == F32) {
    const float* p = static_cast<const float*>(panel) + column * PANEL_ROWS;
    low = load(p);
    high = load(p + WIDTH);
  } else if constexpr (DTYPE == BF16) {
    const Words words = loadWords(static_cast<const uint32_t*>(panel) + column * WIDTH);
    low = lowHalves(words);
    high = highHalves(words);
  } else {
    const uint16_t* p = static_cast<const uint16_t*>(panel) + column * PANEL_ROWS;
    low = loadF16(p);
    high = loadF16(p + WIDTH);
  }
}

template <uint32_t DTYPE, int HEIGHT, int PANELS>
void multiplyTile(const Tile& tile) {
  bool adds = tile.adds;
  size_t begin = 0;
  do {
    const size_t end = tile.depth - begin < SUM_BLOCK ? tile.depth : begin + SUM_BLOCK;
    Vec sums[HEIGHT][PANELS][2];
#pragma GCC unroll 16
    for (int i = 0; i < HEIGHT; i++)
#pragma GCC unroll 16
      for (int p = 0; p < PANELS; p++) sums[i][p][0] = sums[i][p][1] = zero();
    const float* x = tile.x + begin * HEIGHT;
#pragma GCC unroll 1
    for (size_t column = begin; column < end; column++, x += HEIGHT) {
      Vec weights[PANELS][2];
#pragma GCC unroll 16
      for (int p = 0; p < PANELS; p++) {
        prefetchColumn<DTYPE, HEIGHT>(tile, p, column);
        loadColumn<DTYPE>(static_cast<const char*>(tile.panel) + p * tile.panelBytes, column, weights[p][0], weights[p][1]);
      }
#pragma GCC unroll 16
      for (int i = 0; i < HEIGHT; i++) {
        const Vec element = splat(x[i]);
#pragma GCC unroll 16
        for (int p = 0; p < PANELS; p++) {
          accumulate(sums[i][p][0], weights[p][0], element);
          accumulate(sums[i][p][1], weights[p][1], element);
        }
      }
    }
    const bool last = end == tile.depth;
#pragma GCC unroll 16
    for (int i = 0; i < HEIGHT; i++)
#pragma GCC unroll 16
      for (int p = 0; p < PANELS; p++)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
          const int lane = (2 * p + half) * WIDTH;
          float* out = tile.out + i * tile.outStride + lane;
          Vec sum = adds ? add(load(out), sums[i][p][half]) : sums[i][p][half];
          if (last && tile.bias != nullptr) sum = add(sum, load(tile.bias + lane));
          store(out, sum);
        }
    adds = true;
    begin = end;
  } while (begin < tile.depth);
}

template <uint32_t DTYPE, uint32_t HEIGHT>
void multiplyHeight(uint32_t height, uint32_t panels, const Tile& tile) {
  if (height != HEIGHT) {
    if constexpr (HEIGHT > 1) multiplyHeight<DTYPE, HEIGHT - 1>(height, panels, tile);
    return;
  }
  if (panels == 1) multiplyTile<DTYPE, HEIGHT, 1>(tile);
  else multiplyTile<DTYPE, HEIGHT, panelsOf(HEIGHT)>(tile);
}

void multiply(uint32_t dtype, uint32_t height, uint32_t panels, const Tile& tile) {
  if (dtype == F32) multiplyHeight<F32, HEIGHT_MAX>(height, panels, tile);
  else if (dtype == BF16) multiplyHeight<BF16, HEIGHT_MAX>(height, panels, tile);
  else multiplyHeight<F16, HEIGHT_MAX>(height, panels, tile);
}

void packRows(const float* x, size_t columns, uint32_t height, float* packed) {
  for (uint32_t row = 0; row < height; row += WIDTH) {
    const size_t rows = height - row < WIDTH ? height - row : WIDTH;
    transpose(x + row * columns, columns, rows, columns, packed + row, height, rows);
  }
}

// Columns are taken in blocks, so that the lines of a block are still in the cache when the next row is written beside the last.
template <class Element, class Place>
void packLanes(const void* rows, uint32_t rowCount, size_t columns, void* panel, Place place) {
  constexpr size_t BLOCK = 64;
  const char* from = static_cast<const char*>(rows);  // aligned to nothing
  Element* to = static_cast<Element*>(panel);
  for (size_t begin = 0; begin < columns; begin += BLOCK) {
    const size_t end = begin + BLOCK < columns ? begin + BLOCK : columns;
    for (uint32_t row = 0; row < rowCount; row++) {
      Element* lane = to + place(row);
      const char* source = from + row * columns * sizeof(Element);
      for (size_t column = begin; column < end; column++)
        __builtin_memcpy(lane + column * PANEL_ROWS, source + column * sizeof(Element), sizeof(Element));
    }
  }
}

void packPanel(uint32_t dtype, const void* rows, uint32_t rowCount, size_t columns, uint32_t firstLane, void* panel) {
  const auto inOrder = [=](uint32_t row) { return firstLane + row; };
  const auto inWords = [=](uint32_t row) {
    const uint32_t lane = firstLane + row;
    return lane < WIDTH ? 2 * lane : 2 * (lane - WIDTH) + 1;
  };
  if (dtype == F32) packLanes<uint32_t>(rows, rowCount, columns, panel, inOrder);
  else if (dtype == BF16) packLanes<uint16_t>(rows, rowCount, columns, panel, inWords);
  else packLanes<uint16_t>(rows, rowCount, columns, panel, inOrder);
}

uint32_t panelsAtOnce(uint32_t height) { return panelsOf(height); }

}  // namespace

#if defined(ULTRAMEM_ISA_AVX512)
constexpr double MACS_PER_NS = 60;
#elif defined(ULTRAMEM_ISA_AVX2)
constexpr double MACS_PER_NS = 50;
#else
constexpr double MACS_PER_NS = 10;
#endif

const MatmulKernels matmulKernels = {PANEL_ROWS, HEIGHT_MAX, MACS_PER_NS, panelsAtOnce, multiply, packRows, packPanel};

}  // namespace ultramem::ULTRAMEM_ISA
