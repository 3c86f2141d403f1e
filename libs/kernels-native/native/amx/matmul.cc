#include "amx/matmul.h"

#include "amx/registers.h"

// The tile registers: sums of two tiles of x with two of the weight, and these. g++ wants digits.
#define SUM_00 0
#define SUM_01 1
#define SUM_10 2
#define SUM_11 3
#define X_0 4
#define X_1 5
#define WEIGHT_0 6
#define WEIGHT_1 7

namespace ultramem::amx {
namespace {

enum : uint32_t { F32 = 0, BF16 = 1, F16 = 2 };
constexpr size_t partsOf(uint32_t dtype) { return dtype == F32 ? 3 : dtype == F16 ? 2 : 1; }
constexpr size_t roundsOf(size_t xParts, size_t parts) { return xParts == 1 ? parts : parts == 1 ? 3 : parts == 2 ? 5 : 6; }

constexpr TileShape FULL{TILE_ROWS, 64};
// What of x may stay in the second level cache while panels go by.
constexpr size_t X_BYTES = size_t{1} << 20;
// How far ahead weights are fetched into the first and into the second level cache.
constexpr size_t NEAR_BYTES = 512;
constexpr size_t FAR_BYTES = 8192;
constexpr __mmask32 ODD = 0xaaaaaaaa;

// The high halves of words, the parts in bf16: those of `a` and `b` in turn, or those of `a` before those of `b`.
ULTRAMEM_INLINE __m512i inTurn(__m512i a, __m512i b) { return _mm512_mask_blend_epi16(ODD, _mm512_srli_epi32(a, 16), b); }
ULTRAMEM_INLINE __m512i inOrder(__m512i a, __m512i b) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(a, 16))),
                            _mm512_cvtepi32_epi16(_mm512_srli_epi32(b, 16)), 1);
}

// Two vectors to rows of tiles, one for each part.
template <size_t PARTS, class Join>
ULTRAMEM_INLINE void split(__m512 first, __m512 second, Join join, uint8_t* row, size_t partBytes) {
  const __m512i half = _mm512_set1_epi32(0x8000);
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
#pragma GCC unroll 3
  for (size_t part = 0; part + 1 < PARTS; part++) {
    const __m512i a = _mm512_add_epi32(_mm512_castps_si512(first), half);
    const __m512i b = _mm512_add_epi32(_mm512_castps_si512(second), half);
    _mm512_store_si512(row + part * partBytes, join(a, b));
    first = _mm512_sub_ps(first, _mm512_castsi512_ps(_mm512_and_si512(a, high)));
    second = _mm512_sub_ps(second, _mm512_castsi512_ps(_mm512_and_si512(b, high)));
  }
  _mm512_store_si512(row + (PARTS - 1) * partBytes, join(_mm512_castps_si512(first), _mm512_castps_si512(second)));
}

// Brings a block of columns of a panel into tiles, [step][part][tile][pair of columns][row of the weight], two columns at a time, so that
// it can go on between multiplications.
template <uint32_t DTYPE>
class Unpacking {
 public:
  static constexpr size_t PARTS = partsOf(DTYPE);
  static constexpr size_t STEP_BYTES = PARTS * 2 * TILE_BYTES;

  Unpacking(const uint8_t* panel, size_t columns, size_t pairs, uint8_t* tiles)
      : panel_(panel), columns_(columns), pairs_(pairs), tiles_(tiles) {}

  void advance(size_t count) {
    const size_t end = pairs_ - at_ < count ? pairs_ : at_ + count;
    for (; at_ < end; at_++) unpack(2 * at_, tiles_ + at_ / TILE_ROWS * STEP_BYTES + at_ % TILE_ROWS * 64);
  }

  void finish() {
    advance(pairs_);
    // g++ does not know that loads of tiles read this.
    asm volatile("" : : : "memory");
  }

 private:
  static constexpr size_t COLUMN_BYTES = PANEL_ROWS * (DTYPE == F32 ? 4 : 2);

  ULTRAMEM_INLINE void unpack(size_t column, uint8_t* row) const {
    const uint8_t* first = panel_ + column * COLUMN_BYTES;
    const uint8_t* second = first + COLUMN_BYTES;
    for (size_t at = 0; at < 2 * COLUMN_BYTES; at += 64) {
      _mm_prefetch(first + at + NEAR_BYTES, _MM_HINT_T0);
      _mm_prefetch(first + at + FAR_BYTES, _MM_HINT_T1);
    }
    const bool hasFirst = column < columns_;
    const bool hasSecond = column + 1 < columns_;
    if constexpr (DTYPE == BF16) {
      // A tile wants the first of a pair in the low half.
#pragma GCC unroll 2
      for (size_t tile = 0; tile < 2; tile++) {
        const __m512i words = hasFirst ? _mm512_loadu_si512(first + tile * COLUMN_BYTES) : _mm512_setzero_si512();
        _mm512_store_si512(row + tile * TILE_BYTES, _mm512_rol_epi32(words, 16));
      }
    } else {
#pragma GCC unroll 2
      for (size_t tile = 0; tile < 2; tile++)
        split<PARTS>(hasFirst ? load(first, tile) : _mm512_setzero_ps(), hasSecond ? load(second, tile) : _mm512_setzero_ps(), inTurn,
                     row + tile * TILE_BYTES, 2 * TILE_BYTES);
    }
  }

  static ULTRAMEM_INLINE __m512 load(const uint8_t* column, size_t tile) {
    if constexpr (DTYPE == F32) return _mm512_loadu_ps(column + tile * 64);
    else return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(column + tile * 32)));
  }

  const uint8_t* panel_;
  size_t columns_;  // from the first of this block on
  size_t pairs_;
  uint8_t* tiles_;
  size_t at_ = 0;
};

// Which sums a unit of the weight is added to: those of two tiles of rows of x, or those of one, of which two have room.
enum class Onto { all, first, second };

// Rows of x times one unit of the weight, onto the sums. `next` moves on by `pairs` with every step: vector units work while the matrix
// unit does.
template <uint32_t DTYPE, size_t X_PARTS, Onto ONTO>
ULTRAMEM_INLINE void multiplySteps(const uint8_t* x, size_t xTileBytes, const uint8_t* weights, size_t steps, Unpacking<DTYPE>& next,
                                   size_t pairs, uint8_t* idle) {
  constexpr size_t PARTS = partsOf(DTYPE);
  const auto loadX = [&](size_t part) {
    _tile_loadd(X_0, x + part * TILE_BYTES, 64);
    if constexpr (ONTO == Onto::all) _tile_loadd(X_1, x + xTileBytes + part * TILE_BYTES, 64);
  };
  const auto loadWeights = [&](size_t part) {
    _tile_loadd(WEIGHT_0, weights + part * 2 * TILE_BYTES, 64);
    _tile_loadd(WEIGHT_1, weights + part * 2 * TILE_BYTES + TILE_BYTES, 64);
  };
  constexpr size_t ROUNDS = roundsOf(X_PARTS, PARTS);
  size_t round = 0;
  const auto multiply = [&] {
    if constexpr (ONTO != Onto::second) {
      _tile_dpbf16ps(SUM_00, X_0, WEIGHT_0);
      _tile_dpbf16ps(SUM_01, X_0, WEIGHT_1);
    }
    if constexpr (ONTO == Onto::all) {
      _tile_dpbf16ps(SUM_10, X_1, WEIGHT_0);
      _tile_dpbf16ps(SUM_11, X_1, WEIGHT_1);
    }
    if constexpr (ONTO == Onto::second) {
      _tile_dpbf16ps(SUM_10, X_0, WEIGHT_0);
      _tile_dpbf16ps(SUM_11, X_0, WEIGHT_1);
    }
    next.advance(pairs * (round + 1) / ROUNDS - pairs * round / ROUNDS);
    round++;
  };
  for (size_t step = 0; step < steps; step++) {
    round = 0;
    // x is read in order: it comes from the second level cache.
    loadX(0);
    loadWeights(0);
    multiply();
    if constexpr (PARTS > 1) {
      loadWeights(1);
      multiply();
    }
    if constexpr (PARTS > 2) {
      loadWeights(2);
      multiply();
    }
    if constexpr (X_PARTS > 1) {
      if constexpr (PARTS > 2) loadWeights(1);
      loadX(1);
      multiply();
      if constexpr (PARTS > 1) {
        loadWeights(0);
        multiply();
      }
      loadX(2);
      multiply();
    }
    // A store of sums that comes more than 130 multiplications after the last store of any tile waits for 200 ns.
    if (step % 4 == 3) _tile_stored(X_0, idle, 64);
    x += X_PARTS * TILE_BYTES;
    weights += PARTS * 2 * TILE_BYTES;
  }
}

// The products of one part of the work. A unit is what is unpacked at once, while the one before is multiplied: a block of columns of a
// panel, or a few steps of a block where no other rows of x wait for them, so that they stay in the first level cache. With one tile of
// rows, units of two panels take turns: memory brings two streams faster than one.
template <uint32_t DTYPE, size_t X_PARTS>
class Multiplying {
 public:
  explicit Multiplying(const TileProduct& product) : p_(product) {}

  void run() {
    Unpacking<DTYPE> next = unpackingOf(unitAt(0));
    next.finish();
    for (size_t at = 0; at < unitCount_; at++) {
      const Unit unit = unitAt(at);
      next = at + 1 < unitCount_ ? unpackingOf(unitAt(at + 1)) : Unpacking<DTYPE>(nullptr, 0, 0, nullptr);
      multiplyUnit(unit, next);
      next.finish();
    }
  }

 private:
  struct Unit {
    size_t panel;
    size_t fromStep;
    size_t toStep;
    uint8_t* tiles;
  };

  Unit unitAt(size_t at) const {
    // Panels whose units take turns, and the unit among theirs.
    const size_t first = panelsInOrder_ ? at / (together_ * unitsAPanel_) * together_ : 0;
    const size_t rest = at - first * unitsAPanel_;
    const size_t count = panelsInOrder_ && together_ < p_.panelCount - first ? together_ : p_.panelCount - first;
    const size_t panel = first + rest % count;
    const size_t fromStep = unitSteps_ * (rest / count);
    const size_t toStep = steps_ - fromStep < unitSteps_ ? steps_ : fromStep + unitSteps_;
    return {panel, fromStep, toStep, p_.scratch + at % 2 * (SCRATCH_BYTES / 2)};
  }

  Unpacking<DTYPE> unpackingOf(const Unit& unit) const {
    constexpr size_t COLUMN_BYTES = PANEL_ROWS * (DTYPE == F32 ? 4 : 2);
    const size_t panelColumns = DTYPE == BF16 ? p_.columns + p_.columns % 2 : p_.columns;
    const size_t column = unit.fromStep * STEP_COLUMNS;
    return Unpacking<DTYPE>(p_.panels + (unit.panel * panelColumns + column) * COLUMN_BYTES, p_.columns - column,
                            (unit.toStep - unit.fromStep) * TILE_ROWS, unit.tiles);
  }

  void multiplyUnit(const Unit& unit, Unpacking<DTYPE>& next) {
    const size_t tileBytes = splitTileBytes(p_.columns, X_PARTS);
    const size_t pairs = (TILE_ROWS + tilePairs_ - 1) / tilePairs_;
    const size_t steps = unit.toStep - unit.fromStep;
    for (size_t row = 0; row < p_.rowCount; row += 2 * TILE_ROWS) {
      const size_t rows = p_.rowCount - row < 2 * TILE_ROWS ? p_.rowCount - row : 2 * TILE_ROWS;
      const uint8_t* x = p_.x + row / TILE_ROWS * tileBytes + unit.fromStep * X_PARTS * TILE_BYTES;
      const bool isSecond = together_ == 2 && unit.panel % 2 == 1;
      if (unit.fromStep % BLOCK_STEPS == 0) {
        if (!isSecond) {
          _tile_zero(SUM_00);
          _tile_zero(SUM_01);
        }
        if (isSecond || rows > TILE_ROWS) {
          _tile_zero(SUM_10);
          _tile_zero(SUM_11);
        }
      }
      if (rows > TILE_ROWS) multiplySteps<DTYPE, X_PARTS, Onto::all>(x, tileBytes, unit.tiles, steps, next, pairs, idle_);
      else if (isSecond) multiplySteps<DTYPE, X_PARTS, Onto::second>(x, tileBytes, unit.tiles, steps, next, pairs, idle_);
      else multiplySteps<DTYPE, X_PARTS, Onto::first>(x, tileBytes, unit.tiles, steps, next, pairs, idle_);
      if (unit.toStep % BLOCK_STEPS == 0 || unit.toStep == steps_) write(unit, row, rows, isSecond);
    }
  }

  void write(const Unit& unit, size_t row, size_t rows, bool isSecond) {
    constexpr size_t STRIDE = PANEL_ROWS * sizeof(float);
    if (!isSecond) {
      _tile_stored(SUM_00, sums_[0], STRIDE);
      _tile_stored(SUM_01, sums_[0] + TILE_ROWS, STRIDE);
    }
    if (isSecond || rows > TILE_ROWS) {
      _tile_stored(SUM_10, sums_[isSecond ? 0 : TILE_ROWS], STRIDE);
      _tile_stored(SUM_11, sums_[isSecond ? 0 : TILE_ROWS] + TILE_ROWS, STRIDE);
    }
    const bool adds = unit.toStep > BLOCK_STEPS;
    const bool addsBias = unit.toStep == steps_ && p_.bias != nullptr;
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; half++) {
      const size_t lane = unit.panel * PANEL_ROWS + half * TILE_ROWS;
      const size_t lanes = p_.rows <= lane ? 0 : p_.rows - lane < TILE_ROWS ? p_.rows - lane : TILE_ROWS;
      const __mmask16 mask = static_cast<__mmask16>((1u << lanes) - 1);
      const __m512 bias = addsBias ? _mm512_maskz_loadu_ps(mask, p_.bias + lane) : _mm512_setzero_ps();
      for (size_t i = 0; i < rows; i++) {
        float* out = p_.out + (row + i) * p_.outStride + lane;
        __m512 sum = _mm512_load_ps(sums_[i] + half * TILE_ROWS);
        if (adds) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sum);
        if (addsBias) sum = _mm512_add_ps(sum, bias);
        _mm512_mask_storeu_ps(out, mask, sum);
      }
    }
  }

  const TileProduct& p_;
  const size_t steps_ = (p_.columns + STEP_COLUMNS - 1) / STEP_COLUMNS;
  const size_t tilePairs_ = (p_.rowCount + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS);
  const size_t unitSteps_ = tilePairs_ > 1 ? BLOCK_STEPS : DTYPE == BF16 ? 4 : 2;
  const size_t together_ = p_.rowCount <= TILE_ROWS ? 2 : 1;
  const size_t unitsAPanel_ = (steps_ + unitSteps_ - 1) / unitSteps_;
  const size_t unitCount_ = unitsAPanel_ * p_.panelCount;
  // Memory is read in order where x stays in the cache as a whole. Else one block of it does, for all panels.
  const bool panelsInOrder_ = tilePairs_ == 1 || 2 * tilePairs_ * splitTileBytes(p_.columns, X_PARTS) <= X_BYTES;
  alignas(64) float sums_[2 * TILE_ROWS][PANEL_ROWS];
  alignas(64) uint8_t idle_[TILE_BYTES];
};

template <size_t X_PARTS>
void multiplyBy(const TileProduct& product) {
  if (product.dtype == F32) Multiplying<F32, X_PARTS>(product).run();
  else if (product.dtype == BF16) Multiplying<BF16, X_PARTS>(product).run();
  else Multiplying<F16, X_PARTS>(product).run();
}

// To the nearest bf16, ties to even; what is not finite does not belong into tiles.
ULTRAMEM_INLINE __m512 rounded(__m512 x) {
  const __m512i word = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(word, 16), _mm512_set1_epi32(1));
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_add_epi32(word, _mm512_set1_epi32(0x7fff)), odd));
}

}  // namespace

size_t productsOf(uint32_t dtype, size_t xParts) { return roundsOf(xParts, partsOf(dtype)); }

void splitRows(const float* x, size_t rowCount, size_t columns, size_t parts, uint8_t* tile) {
  for (size_t column = 0; column < columns; column += STEP_COLUMNS, tile += parts * TILE_BYTES) {
    const size_t rest = columns - column;
    const __mmask16 first = static_cast<__mmask16>(rest < 16 ? (1u << rest) - 1 : 0xffff);
    const __mmask16 second = static_cast<__mmask16>(rest < 16 ? 0 : rest < 32 ? (1u << (rest - 16)) - 1 : 0xffff);
    for (size_t row = 0; row < rowCount; row++) {
      const __m512 a = _mm512_maskz_loadu_ps(first, x + row * columns + column);
      const __m512 b = _mm512_maskz_loadu_ps(second, x + row * columns + column + 16);
      if (parts == 1) split<1>(rounded(a), rounded(b), inOrder, tile + row * 64, TILE_BYTES);
      else split<3>(a, b, inOrder, tile + row * 64, TILE_BYTES);
    }
    for (size_t row = rowCount; row < TILE_ROWS; row++)
      for (size_t part = 0; part < parts; part++) _mm512_store_si512(tile + part * TILE_BYTES + row * 64, _mm512_setzero_si512());
  }
}

void multiplyTiles(const TileProduct& product) {
  // A few rows take less time than a full tile.
  const TileShape few{static_cast<uint8_t>(product.rowCount < TILE_ROWS ? product.rowCount : TILE_ROWS), 64};
  const TileRegisters registers({few, few, few, few, few, few, FULL, FULL});
  if (product.xParts == 1) multiplyBy<1>(product);
  else multiplyBy<3>(product);
}

}  // namespace ultramem::amx
