#include "core/attend.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "core/memory.h"
#include "core/tiles.h"
#include "simd/attend.h"
#include "simd/matmul.h"

namespace ultramem {
namespace {

// Keys whose partial result is computed by itself, so that a long cache can be shared out among threads.
constexpr size_t SPAN_KEYS = 4 * KEY_BLOCK;
// Rows (a query of one head each) that go over a block of keys together: what they need stays in a second level cache.
constexpr size_t ROWS_MAX = 96;
constexpr uint32_t F32 = 0;
constexpr float INFINITE = std::numeric_limits<float>::infinity();

// Sizes that follow from the shape.
struct Layout {
  explicit Layout(const Attention& a)
      : group(a.headCount / a.kvHeadCount),
        rowCount(a.queryCount * group),
        panelRows(matmul.panelRows),
        paddedWidth((a.headWidth + panelRows - 1) / panelRows * panelRows),
        spanCount((a.keyCount + SPAN_KEYS - 1) / SPAN_KEYS),
        keyFloats(KEY_BLOCK * a.headWidth),
        valueFloats(KEY_BLOCK * paddedWidth),
        tileFloats(matmul.heightMax * (KEY_BLOCK + std::max(KEY_BLOCK, a.headWidth))) {}

  const MatmulKernels& matmul = ULTRAMEM_PICK(matmulKernels);
  const AttendKernels& attend = ULTRAMEM_PICK(attendKernels);
  size_t group;        // query heads of one key head
  size_t rowCount;     // queries times group
  size_t panelRows;
  size_t paddedWidth;  // of a head, to whole panels
  size_t spanCount;
  size_t keyFloats;    // packed keys of one head and block
  size_t valueFloats;  // packed values of one head and block
  size_t tileFloats;   // scratch of one tile
};

// Softmax numerators of some rows over one span or several, each relative to its row's own maximum.
struct Partial {
  Partial(const Layout& layout, size_t rows, void* memory)
      : total(static_cast<double*>(memory)), max(reinterpret_cast<float*>(total + rows)), sums(max + rows), width(layout.paddedWidth) {}
  static size_t bytes(const Layout& layout, size_t rows) {
    const size_t exact = rows * (sizeof(double) + sizeof(float) * (1 + layout.paddedWidth));
    return (exact + 63) / 64 * 64;
  }
  void clear(size_t rows) const {
    std::fill_n(total, rows, 0.0);
    std::fill_n(max, rows, -INFINITE);
    std::fill_n(sums, rows * width, 0.0f);
  }

  double* total;  // [rows] of exponentials
  float* max;     // [rows]
  float* sums;    // [rows][width] of exponential times value
  size_t width;
};

// Keys `key .. key + count - 1` of one head, in panels.
struct Block {
  size_t key;
  size_t count;
  const float* keys;
  const float* values;
};

// Packs a block of one head; keys take keyFloats, values valueFloats.
Block packBlock(const Attention& a, const Layout& layout, size_t kvHead, size_t key, float* keys, float* values) {
  const size_t count = std::min(KEY_BLOCK, a.keyCount - key);
  const size_t stride = a.kvHeadCount * a.headWidth;
  const size_t at = key * stride + kvHead * a.headWidth;
  for (size_t i = 0; i < count; i += layout.panelRows)
    layout.attend.packKeys(a.keys + at + i * stride, stride, std::min(layout.panelRows, count - i), a.headWidth,
                           keys + i * a.headWidth);
  layout.attend.packValues(a.values + at, stride, count, a.headWidth, values);
  return {key, count, keys, values};
}

// Reads a block of all heads in the order of memory. Packing reads a few cache lines of each row, head by head: too little for the
// hardware to see a stream, and every line would be waited for.
void touchBlock(const Attention& a, size_t key) {
  constexpr size_t LINE = 64 / sizeof(float);
  const size_t stride = a.kvHeadCount * a.headWidth;
  const size_t end = std::min(key + KEY_BLOCK, a.keyCount) * stride;
  for (const float* cached : {a.keys, a.values})
    for (size_t at = key * stride; at < end; at += LINE) {
      uint32_t word;
      std::memcpy(&word, cached + at, sizeof word);
      asm volatile("" : : "r"(word));  // or the compiler would leave the load out
    }
}

// Some rows of one key head, in order of position: row r is query r / group of head kvHead * group + r % group.
class Rows {
 public:
  Rows(const Attention& a, const Layout& layout, size_t kvHead, size_t begin, size_t end)
      : a_(a), layout_(layout), kvHead_(kvHead), begin_(begin), tiles_(end - begin, layout.matmul.heightMax) {}

  size_t count() const { return tiles_.rowCount; }
  size_t queryFloats() const { return count() * a_.headWidth; }
  // One past the last key that any row sees.
  size_t keyEnd() const { return positionOf(count() - 1) + 1; }

  // Packs the queries into memory that stays until the last block.
  void packQueries(float* packed, float* tileScratch) {
    packed_ = packed;
    for (size_t tile = 0; tile < tiles_.count; tile++) {
      const size_t first = tiles_.begin(tile);
      const uint32_t height = tiles_.height(tile);
      for (size_t i = 0; i < height; i++)
        std::copy_n(a_.query + placeOf(first + i), a_.headWidth, tileScratch + i * a_.headWidth);
      layout_.matmul.packRows(tileScratch, a_.headWidth, height, packed + first * a_.headWidth);
    }
  }

  // Adds the block's part to `to`.
  void attendBlock(const Block& block, float* tileScratch, const Partial& to) const {
    const MatmulKernels& matmul = layout_.matmul;
    const size_t panelRows = layout_.panelRows;
    float* scores = tileScratch;
    float* weights = tileScratch + matmul.heightMax * KEY_BLOCK;
    for (size_t tile = 0; tile < tiles_.count; tile++) {
      const size_t first = tiles_.begin(tile);
      const uint32_t height = tiles_.height(tile);
      // Rows are in order of position: when the last sees nothing of this block, none does.
      if (positionOf(first + height - 1) < block.key) continue;
      // The block was packed just now: nothing needs fetching.
      for (size_t i = 0; i < block.count; i += panelRows)
        matmul.multiply(F32, Inputs::floats, height, 1,
                        {block.keys + i * a_.headWidth, 0, packed_ + first * a_.headWidth, a_.headWidth, scores + i, KEY_BLOCK,
                         nullptr, false, block.keys, 0});
      for (size_t i = 0; i < height; i++) weigh(first + i, block, scores + i * KEY_BLOCK, to);
      matmul.packRows(scores, KEY_BLOCK, height, weights);
      for (size_t column = 0; column < layout_.paddedWidth; column += panelRows)
        matmul.multiply(F32, Inputs::floats, height, 1,
                        {block.values + column * KEY_BLOCK, 0, weights, block.count, to.sums + first * to.width + column,
                         to.width, nullptr, true, block.values, 0});
    }
  }

  // Takes the partial result of a later span into that of the earlier ones.
  void merge(const Partial& into, size_t span, const Partial& from) const {
    for (size_t row = 0; row < count(); row++) {
      if (positionOf(row) < span * SPAN_KEYS) continue;
      const float max = std::max(into.max[row], from.max[row]);
      const double base = max == -INFINITE ? 0 : max;
      const double factor = std::exp(into.max[row] - base);
      const double fromFactor = std::exp(from.max[row] - base);
      layout_.attend.mergeRow(into.sums + row * into.width, static_cast<float>(factor), from.sums + row * into.width,
                              static_cast<float>(fromFactor), a_.headWidth);
      into.total[row] = into.total[row] * factor + from.total[row] * fromFactor;
      into.max[row] = max;
    }
  }

  void finish(const Partial& from) const {
    for (size_t row = 0; row < count(); row++)
      layout_.attend.divideRow(from.sums + row * from.width, static_cast<float>(from.total[row]), a_.headWidth,
                               a_.out + placeOf(row));
  }

 private:
  size_t positionOf(size_t row) const { return a_.keyCount - a_.queryCount + (begin_ + row) / layout_.group; }
  size_t headOf(size_t row) const { return kvHead_ * layout_.group + (begin_ + row) % layout_.group; }
  size_t placeOf(size_t row) const { return ((begin_ + row) / layout_.group * a_.headCount + headOf(row)) * a_.headWidth; }

  // Scores of one row to exponentials; what was summed before is brought to the new maximum.
  void weigh(size_t row, const Block& block, float* scores, const Partial& to) const {
    const size_t position = positionOf(row);
    if (position < block.key) {
      std::fill_n(scores, KEY_BLOCK, 0.0f);
      return;
    }
    SoftmaxRow softmax{scores,
                       std::min(block.count, position + 1 - block.key),
                       static_cast<float>(1 / std::sqrt(static_cast<double>(a_.headWidth))),
                       a_.slopes == nullptr ? 0.0f : a_.slopes[headOf(row)],
                       static_cast<float>(position - block.key),
                       to.max[row],
                       0,
                       0};
    layout_.attend.softmaxRow(softmax);
    to.max[row] = softmax.max;
    to.total[row] = to.total[row] * softmax.rescale + softmax.sum;
    if (softmax.rescale != 1) layout_.attend.scaleRow(to.sums + row * to.width, to.width, softmax.rescale);
  }

  const Attention& a_;
  const Layout& layout_;
  const size_t kvHead_;
  const size_t begin_;
  const Tiles tiles_;
  float* packed_ = nullptr;
};

// Few rows, as in decoding: a part takes a span of the cache for several heads, block by block, because the heads of one position lie
// side by side: head by head, every pass would walk all pages of the cache again.
class FewRows {
 public:
  FewRows(const Attention& a, const Layout& layout, size_t partsWanted)
      : a_(a),
        layout_(layout),
        headGroups_(std::clamp<size_t>(partsWanted / layout.spanCount, 1, a.kvHeadCount)),
        partialBytes_(Partial::bytes(layout, layout.rowCount)) {}

  size_t parts() const { return headGroups_ * layout_.spanCount; }
  size_t bytes() const { return a_.kvHeadCount * layout_.spanCount * partialBytes_; }
  void takeMemory(char* memory) { memory_ = memory; }

  void run(size_t part) const {
    const size_t span = part / headGroups_;
    const Slice heads = sliceOf(a_.kvHeadCount, part % headGroups_, static_cast<uint32_t>(headGroups_));
    const size_t queryFloats = layout_.rowCount * a_.headWidth;
    const size_t floats = layout_.keyFloats + layout_.valueFloats + layout_.tileFloats + (heads.end - heads.begin) * queryFloats;
    float* keys = static_cast<float*>(scratch(0, floats * sizeof(float)));
    float* values = keys + layout_.keyFloats;
    float* tile = values + layout_.valueFloats;
    std::vector<Rows> rows;
    for (size_t head = heads.begin; head < heads.end; head++) {
      rows.emplace_back(a_, layout_, head, 0, layout_.rowCount);
      rows.back().packQueries(tile + layout_.tileFloats + (head - heads.begin) * queryFloats, tile);
      partialOf(head, span).clear(layout_.rowCount);
    }
    const size_t end = std::min((span + 1) * SPAN_KEYS, a_.keyCount);
    for (size_t key = span * SPAN_KEYS; key < end; key += KEY_BLOCK) {
      if (headGroups_ == 1) touchBlock(a_, key);
      for (size_t head = heads.begin; head < heads.end; head++)
        rows[head - heads.begin].attendBlock(packBlock(a_, layout_, head, key, keys, values), tile, partialOf(head, span));
    }
    if (layout_.spanCount == 1)
      for (size_t head = heads.begin; head < heads.end; head++) rows[head - heads.begin].finish(partialOf(head, 0));
  }

  // After all parts.
  void mergeSpans() const {
    if (layout_.spanCount == 1) return;
    for (size_t head = 0; head < a_.kvHeadCount; head++) {
      const Rows rows(a_, layout_, head, 0, layout_.rowCount);
      for (size_t span = 1; span < layout_.spanCount; span++) rows.merge(partialOf(head, 0), span, partialOf(head, span));
      rows.finish(partialOf(head, 0));
    }
  }

 private:
  Partial partialOf(size_t head, size_t span) const {
    return Partial(layout_, layout_.rowCount, memory_ + (head * layout_.spanCount + span) * partialBytes_);
  }

  const Attention& a_;
  Layout layout_;
  size_t headGroups_;
  size_t partialBytes_;
  char* memory_ = nullptr;
};

void attendFewRows(std::vector<FewRows>& sequences, Workers& workers) {
  size_t bytes = 0;
  std::vector<std::pair<uint32_t, uint32_t>> parts;  // sequence, and which of its parts
  for (uint32_t i = 0; i < sequences.size(); i++) {
    bytes += sequences[i].bytes();
    for (uint32_t part = 0; part < sequences[i].parts(); part++) parts.emplace_back(i, part);
  }
  char* memory = static_cast<char*>(scratch(1, bytes));
  for (FewRows& sequence : sequences) {
    sequence.takeMemory(memory);
    memory += sequence.bytes();
  }
  workers.run(static_cast<uint32_t>(parts.size()), [&](uint32_t at, uint32_t) { sequences[parts[at].first].run(parts[at].second); });
  for (const FewRows& sequence : sequences) sequence.mergeSpans();
}

// Many rows, as in a prompt: span after span is packed once for all rows, then blocks of rows go over it.
void attendManyRows(const Attention& a, const Layout& layout, Workers& workers) {
  const size_t blocks = (layout.rowCount + ROWS_MAX - 1) / ROWS_MAX;
  const size_t parts = blocks * a.kvHeadCount;
  const size_t partialBytes = Partial::bytes(layout, ROWS_MAX);
  const size_t blockFloats = layout.keyFloats + layout.valueFloats;
  const size_t keyBlocks = std::min(SPAN_KEYS, a.keyCount + KEY_BLOCK - 1) / KEY_BLOCK;
  char* partials = static_cast<char*>(scratch(1, parts * partialBytes + a.kvHeadCount * keyBlocks * blockFloats * sizeof(float)));
  float* packed = reinterpret_cast<float*>(partials + parts * partialBytes);
  for (size_t span = 0; span < layout.spanCount; span++) {
    const size_t begin = span * SPAN_KEYS;
    const size_t end = std::min(begin + SPAN_KEYS, a.keyCount);
    const auto packedAt = [&](size_t head, size_t key) {
      return packed + (head * keyBlocks + (key - begin) / KEY_BLOCK) * blockFloats;
    };
    workers.run(static_cast<uint32_t>((end - begin + KEY_BLOCK - 1) / KEY_BLOCK), [&](uint32_t part, uint32_t) {
      const size_t key = begin + part * KEY_BLOCK;
      for (size_t head = 0; head < a.kvHeadCount; head++)
        packBlock(a, layout, head, key, packedAt(head, key), packedAt(head, key) + layout.keyFloats);
    });
    workers.run(static_cast<uint32_t>(parts), [&](uint32_t part, uint32_t) {
      // The last rows see the most keys: they start first, so that no thread begins a long part at the end.
      const size_t block = blocks - 1 - part / a.kvHeadCount;
      const size_t head = part % a.kvHeadCount;
      Rows rows(a, layout, head, layout.rowCount * block / blocks, layout.rowCount * (block + 1) / blocks);
      if (rows.keyEnd() <= begin) return;
      char* memory = static_cast<char*>(scratch(0, partialBytes + (layout.tileFloats + rows.queryFloats()) * sizeof(float)));
      float* tile = reinterpret_cast<float*>(memory + partialBytes);
      rows.packQueries(tile + layout.tileFloats, tile);
      const Partial whole(layout, rows.count(), partials + part * partialBytes);
      const Partial sums = span == 0 ? whole : Partial(layout, rows.count(), memory);
      sums.clear(rows.count());
      const size_t seen = std::min(end, rows.keyEnd());
      for (size_t key = begin; key < seen; key += KEY_BLOCK)
        rows.attendBlock({key, std::min(KEY_BLOCK, seen - key), packedAt(head, key), packedAt(head, key) + layout.keyFloats}, tile,
                         sums);
      if (span > 0) rows.merge(whole, span, sums);
      if (rows.keyEnd() <= end) rows.finish(whole);
    });
  }
}

}  // namespace

void attend(const std::vector<Attention>& batch, Workers& workers) {
  const size_t partsWanted = workers.lanes() == 1 ? 1 : (4 * workers.lanes() + batch.size() - 1) / std::max<size_t>(1, batch.size());
  std::vector<FewRows> few;
  for (const Attention& a : batch) {
    if (a.queryCount == 0 || a.headCount == 0 || a.headWidth == 0) continue;
    const Layout layout(a);
    if (layout.rowCount <= ROWS_MAX) few.emplace_back(a, layout, partsWanted);
    else attendManyRows(a, layout, workers);
  }
  if (!few.empty()) attendFewRows(few, workers);
}

double attendNs(const std::vector<Attention>& batch) {
  double ns = 0;
  for (const Attention& a : batch) {
    const double cached = static_cast<double>(a.keyCount * a.kvHeadCount * a.headWidth);
    const double macs = 2.0 * static_cast<double>(a.queryCount * a.headCount * a.headWidth) * static_cast<double>(a.keyCount);
    // Packing a cached element takes about half a nanosecond, once for keys and once for values.
    ns += cached + macs / ULTRAMEM_PICK(matmulKernels).macsPerNs;
  }
  return ns;
}

}  // namespace ultramem
