#include "simd/pool.h"

#include "simd/pool-rows.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr size_t CACHE_LINE = 64;
constexpr size_t SCALE_BLOCK = 64;

// How an element becomes a factor: `factor` of eight, `one` of a single one.
template <class Row>
struct Plain {
  using Type = Row;
  ULTRAMEM_INLINE F64x8 factor(const uint8_t* from, float) { return widen(Row::load(from)); }
  ULTRAMEM_INLINE double one(const uint8_t* from, float) { return static_cast<double>(Row::one(from)); }
  ULTRAMEM_INLINE double weight(double weight, float) { return weight; }
};
// int8 times a scale, rounded to f32: right for every scale.
struct Scaled {
  using Type = RowInt8;
  ULTRAMEM_INLINE F64x8 factor(const uint8_t* from, float scale) { return widen(RowInt8::load(from) * (F32x8{} + scale)); }
  ULTRAMEM_INLINE double one(const uint8_t* from, float scale) { return static_cast<double>(RowInt8::one(from) * scale); }
  ULTRAMEM_INLINE double weight(double weight, float) { return weight; }
};
// The same bits with less work, where int8 times the scale is exact: the scale then goes into the weight, a product of 32 bits.
struct Folded {
  using Type = RowInt8;
  ULTRAMEM_INLINE F64x8 factor(const uint8_t* from, float) { return RowInt8::wide(from); }
  ULTRAMEM_INLINE double one(const uint8_t* from, float) { return static_cast<double>(RowInt8::one(from)); }
  ULTRAMEM_INLINE double weight(double weight, float scale) { return weight * static_cast<double>(scale); }
};

// A bf16 has 8 bits, so only a product that is denormal or overflows is rounded.
ULTRAMEM_INLINE bool isExact(float scale) { return scale == 0 || (scale >= 0x1p-126f && scale <= 0x1p120f); }

// Columns first .. first + count - 1 of the group, all with the same scales.
template <class Element, uint32_t Rows>
ULTRAMEM_INLINE void addColumns(double* sums, size_t first, size_t count, const RowGroup& group, const float* scale) {
  constexpr size_t BYTES = Element::Type::BYTES;
  // In variables of their own, because stores of sums could change the group as far as compilers know.
  const uint8_t* row[Rows];
  const uint8_t* soon[Rows];
  const uint8_t* later[Rows];
  double weight[Rows];
  F64x8 weights[Rows];
  for (uint32_t r = 0; r < Rows; r++) {
    row[r] = group.row[r] + first * BYTES;
    soon[r] = group.soon[r] + first * BYTES;
    later[r] = group.later[r] + first * BYTES;
    weight[r] = Element::weight(group.weight[r], scale[r]);
    weights[r] = splat8(weight[r]);
  }
  sums += first;
  const auto addVector = [&](size_t c) __attribute__((always_inline)) {
    F64x8 sum = loadSums(sums + c);
    for (uint32_t r = 0; r < Rows; r++) sum = addProduct(sum, weights[r], Element::factor(row[r] + c * BYTES, scale[r]));
    storeSums(sums + c, sum);
  };
  const auto fetch = [&](size_t c) __attribute__((always_inline)) {
    for (uint32_t r = 0; r < Rows; r++) __builtin_prefetch(later[r] + c * BYTES, 0, 2);
    for (uint32_t r = 0; r < Rows; r++) __builtin_prefetch(soon[r] + c * BYTES);
  };
  size_t c = 0;
  for (; c + CACHE_LINE / BYTES <= count; c += CACHE_LINE / BYTES) {
    fetch(c);
    for (size_t i = 0; i < CACHE_LINE / BYTES; i += LANES) addVector(c + i);
  }
  if (c < count) fetch(c);
  for (; c + LANES <= count; c += LANES) addVector(c);
  for (; c < count; c++)
    for (uint32_t r = 0; r < Rows; r++) sums[c] += weight[r] * Element::one(row[r] + c * BYTES, scale[r]);
}

template <class Row, uint32_t Rows>
void addRows(double* sums, size_t columns, const RowGroup& group) {
  const float unused[Rows] = {};
  addColumns<Plain<Row>, Rows>(sums, 0, columns, group, unused);
}

template <uint32_t Rows>
void addScaledRows(double* sums, size_t columns, const RowGroup& group) {
  size_t left = SCALE_BLOCK - group.phase;
  for (size_t first = 0, block = 0; first < columns; block++) {
    const size_t count = left < columns - first ? left : columns - first;
    float scale[Rows];
    bool exact = true;
    for (uint32_t r = 0; r < Rows; r++) {
      scale[r] = scaleAt(group.scale[r], block);
      exact = exact & isExact(scale[r]);
    }
    if (exact)
      addColumns<Folded, Rows>(sums, first, count, group, scale);
    else
      addColumns<Scaled, Rows>(sums, first, count, group, scale);
    first += count;
    left = SCALE_BLOCK;
  }
}

#define ULTRAMEM_ROWS(Row) {addRows<Row, 1>, addRows<Row, 2>, addRows<Row, 3>, addRows<Row, 4>}

}  // namespace

const PoolTable poolTable{
    ULTRAMEM_ROWS(RowF32),
    ULTRAMEM_ROWS(RowBf16),
    ULTRAMEM_ROWS(RowF16),
    {addScaledRows<1>, addScaledRows<2>, addScaledRows<3>, addScaledRows<4>},
};

}  // namespace ultramem::ULTRAMEM_ISA
