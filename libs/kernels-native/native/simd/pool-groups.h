#pragma once

// Pooling with few registers: rows are added in groups, each from its first column to its last, to sums that stay in the nearest cache.
// Passes over few columns, whose sums stay in registers, would read less than three lines of a row at a time, which the memory answers
// half as fast; only ranges that have no more columns are added that way.

#include <algorithm>

#include "simd/pool-steps.h"
#include "simd/pool.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr size_t GROUP_ROWS = 4;
// Columns whose sums are in the cache at once.
constexpr size_t SUMS_MAX = 512;
// Long steps whose sums are in registers at once.
#if defined(ULTRAMEM_ISA_AVX2) || defined(ULTRAMEM_ISA_NEON)
constexpr size_t LONGS_MAX = 3;
#else
constexpr size_t LONGS_MAX = 1;
#endif

// Rows of a group at their first column of a range, and rows to fetch meanwhile.
template <size_t Rows>
struct Group {
  static constexpr size_t ROWS = Rows;
  const uint8_t* row[Rows];
  const uint8_t* soon[Rows];
  const uint8_t* later[Rows];
  double weight[Rows];
  float scale[Rows];

  Group(const RowRun& run, size_t first, size_t offset) {
    for (size_t r = 0; r < Rows; r++) {
      row[r] = run.row[first + r] + offset;
      soon[r] = run.row[first + r + ROWS_SOON] + offset;
      later[r] = run.row[first + r + run.ahead] + offset;
      // One register for each row, and constants beside it: compilers else keep a register for every constant plus `offset`.
      __asm__("" : "+r"(row[r]), "+r"(soon[r]), "+r"(later[r]));
      weight[r] = run.weight[first + r];
    }
  }
  void fetch(size_t byte) const {
    for (size_t r = 0; r < Rows; r++) {
      __builtin_prefetch(later[r] + byte, 0, 2);
      __builtin_prefetch(soon[r] + byte);
    }
  }
};

template <class Step>
ULTRAMEM_INLINE typename Step::Sum loadSum(const double* sums, size_t i) {
  return loadUnaligned<typename Step::Sum>(sums + i * (Step::COLUMNS / Step::SUMS));
}
template <class Step>
ULTRAMEM_INLINE void storeSum(double* sums, size_t i, typename Step::Sum sum) {
  __builtin_memcpy(sums + i * (Step::COLUMNS / Step::SUMS), &sum, sizeof sum);
}

// Some columns, which begin `offset` bytes from a group's first one, in steps: as many of the longest as fit, then of eight columns, then
// of one.
template <class Row, class LongStep = Long<Row>>
class Steps {
 public:
  template <bool SCALED, size_t Rows>
  void add(double* sums, size_t count, const Group<Rows>& group, size_t offset) {
    each(count, [&](auto& step, size_t steps, size_t column) {
      addSteps<SCALED>(step, steps, sums + column, group, offset + column * Row::BYTES);
    });
  }
  void write(const double* sums, size_t count, float* out) {
    each(count, [&](auto& step, size_t steps, size_t column) {
      for (size_t end = column + steps * step.COLUMNS; column < end; column += step.COLUMNS) step.write(sums + column, out + column);
    });
  }
  bool holds() const { return longest_.holds(); }

 private:
  template <class Use>
  void each(size_t count, Use use) {
    const size_t eightsFrom = count - count % LongStep::COLUMNS;
    const size_t onesFrom = count - count % LANES;
    use(longest_, eightsFrom / LongStep::COLUMNS, 0);
    use(eight_, (onesFrom - eightsFrom) / LANES, eightsFrom);
    use(one_, count - onesFrom, onesFrom);
  }

  template <bool SCALED, class Step, size_t Rows>
  void addSteps(Step& step, size_t steps, double* sums, const Group<Rows>& group, size_t offset) {
    constexpr size_t BYTES = Step::COLUMNS * Row::BYTES;
    Step local = step;  // in registers
    typename Step::Sum weight[Rows];
#pragma GCC unroll 4
    for (size_t r = 0; r < Rows; r++) weight[r] = Step::spread(group.weight[r]);
    for (size_t done = 0; done < steps * BYTES; done += BYTES, sums += Step::COLUMNS) {
      if (done % CACHE_LINE == 0) group.fetch(offset + done);
      typename Step::Sum kept[Step::SUMS];
#pragma GCC unroll 8
      for (size_t i = 0; i < Step::SUMS; i++) kept[i] = loadSum<Step>(sums, i);
#pragma GCC unroll 4
      for (size_t r = 0; r < Rows; r++) {
        const uint8_t* from = group.row[r] + offset + done;
        if constexpr (SCALED) local.addScaled(kept, weight[r], from, group.scale[r]);
        else local.add(kept, weight[r], from);
      }
#pragma GCC unroll 8
      for (size_t i = 0; i < Step::SUMS; i++) storeSum<Step>(sums, i, kept[i]);
    }
    step = local;
  }

  LongStep longest_;
  Plain<Row, 2> eight_;
  One<Row> one_;
};

// add(group) for all rows of a run: in groups while there are enough, then one by one.
template <class Add>
ULTRAMEM_INLINE void inGroups(const RowRun& run, size_t offset, Add add) {
  size_t row = 0;
  for (; row + GROUP_ROWS <= run.count; row += GROUP_ROWS) add(Group<GROUP_ROWS>(run, row, offset));
  for (; row < run.count; row++) add(Group<1>(run, row, offset));
}

// Passes of Count long steps, whose sums stay in registers while all rows of a run are added.
template <class Row, size_t Count>
bool sumInRegisters(const RowRun& run, size_t offset, float* out) {
  using Step = Long<Row>;
  constexpr size_t BYTES = Step::COLUMNS * Row::BYTES;
  constexpr size_t SUMS = Count * Step::SUMS;
  Step step;
  typename Step::Sum sums[SUMS];
#pragma GCC unroll 32
  for (size_t i = 0; i < SUMS; i++) sums[i] = typename Step::Sum{};
  for (size_t row = 0; row < run.count; row++) {
    const Group<1> group(run, row, offset);
    const auto weight = Step::spread(group.weight[0]);
    group.fetch(Count * BYTES - 1);
#pragma GCC unroll 4
    for (size_t i = 0; i < Count; i++) {
      if (i * BYTES % CACHE_LINE == 0) group.fetch(i * BYTES);
      step.add(sums + i * Step::SUMS, weight, group.row[0] + i * BYTES);
    }
  }
  double written[Count * Step::COLUMNS];
#pragma GCC unroll 32
  for (size_t i = 0; i < SUMS; i++) storeSum<Step>(written, i, sums[i]);
  for (size_t column = 0; column < Count * Step::COLUMNS; column += Step::COLUMNS) Step::write(written + column, out + column);
  return step.holds();
}

template <class Row, class LongStep>
bool sumInGroups(const RowRun& run, size_t offset, size_t count, float* out) {
  double sums[SUMS_MAX];
  std::fill_n(sums, count, 0.0);
  Steps<Row, LongStep> steps;
  inGroups(run, offset, [&](auto group) {
    group.fetch(count * Row::BYTES - 1);  // where rows begin within a line, the range ends on one line more
    steps.template add<false>(sums, count, group, 0);
  });
  steps.write(sums, count, out);
  return steps.holds();
}

template <class Row>
void sumRows(const RowRun& run, size_t first, size_t count, float* out) {
  constexpr size_t COLUMNS = Long<Row>::COLUMNS;
  for (size_t done = 0, taken; done < count; done += taken) {
    const size_t left = count - done;
    const size_t offset = (first + done) * Row::BYTES;
    bool holds;
    if (left % COLUMNS == 0 && left <= 2 * LONGS_MAX * COLUMNS) {
      const size_t longs = left / COLUMNS;
      const size_t now = longs > LONGS_MAX ? (longs + 1) / 2 : longs;
      taken = now * COLUMNS;
      holds = now == 1   ? sumInRegisters<Row, 1>(run, offset, out + done)
              : now == 2 ? sumInRegisters<Row, 2>(run, offset, out + done)
                         : sumInRegisters<Row, LONGS_MAX>(run, offset, out + done);
    } else {
      taken = left < SUMS_MAX ? left : SUMS_MAX;
      holds = sumInGroups<Row, Long<Row>>(run, offset, taken, out + done);
    }
    if (!holds) sumInGroups<Row, Plain<Row, 2>>(run, offset, taken, out + done);
  }
}

// int8 times its block's scale, rounded to f32. Where all these products of a group are exact, scales go into weights, which makes a
// product of 32 bits: the same bits with less work.
void sumScaledRows(const RowRun& run, size_t first, size_t count, float* out) {
  for (size_t done = 0; done < count; done += SUMS_MAX) {
    const size_t taken = count - done < SUMS_MAX ? count - done : SUMS_MAX;
    const size_t phase = run.scalePhase + first + done;
    double sums[SUMS_MAX];
    std::fill_n(sums, taken, 0.0);
    Steps<RowInt8> steps;
    // use(column, columns) for each block of a scale
    const auto inBlocks = [&](auto use) {
      for (size_t column = 0, end; column < taken; column = end) {
        end = column + SCALE_BLOCK - (phase + column) % SCALE_BLOCK;
        end = end < taken ? end : taken;
        use(column, end - column);
      }
    };
    inGroups(run, first + done, [&](auto group) {
      const size_t scales = run.scaleOffset - first - done;
      group.fetch(taken - 1);
      group.fetch(scales + phase / SCALE_BLOCK * 2);
      const auto plain = group;
      inBlocks([&](size_t column, size_t columns) {
        bool exact = true;
        for (size_t r = 0; r < group.ROWS; r++) {
          group.scale[r] = scaleAt(group.row[r] + scales, (phase + column) / SCALE_BLOCK);
          exact = exact & isExact(group.scale[r]);
        }
        for (size_t r = 0; r < group.ROWS; r++)
          group.weight[r] = exact ? plain.weight[r] * static_cast<double>(group.scale[r]) : plain.weight[r];
        if (exact) steps.add<false>(sums + column, columns, group, column);
        else steps.add<true>(sums + column, columns, group, column);
      });
    });
    inBlocks([&](size_t column, size_t columns) { steps.write(sums + column, columns, out + done + column); });
  }
}

}  // namespace
}  // namespace ultramem::ULTRAMEM_ISA
