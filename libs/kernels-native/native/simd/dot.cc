#include "simd/dot.h"

#include <math.h>

#include "simd/pool-rows.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

// The scale of each of eight columns from `column` on, counted from the first column of its block.
ULTRAMEM_INLINE F32x8 scalesAt(const uint8_t* scales, size_t column) {
  const size_t block = column / SCALE_BLOCK;
  const size_t left = SCALE_BLOCK - column % SCALE_BLOCK;
  F32x8 scale = F32x8{} + scaleAt(scales, block);
  if (left < LANES)
    for (size_t i = left; i < LANES; i++) scale[i] = scaleAt(scales, block + 1);
  return scale;
}

template <class Row, uint32_t Rows>
void dotRows(double* dots, const float* query, size_t columns, const DotGroup& group) {
  F64x8 sums[Rows] = {};
  size_t c = 0;
  for (; c + LANES <= columns; c += LANES) {
    if (c * Row::BYTES % CACHE_LINE == 0)
      for (uint32_t r = 0; r < Rows; r++) __builtin_prefetch(group.ahead[r] + c * Row::BYTES);
    const F64x8 factors = widen(loadUnaligned<F32x8>(query + c));
    for (uint32_t r = 0; r < Rows; r++) {
      F32x8 values = Row::load(group.row[r] + c * Row::BYTES);
      if constexpr (Row::SCALED) values *= scalesAt(group.scale[r], group.phase + c);
      sums[r] = addProduct(sums[r], widen(values), factors);
    }
  }
  for (uint32_t r = 0; r < Rows; r++) {
    for (size_t rest = c; rest < columns; rest++) {
      float value = Row::one(group.row[r] + rest * Row::BYTES);
      if constexpr (Row::SCALED) value *= scaleAt(group.scale[r], (group.phase + rest) / SCALE_BLOCK);
      sums[r][rest - c] += static_cast<double>(value) * static_cast<double>(query[rest]);
    }
    dots[r] = sumOfLanes(sums[r]);
  }
}

typedef int64_t I64x8 __attribute__((vector_size(64)));

ULTRAMEM_INLINE F64x8 where(I64x8 mask, F64x8 yes, F64x8 no) { return (F64x8)((mask & (I64x8)yes) | (~mask & (I64x8)no)); }
ULTRAMEM_INLINE F64x8 magnitude(F64x8 x) { return (F64x8)((I64x8)x & INT64_MAX); }
ULTRAMEM_INLINE bool any(I64x8 mask) {
  int64_t some = 0;
  for (size_t i = 0; i < LANES; i++) some |= mask[i];
  return some != 0;
}

// `erf` of libs/kernels/src/gate-weights.ts for eight numbers, operation by operation: a number that is done keeps its value.
ULTRAMEM_INLINE F64x8 erf8(F64x8 x) {
  const F64x8 a = magnitude(x);
  const I64x8 isFar = a > 6;
  const I64x8 isNear = a < 2.5;
  F64x8 series = x;
  if (any(isNear)) {
    F64x8 term = x;
    I64x8 active = isNear;
    for (int n = 1; n < 200; n++) {
      active &= magnitude(term) > 1e-17 * magnitude(series);
      if (!any(active)) break;
      const F64x8 next = term * ((-x * x) / static_cast<double>(n));
      term = where(active, next, term);
      series = where(active, series + next / static_cast<double>(2 * n + 1), series);
    }
    series = 2 / sqrt(M_PI) * series;
  }
  F64x8 outer = x;
  if (any(~isFar & ~isNear)) {
    F64x8 fraction = {};
    for (int n = 60; n > 0; n--) fraction = n / 2.0 / (a + fraction);
    for (size_t i = 0; i < LANES; i++) {
      const double tail = 1 - exp(-a[i] * a[i]) / (sqrt(M_PI) * (a[i] + fraction[i]));
      outer[i] = x[i] < 0 ? -tail : tail;
    }
  }
  const F64x8 one = splat8(1);
  return where(isFar, where(x < 0, -one, one), where(isNear, series, outer));
}

void gelu(float* x, size_t count) {
  for (size_t first = 0; first < count; first += LANES) {
    const size_t lanes = count - first < LANES ? count - first : LANES;
    F64x8 raw = {};
    for (size_t i = 0; i < lanes; i++) raw[i] = static_cast<double>(x[first + i]);
    const F64x8 activated = 0.5 * raw * (1 + erf8(raw / M_SQRT2));
    for (size_t i = 0; i < lanes; i++) x[first + i] = static_cast<float>(activated[i]);
  }
}

#define ULTRAMEM_DOTS(Row) {dotRows<Row, DOT_ROWS>, dotRows<Row, 1>}

}  // namespace

const DotTable dotTable{
    ULTRAMEM_DOTS(RowF32), ULTRAMEM_DOTS(RowBf16), ULTRAMEM_DOTS(RowF16), ULTRAMEM_DOTS(RowInt8), gelu,
};

}  // namespace ultramem::ULTRAMEM_ISA
