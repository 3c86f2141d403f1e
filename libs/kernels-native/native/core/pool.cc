#include "core/pool.h"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "simd/dot.h"
#include "simd/pool.h"

namespace ultramem {
namespace {

// How far ahead of their use rows are fetched into the second cache: covers the memory's latency and stays in the cache.
constexpr size_t FAR_BYTES = 16384;
// Entries that a thread orders and gates before it adds their rows.
constexpr size_t CHUNK_ENTRIES = 2048;
constexpr size_t PARTS_PER_LANE = 8;
// A part has so many at least, unless threads would be left without one: with every part the memory has to get going again.
constexpr size_t PART_ENTRIES = 512;

// Parts of a batch, in ranges of tokens: few enough to be long, many enough for an even load. Each thread has a power of two of them,
// which shares out a power of two of tokens evenly.
uint32_t partsOf(const Entries& entries, size_t lanes) {
  if (lanes == 1) return 1;
  const size_t least = std::min(lanes, entries.tokenCount);
  const size_t most = std::min(PARTS_PER_LANE * lanes, entries.tokenCount);
  return static_cast<uint32_t>(std::clamp(std::bit_floor(entries.count() / PART_ENTRIES / lanes) * lanes, least, most));
}

PoolTable::SumRows sumRowsOf(ValueDtype dtype) {
  const PoolTable& table = ULTRAMEM_PICK(poolTable);
  switch (dtype) {
    case ValueDtype::f32: return table.f32;
    case ValueDtype::bf16: return table.bf16;
    case ValueDtype::f16: return table.f16;
    case ValueDtype::int8Block64: break;
  }
  return table.int8;
}

const DotTable::DotRows* dotRowsOf(ValueDtype dtype) {
  const DotTable& table = ULTRAMEM_PICK(dotTable);
  switch (dtype) {
    case ValueDtype::f32: return table.f32;
    case ValueDtype::bf16: return table.bf16;
    case ValueDtype::f16: return table.f16;
    case ValueDtype::int8Block64: break;
  }
  return table.int8;
}

size_t rowsFar(const ValueTable& table) {
  return ROWS_SOON + std::clamp<size_t>(FAR_BYTES / std::max<size_t>(1, table.shape().keptBytes()), 4, 56);
}

// Columns of a row into the second cache. The last byte may lie on a line of its own.
void prefetchFar(const ValueTable& table, const uint8_t* row, Slice columns) {
  const size_t width = table.shape().width();
  if (columns.begin == columns.end) return;
  const size_t elementBytes = table.elementSpan() / width;
  const size_t end = columns.end * elementBytes;
  for (size_t at = columns.begin * elementBytes; at < end; at += 64) __builtin_prefetch(row + at, 0, 2);
  __builtin_prefetch(row + end - 1, 0, 2);
  if (table.scaleOffset() >= table.elementSpan()) __builtin_prefetch(row + table.scaleOffset(), 0, 2);
}

// Dot products of entries first .. end - 1 of one token into dots[0 ..].
void dotEntries(const ValueTable& table, const uint32_t* slot, size_t count, const float* query, double* dots) {
  const DotTable::DotRows* kernels = dotRowsOf(table.shape().dtype);
  const size_t width = table.shape().width();
  const Slice whole{0, width};
  const size_t far = rowsFar(table);
  const ReadAhead ahead(table, slot, count);
  for (size_t i = 0; i < std::min(far, count); i++) prefetchFar(table, table.row(slot[i]), whole);
  DotGroup group;
  group.phase = table.scalePhase();
  for (size_t i = 0; i < count;) {
    const size_t rows = i + DOT_ROWS <= count ? DOT_ROWS : 1;
    for (size_t r = 0; r < rows; r++) {
      group.row[r] = table.row(slot[i + r]);
      group.scale[r] = group.row[r] + table.scaleOffset();
      group.ahead[r] = table.row(slot[std::min(i + r + ROWS_SOON, count - 1)]);
      if (i + r + far < count) prefetchFar(table, table.row(slot[i + r + far]), whole);
    }
    kernels[rows == DOT_ROWS ? 0 : 1](dots + i, query, width, group);
    i += rows;
  }
}

// One thread's work: tokens of a request, one after the other, for a range of columns.
class Pooling {
 public:
  // `gated`: the weights of all entries after the gate, or nullptr to compute them on the way.
  Pooling(const ValueTable& table, const PoolRequest& request, const float* gated, Slice columns, float* out)
      : table_(table),
        request_(request),
        gatesHere_(request.pre != nullptr && gated == nullptr),
        weights_(gated == nullptr ? request.weight : gated),
        columns_(columns),
        out_(out),
        sumRows_(sumRowsOf(table.shape().dtype)),
        ahead_(rowsFar(table)) {}

  void run(size_t tokenBegin, size_t tokenEnd) {
    const uint32_t* start = request_.entries.entryStart;
    for (size_t first = tokenBegin; first < tokenEnd;) {
      size_t end = first + 1;
      while (end < tokenEnd && start[end + 1] - start[first] <= CHUNK_ENTRIES) end++;
      runChunk(first, end);
      first = end;
    }
  }

 private:
  void runChunk(size_t tokenBegin, size_t tokenEnd) {
    const uint32_t* slots = request_.entries.slot;
    const size_t entryBegin = request_.entries.entryStart[tokenBegin];
    const size_t entryCount = request_.entries.entryStart[tokenEnd] - entryBegin;
    const ReadAhead ahead(table_, slots + entryBegin, entryCount);
    const float* weights = weights_ + entryBegin * request_.coreCount;
    if (gatesHere_) {
      gate(tokenBegin, tokenEnd);
      weights = gated_.data();
    }
    orderByBlock(tokenBegin, tokenEnd, weights);
    for (size_t i = 0; i < std::min(ahead_, entryCount); i++) prefetchFar(table_, rows_[i], columns_);
    size_t begin = 0;
    for (size_t sum = 0; sum < ends_.size(); begin = ends_[sum++])
      poolRun(begin, ends_[sum] - begin, entryCount, tokenBegin * request_.blockCount + sum);
  }

  // Rows and weights of every token by block, otherwise in their order, so that each sum has its own behind one another.
  void orderByBlock(size_t tokenBegin, size_t tokenEnd, const float* weights) {
    const Entries& entries = request_.entries;
    const uint32_t* start = entries.entryStart;
    const size_t blockCount = request_.blockCount;
    const size_t coreCount = request_.coreCount;
    const size_t entryBegin = start[tokenBegin];
    const size_t entryCount = start[tokenEnd] - entryBegin;
    rows_.resize(entryCount + ahead_);
    ordered_.resize(entryCount * coreCount);
    ends_.resize((tokenEnd - tokenBegin) * blockCount);
    // In locals, because whatever is stored below could be a member.
    uint32_t* ends = ends_.data();
    const uint8_t** const rows = rows_.data();
    double* const ordered = ordered_.data();
    const uint8_t* const block = request_.block;
    const uint32_t* const slot = entries.slot;
    const ValueTable::Rows rowAt = table_.rows();
    for (size_t token = tokenBegin; token < tokenEnd; token++, ends += blockCount) {
      const size_t first = start[token];
      const size_t end = start[token + 1];
      for (size_t b = 0; b < blockCount; b++) ends[b] = 0;
      for (size_t entry = first; entry < end; entry++) ends[block[entry]]++;
      size_t begin = first - entryBegin;
      for (size_t b = 0; b < blockCount; b++) begin += std::exchange(ends[b], static_cast<uint32_t>(begin));
      const float* weight = weights + (first - entryBegin) * coreCount;
      for (size_t entry = first; entry < end; entry++) {
        const size_t place = ends[block[entry]]++;
        rows[place] = rowAt(slot[entry]);
        for (size_t core = 0; core < coreCount; core++) ordered[core * entryCount + place] = static_cast<double>(*weight++);
      }
    }
    for (size_t i = 0; i < ahead_ && entryCount > 0; i++) rows_[entryCount + i] = rows_[entryCount - 1];
  }

  void gate(size_t tokenBegin, size_t tokenEnd);

  // The sum of `count` rows from `begin` of the order, each core's columns with its weights.
  void poolRun(size_t begin, size_t count, size_t entryCount, size_t sum) {
    const TableShape& shape = table_.shape();
    RowRun run{rows_.data() + begin, nullptr, count, ahead_, table_.scaleOffset(), table_.scalePhase()};
    float* out = out_ + sum * shape.width();
    // Cores divide the full width of the table, not the rectangle.
    const size_t part = shape.fullWidth / request_.coreCount;
    for (size_t column = columns_.begin; column < columns_.end;) {
      const size_t core = (shape.columnBegin + column) / part;
      const size_t end = std::min<size_t>(columns_.end, (core + 1) * part - shape.columnBegin);
      run.weight = ordered_.data() + core * entryCount + begin;
      sumRows_(run, column, end - column, out + column);
      column = end;
    }
  }

  const ValueTable& table_;
  const PoolRequest& request_;
  const bool gatesHere_;
  const float* weights_;
  const Slice columns_;
  float* out_;
  const PoolTable::SumRows sumRows_;
  const size_t ahead_;
  std::vector<const uint8_t*> rows_;  // by token and block
  std::vector<double> ordered_;       // [cores, rows_]
  std::vector<uint32_t> ends_;        // [tokens, blocks], of their rows
  std::vector<double> dots_;
  std::vector<float> gates_;
  std::vector<float> gated_;
};

// Weights of entries of tokens, as gateWeights of libs/kernels/src/gate-weights.ts: into[0 ..], from the first token's first entry.
void gateTokens(const PoolRequest& request, size_t tokenBegin, size_t tokenEnd, std::vector<double>& dots,
                std::vector<float>& gates, float* into) {
  const PreGate& pre = *request.pre;
  const Entries& entries = request.entries;
  const size_t first = entries.entryStart[tokenBegin];
  const size_t count = entries.entryStart[tokenEnd] - first;
  const size_t width = pre.table->shape().width();
  dots.resize(count);
  gates.resize(count);
  for (size_t token = tokenBegin; token < tokenEnd; token++) {
    const size_t start = entries.entryStart[token];
    dotEntries(*pre.table, entries.slot + start, entries.entryStart[token + 1] - start, pre.query + token * width,
               dots.data() + (start - first));
  }
  for (size_t i = 0; i < count; i++) gates[i] = static_cast<float>(dots[i]);
  if (pre.activation) ULTRAMEM_PICK(dotTable).gelu(gates.data(), count);
  const size_t coreCount = request.coreCount;
  for (size_t i = 0; i < count; i++)
    for (size_t core = 0; core < coreCount; core++)
      into[i * coreCount + core] = gates[i] * request.weight[(first + i) * coreCount + core];
}

void Pooling::gate(size_t tokenBegin, size_t tokenEnd) {
  const uint32_t* start = request_.entries.entryStart;
  gated_.resize((start[tokenEnd] - start[tokenBegin]) * request_.coreCount);
  gateTokens(request_, tokenBegin, tokenEnd, dots_, gates_, gated_.data());
}

}  // namespace

int64_t firstSlotOutside(const ValueTable& table, const Entries& entries) {
  const auto begin = table.shape().rowBegin;
  const auto length = table.shape().rowEnd - begin;
  const size_t count = entries.count();
  for (size_t i = 0; i < count; i++)
    if (entries.slot[i] - begin >= length) return static_cast<int64_t>(i);
  return -1;
}

int64_t firstBlockOutside(const PoolRequest& request) {
  const size_t count = request.entries.count();
  for (size_t i = 0; i < count; i++)
    if (request.block[i] >= request.blockCount) return static_cast<int64_t>(i);
  return -1;
}

void pool(const ValueTable& table, const PoolRequest& request, float* out, Workers& workers) {
  const size_t tokenCount = request.entries.tokenCount;
  const size_t width = table.shape().width();
  if (tokenCount == 0 || width == 0) return;
  const uint32_t lanes = workers.lanes();
  if (tokenCount >= 2 * lanes || lanes == 1) {
    const uint32_t parts = partsOf(request.entries, lanes);
    workers.run(parts, [&](uint32_t part, uint32_t) {
      const Slice tokens = sliceOf(tokenCount, part, parts);
      Pooling(table, request, nullptr, {0, width}, out).run(tokens.begin, tokens.end);
    });
    return;
  }
  // Fewer tokens than threads: every thread takes some columns of every token, which changes no bit.
  std::vector<float> gated;
  if (request.pre != nullptr) {
    gated.resize(request.entries.count() * request.coreCount);
    std::vector<double> dots;
    std::vector<float> gates;
    gateTokens(request, 0, tokenCount, dots, gates, gated.data());
  }
  const float* weights = request.pre == nullptr ? nullptr : gated.data();
  workers.run(lanes, [&](uint32_t part, uint32_t) {
    const size_t vectors = (width + 15) / 16;
    const Slice slice = sliceOf(vectors, part, lanes);
    const Slice columns{std::min(width, slice.begin * 16), std::min(width, slice.end * 16)};
    if (columns.begin < columns.end) Pooling(table, request, weights, columns, out).run(0, tokenCount);
  });
}

void dotRows(const ValueTable& table, const Entries& entries, const float* query, double* out, Workers& workers) {
  const size_t tokenCount = entries.tokenCount;
  if (tokenCount == 0) return;
  const size_t width = table.shape().width();
  const uint32_t parts = partsOf(entries, workers.lanes());
  workers.run(parts, [&](uint32_t part, uint32_t) {
    const Slice tokens = sliceOf(tokenCount, part, parts);
    for (size_t token = tokens.begin; token < tokens.end; token++) {
      const size_t start = entries.entryStart[token];
      dotEntries(table, entries.slot + start, entries.entryStart[token + 1] - start, query + token * width, out + start);
    }
  });
}

double dotRowsNs(const ValueTable& table, size_t entryCount) {
  return static_cast<double>(entryCount) * (20 + static_cast<double>(table.shape().keptBytes()) / 10);
}

double poolNs(const ValueTable& table, const PoolRequest& request) {
  const size_t entryCount = request.entries.count();
  const double sums = static_cast<double>(request.entries.tokenCount) * request.blockCount * static_cast<double>(table.shape().width());
  const double gates = request.pre == nullptr ? 0 : dotRowsNs(*request.pre->table, entryCount);
  return dotRowsNs(table, entryCount) + gates + sums / 4;
}

}  // namespace ultramem
