#pragma once

// Pooling with 32 vectors of eight f64: the sums of up to 128 columns stay in registers while all rows of a run are added.

#include "simd/pool-rows.h"
#include "simd/pool.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr size_t EIGHTS_MAX = 16;
constexpr size_t SCALE_EIGHTS = SCALE_BLOCK / LANES;

// Compilers leave a difference to 0 out, as they may not do with a sum.
ULTRAMEM_INLINE F64x8 spread(double x) { return x - F64x8{}; }

// Elements as they are.
template <class Row>
struct Plain {
  using Type = Row;
  static constexpr bool SCALED = false;
  ULTRAMEM_INLINE F64x8 eight(const uint8_t* from) { return widen(Row::load(from)); }
  ULTRAMEM_INLINE double one(const uint8_t* from, float) { return static_cast<double>(Row::one(from)); }
};
// int8 times a scale, rounded to f32: right for every scale. Where the product is exact, `whole` has the same bits with less work,
// because the scale can go into the weight, a product of 32 bits.
struct Scaled {
  using Type = RowInt8;
  static constexpr bool SCALED = true;
  ULTRAMEM_INLINE F64x8 eight(const uint8_t* from, float scale) { return widen(RowInt8::load(from) * (F32x8{} + scale)); }
  ULTRAMEM_INLINE F64x8 whole(const uint8_t* from) { return RowInt8::wide(from); }
  ULTRAMEM_INLINE double one(const uint8_t* from, float scale) { return static_cast<double>(RowInt8::one(from) * scale); }
};

// Columns of 8 * Eights at `offset` bytes of each row; int8 has the scale of each SCALE_EIGHTS of them from `scaleOffset` on.
template <class Element, size_t Eights>
void sumEights(const RowRun& run, size_t offset, size_t scaleOffset, float* out) {
  constexpr size_t BYTES = Element::Type::BYTES;
  constexpr size_t BLOCKS = Element::SCALED ? (Eights + SCALE_EIGHTS - 1) / SCALE_EIGHTS : 1;
  F64x8 sums[Eights] = {};
  const uint8_t* const* row = run.row;
  // Rows of foreign files begin anywhere on a line, and these columns then end on one line more.
  constexpr size_t SPAN = Eights * LANES * BYTES;
  const size_t last = (reinterpret_cast<uintptr_t>(row[0]) + offset + SPAN) % CACHE_LINE == 0 ? 0 : SPAN - 1;
  for (size_t i = 0; i < run.count; i++) {
    const uint8_t* at = row[i] + offset;
    const uint8_t* soon = row[i + ROWS_SOON] + offset;
    const uint8_t* later = row[i + run.ahead] + offset;
    // One register for each row, and constants beside it: compilers else keep a register for every constant plus `offset`.
    __asm__("" : "+r"(at), "+r"(soon), "+r"(later));
    F64x8 weight[BLOCKS];
    float scale[BLOCKS];
    bool exact = true;
    for (size_t b = 0; b < BLOCKS; b++) {
      weight[b] = spread(run.weight[i]);
      if constexpr (Element::SCALED) {
        scale[b] = scaleAt(row[i] + scaleOffset, b);
        exact = exact & isExact(scale[b]);
      }
    }
    if constexpr (Element::SCALED) {
      __builtin_prefetch(row[i + run.ahead] + scaleOffset, 0, 2);
      __builtin_prefetch(row[i + ROWS_SOON] + scaleOffset);
      if (exact)
        for (size_t b = 0; b < BLOCKS; b++) weight[b] = spread(run.weight[i] * static_cast<double>(scale[b]));
    }
    __builtin_prefetch(later + last, 0, 2);
    __builtin_prefetch(soon + last);
#pragma GCC unroll 16
    for (size_t e = 0; e < Eights; e++) {
      const size_t byte = e * LANES * BYTES;
      const size_t b = e / SCALE_EIGHTS % BLOCKS;
      if (byte % CACHE_LINE == 0) {
        __builtin_prefetch(later + byte, 0, 2);
        __builtin_prefetch(soon + byte);
      }
      if constexpr (Element::SCALED)
        sums[e] = addProduct(sums[e], weight[b], exact ? Element::whole(at + byte) : Element::eight(at + byte, scale[b]));
      else
        sums[e] = addProduct(sums[e], weight[b], Element::eight(at + byte));
    }
  }
  for (size_t e = 0; e < Eights; e++)
    for (size_t i = 0; i < LANES; i++) *out++ = static_cast<float>(sums[e][i]);
}

// sumEights for a number of eights, 1 .. Eights, that only the caller knows.
template <class Element, size_t Eights = EIGHTS_MAX>
ULTRAMEM_INLINE void sumSomeEights(size_t eights, const RowRun& run, size_t offset, size_t scaleOffset, float* out) {
  if constexpr (Eights == 1)
    sumEights<Element, 1>(run, offset, scaleOffset, out);
  else if (eights == Eights)
    sumEights<Element, Eights>(run, offset, scaleOffset, out);
  else
    sumSomeEights<Element, Eights - 1>(eights, run, offset, scaleOffset, out);
}

// Columns as far as they have the same weights, in passes over the rows that are as even as possible.
template <class Element>
void sumColumns(const RowRun& run, size_t offset, size_t scaleOffset, size_t count, float* out) {
  constexpr size_t BYTES = Element::Type::BYTES;
  size_t done = 0;
  for (size_t left = count / LANES; left > 0;) {
    const size_t passes = (left + EIGHTS_MAX - 1) / EIGHTS_MAX;
    const size_t eights = (left + passes - 1) / passes;
    sumSomeEights<Element>(eights, run, offset + done * BYTES, scaleOffset, out + done);
    left -= eights;
    done += eights * LANES;
  }
  if (done < count && count >= LANES) {
    // The last eight, some of them a second time.
    const size_t last = count - LANES;
    return sumEights<Element, 1>(run, offset + last * BYTES, scaleOffset, out + last);
  }
  for (; done < count; done++) {
    double sum = 0;
    for (size_t i = 0; i < run.count; i++) {
      const float scale = Element::SCALED ? scaleAt(run.row[i] + scaleOffset, 0) : 1;
      sum += run.weight[i] * Element::one(run.row[i] + offset + done * BYTES, scale);
    }
    out[done] = static_cast<float>(sum);
  }
}

template <class Row>
void sumRows(const RowRun& run, size_t first, size_t count, float* out) {
  sumColumns<Plain<Row>>(run, first * Row::BYTES, 0, count, out);
}

void sumScaledRows(const RowRun& run, size_t first, size_t count, float* out) {
  for (size_t done = 0; done < count;) {
    const size_t place = run.scalePhase + first + done;
    // Registers hold the sums of two blocks.
    const bool two = place % SCALE_BLOCK == 0 && count - done >= 2 * SCALE_BLOCK;
    const size_t left = two ? 2 * SCALE_BLOCK : SCALE_BLOCK - place % SCALE_BLOCK;
    const size_t taken = left < count - done ? left : count - done;
    sumColumns<Scaled>(run, first + done, run.scaleOffset + place / SCALE_BLOCK * 2, taken, out + done);
    done += taken;
  }
}

}  // namespace
}  // namespace ultramem::ULTRAMEM_ISA
