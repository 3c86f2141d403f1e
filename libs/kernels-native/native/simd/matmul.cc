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

enum : uint32_t { F32 = 0, BF16 = 1, F16 = 2, BF16_PAIRS = 3 };
constexpr size_t stepOf(uint32_t dtype) { return dtype == BF16 || dtype == BF16_PAIRS ? 2 : 1; }

// How far ahead low tiles fetch their weights from the second level cache. Tall ones use a column for so long that the processor does it in
// time by itself, and have no room for the instruction.
constexpr size_t AHEAD_BYTES = 1024;
constexpr bool fetchesAhead(int height) { return 3 * height <= 2 * static_cast<int>(HEIGHT_MAX); }

template <uint32_t DTYPE, int HEIGHT>
ULTRAMEM_INLINE void prefetchStep(const Tile& tile, const char* weights, size_t panel, size_t column) {
  constexpr size_t STEP_BYTES = PANEL_ROWS * (DTYPE == F16 ? 2 : 4);
  for (size_t at = 0; fetchesAhead(HEIGHT) && at < STEP_BYTES; at += 64) __builtin_prefetch(weights + AHEAD_BYTES + at);
  if (HEIGHT == 1) return;  // takes no longer than reading does, and reads four panels at once
  const char* next = static_cast<const char*>(tile.next) + panel * tile.panelBytes + column * tile.nextStep;
  __builtin_prefetch(next, 0, 2);
  if (STEP_BYTES > 64 && stepOf(DTYPE) * tile.nextStep > 64) __builtin_prefetch(next + 64, 0, 2);
}

// Half a panel's weights of column `at` of the step.
template <uint32_t DTYPE>
ULTRAMEM_INLINE Vec loadWeights(const char* weights, int half, size_t at) {
  if constexpr (DTYPE == F16) return loadF16(reinterpret_cast<const uint16_t*>(weights) + half * WIDTH);
  else if constexpr (DTYPE == BF16) {
    const Words words = loadWords(reinterpret_cast<const uint32_t*>(weights) + half * WIDTH);
    return at == 0 ? highHalves(words) : lowHalves(words);
  } else return load(reinterpret_cast<const float*>(weights) + half * WIDTH);
}

template <uint32_t DTYPE>
ULTRAMEM_INLINE void accumulateStep(Vec& sum, Vec weight, Vec x) {
#if defined(ULTRAMEM_ISA_AVX512)
  if constexpr (DTYPE == BF16_PAIRS) return accumulatePairs(sum, weight, x);
#endif
  accumulate(sum, weight, x);
}

template <uint32_t DTYPE, int HEIGHT, int PANELS>
void multiplyTile(const Tile& tile) {
  constexpr size_t STEP = stepOf(DTYPE);
  constexpr size_t STEP_BYTES = PANEL_ROWS * (DTYPE == F16 ? 2 : 4);
  // Pairs of x are one number to each step.
  constexpr size_t TURNS = DTYPE == BF16 ? 2 : 1;
  bool adds = tile.adds;
  size_t begin = 0;
  do {
    const size_t end = tile.depth - begin < SUM_BLOCK ? tile.depth : begin + SUM_BLOCK;
    Vec sums[HEIGHT][PANELS][2];
#pragma GCC unroll 16
    for (int i = 0; i < HEIGHT; i++)
#pragma GCC unroll 16
      for (int p = 0; p < PANELS; p++) sums[i][p][0] = sums[i][p][1] = zero();
    const char* panel = static_cast<const char*>(tile.panel) + begin / STEP * STEP_BYTES;
    const float* x = tile.x + begin * TURNS / STEP * HEIGHT;
    const auto multiplyTurn = [&](size_t turn) __attribute__((always_inline)) {
      Vec weights[PANELS][2];
#pragma GCC unroll 16
      for (int p = 0; p < PANELS; p++)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) weights[p][half] = loadWeights<DTYPE>(panel + p * tile.panelBytes, half, turn);
#pragma GCC unroll 16
      for (int i = 0; i < HEIGHT; i++) {
        const Vec element = splat(x[i]);
#pragma GCC unroll 16
        for (int p = 0; p < PANELS; p++) {
          accumulateStep<DTYPE>(sums[i][p][0], weights[p][0], element);
          accumulateStep<DTYPE>(sums[i][p][1], weights[p][1], element);
        }
      }
      x += HEIGHT;
    };
    const size_t whole = DTYPE == BF16 ? end - (end - begin) % 2 : end;
#pragma GCC unroll 1
    for (size_t column = begin; column < whole; column += STEP, panel += STEP_BYTES) {
#pragma GCC unroll 16
      for (int p = 0; p < PANELS; p++) prefetchStep<DTYPE, HEIGHT>(tile, panel + p * tile.panelBytes, p, column);
#pragma GCC unroll 2
      for (size_t turn = 0; turn < TURNS; turn++) multiplyTurn(turn);
    }
    // x has nothing beside an odd last column.
    if (whole < end) multiplyTurn(0);
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

void multiply(uint32_t dtype, [[maybe_unused]] Inputs inputs, uint32_t height, uint32_t panels, const Tile& tile) {
#if defined(ULTRAMEM_ISA_AVX512)
  if (inputs == Inputs::pairs) return multiplyHeight<BF16_PAIRS, HEIGHT_MAX>(height, panels, tile);
#endif
  if (dtype == F32) multiplyHeight<F32, HEIGHT_MAX>(height, panels, tile);
  else if (dtype == BF16) multiplyHeight<BF16, HEIGHT_MAX>(height, panels, tile);
  else multiplyHeight<F16, HEIGHT_MAX>(height, panels, tile);
}

void packRows(const float* x, size_t columns, uint32_t height, float* packed) {
  if (height == 1) {
    __builtin_memcpy(packed, x, columns * sizeof(float));
    return;
  }
  for (uint32_t row = 0; row < height; row += WIDTH) {
    const size_t rows = height - row < WIDTH ? height - row : WIDTH;
    transpose(x + row * columns, columns, rows, columns, packed + row, height, rows);
  }
}

ULTRAMEM_INLINE uint32_t roundWord(uint32_t word) {
  const uint32_t magnitude = word & 0x7fffffffu;
  // A NaN stays one: its fraction's highest bit is set.
  return magnitude > 0x7f800000u ? (word | 0x400000u) & 0xffff0000u : (word + 0x7fffu + (word >> 16 & 1u)) & 0xffff0000u;
}

void roundRow(const float* x, size_t columns, Inputs inputs, float* rounded) {
  uint32_t* to = reinterpret_cast<uint32_t*>(rounded);
  const auto wordAt = [x](size_t column) {
    uint32_t word;
    __builtin_memcpy(&word, x + column, sizeof word);
    return roundWord(word);
  };
  if (inputs == Inputs::floats) {
    for (size_t column = 0; column < columns; column++) to[column] = wordAt(column);
    return;
  }
  for (size_t pair = 0; pair < columns / 2; pair++) to[pair] = wordAt(2 * pair) | wordAt(2 * pair + 1) >> 16;
  if (columns % 2 != 0) to[columns / 2] = wordAt(columns - 1);
}

// The largest of `count` words without their sign.
template <class Word>
Word largestMagnitude(const void* numbers, size_t count) {
  constexpr Word SIGN = static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1));
  const char* from = static_cast<const char*>(numbers);
  Word largest = 0;
  for (size_t i = 0; i < count; i++) {
    Word word;
    __builtin_memcpy(&word, from + i * sizeof(Word), sizeof word);
    word = static_cast<Word>(word & static_cast<Word>(~SIGN));
    largest = word > largest ? word : largest;
  }
  return largest;
}

bool fitsBf16(uint32_t dtype, const void* numbers, size_t count) {
  // f16 cannot be too large or too small, but infinite.
  if (dtype == F16) return largestMagnitude<uint16_t>(numbers, count) < 0x7c00;
  // What is larger in magnitude has the larger word, NaN the largest.
  constexpr uint32_t SMALL = 0x2b800000, LARGE = 0x5d800000;
  const uint32_t largest = dtype == F32 ? largestMagnitude<uint32_t>(numbers, count)
                                        : static_cast<uint32_t>(largestMagnitude<uint16_t>(numbers, count)) << 16;
  return largest == 0 || (largest >= SMALL && largest <= LARGE);
}

// Element `column` of a row lies at lane + place(column). Columns are taken in blocks, so that the lines of a block are still in the cache
// when the next row is written beside the last.
template <class Element, class Place>
void packLanes(const void* rows, uint32_t rowCount, size_t columns, Element* lane, size_t laneStep, Place place) {
  constexpr size_t BLOCK = 64;
  const char* from = static_cast<const char*>(rows);  // aligned to nothing
  for (size_t begin = 0; begin < columns; begin += BLOCK) {
    const size_t end = begin + BLOCK < columns ? begin + BLOCK : columns;
    for (uint32_t row = 0; row < rowCount; row++) {
      const char* source = from + row * columns * sizeof(Element);
      for (size_t column = begin; column < end; column++)
        __builtin_memcpy(lane + row * laneStep + place(column), source + column * sizeof(Element), sizeof(Element));
    }
  }
}

void packPanel(uint32_t dtype, const void* rows, uint32_t rowCount, size_t columns, uint32_t firstLane, void* panel) {
  const auto inOrder = [](size_t column) { return column * PANEL_ROWS; };
  const auto inPairs = [](size_t column) { return column / 2 * 2 * PANEL_ROWS + (column % 2 == 0 ? 1 : 0); };
  uint16_t* halves = static_cast<uint16_t*>(panel);
  if (dtype == F32) packLanes(rows, rowCount, columns, static_cast<uint32_t*>(panel) + firstLane, 1, inOrder);
  else if (dtype == BF16) packLanes(rows, rowCount, columns, halves + 2 * firstLane, 2, inPairs);
  else packLanes(rows, rowCount, columns, halves + firstLane, 1, inOrder);
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

const MatmulKernels matmulKernels = {PANEL_ROWS, HEIGHT_MAX, MACS_PER_NS, panelsAtOnce, multiply, packRows, roundRow, fitsBf16, packPanel};

}  // namespace ultramem::ULTRAMEM_ISA
