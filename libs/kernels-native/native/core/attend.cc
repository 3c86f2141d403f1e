#include "core/attend.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/memory.h"
#include "core/tiles.h"
#include "simd/attend.h"
#include "simd/matmul.h"

namespace ultramem {
namespace {

// Keys that one part takes where a long cache is shared out among threads.
constexpr size_t SPAN_KEYS = 16 * KEY_BLOCK;
// Rows (a query of one head each) that share the packed keys of a block.
constexpr size_t ROWS_MAX = 96;
constexpr float INFINITE = std::numeric_limits<float>::infinity();

// Softmax numerators of some rows, each relative to its own maximum.
struct Partial {
  float* sums;    // [rows][paddedWidth] of exponential times value
  float* max;     // [rows]
  double* total;  // [rows] of exponentials
};

// The rows of one key head, in order of position: row r is query r / group of head kvHead * group + r % group.
class RowBlock {
 public:
  RowBlock(const Attention& a, size_t kvHead, size_t begin, size_t end)
      : a_(a), kvHead_(kvHead), begin_(begin), tiles_(end - begin, matmul_.heightMax) {}

  static size_t paddedWidth(const Attention& a) {
    const size_t panelRows = ULTRAMEM_PICK(matmulKernels).panelRows;
    return (a.headWidth + panelRows - 1) / panelRows * panelRows;
  }
  // Bytes of a Partial, and of what computing one needs besides.
  static size_t partialBytes(const Attention& a) {
    return ROWS_MAX * (sizeof(double) + sizeof(float) + paddedWidth(a) * sizeof(float));
  }
  static size_t workBytes(const Attention& a) {
    const size_t rowFloats = ROWS_MAX * (a.headWidth + KEY_BLOCK);
    const size_t blockFloats = KEY_BLOCK * (a.headWidth + paddedWidth(a));
    const size_t tileFloats = ULTRAMEM_PICK(matmulKernels).heightMax * std::max(KEY_BLOCK, a.headWidth);
    return (rowFloats + blockFloats + tileFloats) * sizeof(float);
  }
  static Partial partialAt(const Attention& a, void* memory) {
    double* total = static_cast<double*>(memory);
    float* max = reinterpret_cast<float*>(total + ROWS_MAX);
    return {max + ROWS_MAX, max, total};
  }

  size_t rows() const { return tiles_.rowCount; }
  // Whether any row sees a key of this span.
  bool sees(size_t span) const { return span * SPAN_KEYS <= positionOf(rows() - 1); }

  // The partial result of keys span * SPAN_KEYS and on.
  void attendSpan(size_t span, void* work, const Partial& to) {
    placeWork(static_cast<float*>(work));
    packQueries();
    std::fill_n(to.sums, rows() * padded_, 0.0f);
    std::fill_n(to.max, rows(), -INFINITE);
    std::fill_n(to.total, rows(), 0.0);
    const size_t end = std::min((span + 1) * SPAN_KEYS, positionOf(rows() - 1) + 1);
    for (size_t key = span * SPAN_KEYS; key < end; key += KEY_BLOCK) attendBlock(key, std::min(KEY_BLOCK, end - key), to);
  }

  // Takes the partial result of a later span into an earlier one's.
  void merge(const Partial& into, size_t span, const Partial& from) const {
    for (size_t row = 0; row < rows(); row++) {
      if (positionOf(row) < span * SPAN_KEYS) continue;
      const float max = std::max(into.max[row], from.max[row]);
      const double base = max == -INFINITE ? 0 : max;
      const double factor = std::exp(into.max[row] - base);
      const double fromFactor = std::exp(from.max[row] - base);
      attend_.mergeRow(into.sums + row * padded_, static_cast<float>(factor), from.sums + row * padded_,
                       static_cast<float>(fromFactor), a_.headWidth);
      into.total[row] = into.total[row] * factor + from.total[row] * fromFactor;
      into.max[row] = max;
    }
  }

  void finish(const Partial& from) const {
    for (size_t row = 0; row < rows(); row++)
      attend_.divideRow(from.sums + row * padded_, static_cast<float>(from.total[row]), a_.headWidth, a_.out + placeOf(row));
  }

 private:
  size_t positionOf(size_t row) const { return a_.keyCount - a_.queryCount + (begin_ + row) / group_; }
  size_t headOf(size_t row) const { return kvHead_ * group_ + (begin_ + row) % group_; }
  size_t placeOf(size_t row) const { return ((begin_ + row) / group_ * a_.headCount + headOf(row)) * a_.headWidth; }

  void placeWork(float* work) {
    packedQueries_ = work;
    scores_ = packedQueries_ + ROWS_MAX * a_.headWidth;
    packedKeys_ = scores_ + ROWS_MAX * KEY_BLOCK;
    packedValues_ = packedKeys_ + KEY_BLOCK * a_.headWidth;
    tileRows_ = packedValues_ + KEY_BLOCK * padded_;
  }

  void packQueries() {
    for (size_t tile = 0; tile < tiles_.count; tile++) {
      const size_t first = tiles_.begin(tile);
      const uint32_t height = tiles_.height(tile);
      for (size_t i = 0; i < height; i++)
        std::copy_n(a_.query + placeOf(first + i), a_.headWidth, tileRows_ + i * a_.headWidth);
      matmul_.packRows(tileRows_, a_.headWidth, height, packedQueries_ + first * a_.headWidth);
    }
  }

  void attendBlock(size_t key, size_t count, const Partial& to) {
    const size_t panelRows = matmul_.panelRows;
    const size_t stride = a_.kvHeadCount * a_.headWidth;
    const size_t at = key * stride + kvHead_ * a_.headWidth;
    const size_t panels = (count + panelRows - 1) / panelRows;
    for (size_t panel = 0; panel < panels; panel++)
      attend_.packKeys(a_.keys + at + panel * panelRows * stride, stride, std::min(panelRows, count - panel * panelRows),
                       a_.headWidth, packedKeys_ + panel * panelRows * a_.headWidth);
    packValues(a_.values + at, stride, count);
    for (size_t tile = 0; tile < tiles_.count; tile++) {
      // Rows are in order of position: when the last sees nothing of this block, none does.
      const size_t first = tiles_.begin(tile);
      const uint32_t height = tiles_.height(tile);
      if (positionOf(first + height - 1) < key) continue;
      float* scores = scores_ + first * KEY_BLOCK;
      for (size_t panel = 0; panel < panels; panel++)
        matmul_.multiply(F32, height, 1,
                         {packedKeys_ + panel * panelRows * a_.headWidth, 0, packedQueries_ + first * a_.headWidth, a_.headWidth,
                          scores + panel * panelRows, KEY_BLOCK, nullptr, false});
      for (size_t i = 0; i < height; i++) weigh(first + i, key, count, to);
      matmul_.packRows(scores, KEY_BLOCK, height, tileRows_);
      for (size_t column = 0; column < padded_; column += panelRows)
        matmul_.multiply(F32, height, 1,
                         {packedValues_ + column * KEY_BLOCK, 0, tileRows_, count, to.sums + first * padded_ + column, padded_,
                          nullptr, true});
    }
  }

  // Scores of one row to exponentials; what was summed before is brought to the new maximum.
  void weigh(size_t row, size_t key, size_t count, const Partial& to) {
    float* scores = scores_ + row * KEY_BLOCK;
    const size_t position = positionOf(row);
    if (position < key) {
      std::fill_n(scores, KEY_BLOCK, 0.0f);
      return;
    }
    SoftmaxRow softmax{scores,
                       std::min(count, position + 1 - key),
                       scale_,
                       a_.slopes == nullptr ? 0.0f : a_.slopes[headOf(row)],
                       static_cast<float>(position - key),
                       to.max[row],
                       0,
                       0};
    attend_.softmaxRow(softmax);
    to.max[row] = softmax.max;
    to.total[row] = to.total[row] * softmax.rescale + softmax.sum;
    if (softmax.rescale != 1) attend_.scaleRow(to.sums + row * padded_, padded_, softmax.rescale);
  }

  // [count] rows of values to panels [paddedWidth / panelRows][KEY_BLOCK][panelRows], zeros beyond the width.
  void packValues(const float* values, size_t stride, size_t count) {
    const size_t panelRows = matmul_.panelRows;
    for (size_t column = 0; column < padded_; column += panelRows) {
      const size_t taken = std::min(panelRows, a_.headWidth - column);
      for (size_t i = 0; i < count; i++) {
        float* to = packedValues_ + column * KEY_BLOCK + i * panelRows;
        std::fill_n(std::copy_n(values + i * stride + column, taken, to), panelRows - taken, 0.0f);
      }
    }
  }

  static constexpr uint32_t F32 = 0;

  const MatmulKernels& matmul_ = ULTRAMEM_PICK(matmulKernels);
  const AttendKernels& attend_ = ULTRAMEM_PICK(attendKernels);
  const Attention& a_;
  const size_t kvHead_;
  const size_t begin_;
  const Tiles tiles_;
  const size_t group_ = a_.headCount / a_.kvHeadCount;
  const size_t padded_ = paddedWidth(a_);
  const float scale_ = static_cast<float>(1 / std::sqrt(static_cast<double>(a_.headWidth)));

  float* packedQueries_ = nullptr;
  float* scores_ = nullptr;
  float* packedKeys_ = nullptr;
  float* packedValues_ = nullptr;
  float* tileRows_ = nullptr;  // of one tile: queries before they are packed, weights of the values after
};

}  // namespace

void attend(const Attention& a, Workers& workers) {
  if (a.queryCount == 0 || a.headWidth == 0) return;
  const size_t rowCount = a.queryCount * (a.headCount / a.kvHeadCount);
  const size_t blocks = (rowCount + ROWS_MAX - 1) / ROWS_MAX;
  const size_t spans = (a.keyCount + SPAN_KEYS - 1) / SPAN_KEYS;
  const size_t parts = a.kvHeadCount * blocks;
  const size_t partialBytes = RowBlock::partialBytes(a);
  // The last blocks see the most keys: they start first, so that no thread begins a long one at the end.
  const auto rowBlock = [&](size_t part) {
    const size_t block = blocks - 1 - part / a.kvHeadCount;
    return RowBlock(a, part % a.kvHeadCount, rowCount * block / blocks, rowCount * (block + 1) / blocks);
  };
  if (spans == 1 || parts >= 4 * workers.lanes() || workers.lanes() == 1) {
    workers.run(static_cast<uint32_t>(parts), [&](uint32_t part, uint32_t) {
      RowBlock rows = rowBlock(part);
      char* memory = static_cast<char*>(scratch(0, 2 * partialBytes + RowBlock::workBytes(a)));
      const Partial whole = RowBlock::partialAt(a, memory);
      const Partial next = RowBlock::partialAt(a, memory + partialBytes);
      for (size_t span = 0; span < spans && rows.sees(span); span++) {
        rows.attendSpan(span, memory + 2 * partialBytes, span == 0 ? whole : next);
        if (span > 0) rows.merge(whole, span, next);
      }
      rows.finish(whole);
    });
    return;
  }
  char* partials = static_cast<char*>(scratch(1, parts * spans * partialBytes));
  const auto partialOf = [&](size_t part, size_t span) { return RowBlock::partialAt(a, partials + (part * spans + span) * partialBytes); };
  workers.run(static_cast<uint32_t>(parts * spans), [&](uint32_t at, uint32_t) {
    RowBlock rows = rowBlock(at / spans);
    if (rows.sees(at % spans)) rows.attendSpan(at % spans, scratch(0, RowBlock::workBytes(a)), partialOf(at / spans, at % spans));
  });
  for (size_t part = 0; part < parts; part++) {
    const RowBlock rows = rowBlock(part);
    for (size_t span = 1; span < spans && rows.sees(span); span++) rows.merge(partialOf(part, 0), span, partialOf(part, span));
    rows.finish(partialOf(part, 0));
  }
}

double attendNs(const Attention& a) {
  const double cached = static_cast<double>(a.keyCount * a.kvHeadCount * a.headWidth);
  const double macs = 2.0 * static_cast<double>(a.queryCount * a.headCount * a.headWidth) * static_cast<double>(a.keyCount);
  // Packing a cached element takes about half a nanosecond, once for keys and once for values.
  return cached + macs / ULTRAMEM_PICK(matmulKernels).macsPerNs;
}

}  // namespace ultramem
