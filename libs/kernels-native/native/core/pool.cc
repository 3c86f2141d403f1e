#include "core/pool.h"

#include <algorithm>
#include <vector>

#include "core/memory.h"
#include "simd/dot.h"
#include "simd/pool.h"

namespace ultramem {
namespace {

// Rows are fetched twice before they are used: far ahead into the second cache, which waits for more lines of memory at once than the
// first, then a little ahead into the first; both line by line between the sums. Far covers the memory's latency and stays in the
// cache.
constexpr size_t FAR_BYTES = 16384;
constexpr size_t NEAR_ROWS = 8;
// Entries that a thread orders and gates before it adds their rows.
constexpr size_t CHUNK_ENTRIES = 2048;
constexpr uint32_t PARTS_PER_LANE = 8;

const PoolTable::AddRows* addRowsOf(ValueDtype dtype) {
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
  return NEAR_ROWS + std::clamp<size_t>(FAR_BYTES / std::max<size_t>(1, table.shape().keptBytes()), 4, 56);
}

// Into the second cache. The last byte may lie on a line of its own.
void prefetchFar(const ValueTable& table, const uint8_t* row) {
  const size_t bytes = table.elementSpan();
  if (bytes == 0) return;
  for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at, 0, 2);
  __builtin_prefetch(row + bytes - 1, 0, 2);
  if (table.scaleOffset() >= bytes) __builtin_prefetch(row + table.scaleOffset(), 0, 2);
}


// Dot products of entries first .. end - 1 of one token into dots[0 ..].
void dotEntries(const ValueTable& table, const uint32_t* slot, size_t count, const float* query, double* dots) {
  const DotTable::DotRows* kernels = dotRowsOf(table.shape().dtype);
  const size_t width = table.shape().width();
  const size_t far = rowsFar(table);
  const ReadAhead ahead(table, slot, count);
  for (size_t i = 0; i < std::min(far, count); i++) prefetchFar(table, table.row(slot[i]));
  DotGroup group;
  group.phase = table.scalePhase();
  for (size_t i = 0; i < count;) {
    const size_t rows = i + DOT_ROWS <= count ? DOT_ROWS : 1;
    for (size_t r = 0; r < rows; r++) {
      group.row[r] = table.row(slot[i + r]);
      group.scale[r] = group.row[r] + table.scaleOffset();
      group.ahead[r] = table.row(slot[std::min(i + r + NEAR_ROWS, count - 1)]);
      if (i + r + far < count) prefetchFar(table, table.row(slot[i + r + far]));
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
        addRows_(addRowsOf(table.shape().dtype)),
        far_(rowsFar(table)),
        elementBytes_(table.elementBytes()),
        width_(columns.end - columns.begin),
        sums_(width_ * sizeof(double)) {}

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
  // Entries of one token and block, [begin, end) of `order_`.
  struct Run {
    size_t begin;
    size_t end;
  };

  // [entries from `firstEntry` on, coreCount]
  struct Weights {
    const float* values;
    size_t firstEntry;
  };

  void runChunk(size_t tokenBegin, size_t tokenEnd) {
    const size_t entryBegin = request_.entries.entryStart[tokenBegin];
    const size_t entryEnd = request_.entries.entryStart[tokenEnd];
    const ReadAhead ahead(table_, request_.entries.slot + entryBegin, entryEnd - entryBegin);
    orderByBlock(tokenBegin, tokenEnd);
    Weights weights{weights_, 0};
    if (gatesHere_) {
      gate(tokenBegin, tokenEnd);
      weights = {gated_.data(), entryBegin};
    }
    for (size_t i = 0; i < std::min(far_, entryEnd - entryBegin); i++) prefetchFar(table_, rowOf(i));
    size_t run = 0;
    for (size_t token = tokenBegin; token < tokenEnd; token++)
      for (uint32_t block = 0; block < request_.blockCount; block++, run++) poolRun(runs_[run], token, block, weights);
  }

  // Entries of every token by block, otherwise in their order: sums of one block then stay in the nearest cache.
  void orderByBlock(size_t tokenBegin, size_t tokenEnd) {
    const uint32_t* start = request_.entries.entryStart;
    const size_t blockCount = request_.blockCount;
    const size_t entryBegin = start[tokenBegin];
    order_.resize(start[tokenEnd] - entryBegin);
    runs_.resize((tokenEnd - tokenBegin) * blockCount);
    Run* runs = runs_.data();
    for (size_t token = tokenBegin; token < tokenEnd; token++, runs += blockCount) {
      for (size_t block = 0; block < blockCount; block++) runs[block].end = 0;
      for (size_t entry = start[token]; entry < start[token + 1]; entry++) runs[request_.block[entry]].end++;
      size_t begin = start[token] - entryBegin;
      for (size_t block = 0; block < blockCount; block++) {
        const size_t count = runs[block].end;
        runs[block] = {begin, begin};
        begin += count;
      }
      for (size_t entry = start[token]; entry < start[token + 1]; entry++)
        order_[runs[request_.block[entry]].end++] = static_cast<uint32_t>(entry);
    }
  }

  void gate(size_t tokenBegin, size_t tokenEnd);

  const uint8_t* rowOf(size_t ordered) const { return table_.row(request_.entries.slot[order_[ordered]]); }

  void poolRun(const Run& run, size_t token, uint32_t block, const Weights& weights) {
    double* sums = sums_.as<double>();
    std::fill(sums, sums + width_, 0.0);
    for (size_t i = run.begin; i < run.end; i += ROW_GROUP)
      addGroup(i, std::min<size_t>(ROW_GROUP, run.end - i), weights);
    float* out = out_ + (token * request_.blockCount + block) * table_.shape().width() + columns_.begin;
    for (size_t c = 0; c < width_; c++) out[c] = static_cast<float>(sums[c]);
  }

  // Adds rows `first .. first + count - 1` of the order, each core's columns with its weight.
  void addGroup(size_t first, size_t count, const Weights& weights) {
    const TableShape& shape = table_.shape();
    const bool scaled = shape.dtype == ValueDtype::int8Block64;
    const size_t part = shape.fullWidth / request_.coreCount;
    const uint8_t* row[ROW_GROUP];
    const uint8_t* soon[ROW_GROUP];
    const uint8_t* later[ROW_GROUP];
    const float* weight[ROW_GROUP];
    for (size_t r = 0; r < count; r++) {
      row[r] = rowOf(first + r);
      weight[r] = weights.values + (order_[first + r] - weights.firstEntry) * request_.coreCount;
      soon[r] = rowOf(std::min(first + r + NEAR_ROWS, order_.size() - 1));
      later[r] = rowOf(std::min(first + r + far_, order_.size() - 1));
      if (scaled) __builtin_prefetch(later[r] + table_.scaleOffset(), 0, 2);
    }
    RowGroup group;
    // Columns of the whole table; cores divide its full width, not the rectangle.
    const size_t begin = shape.columnBegin + columns_.begin;
    const size_t end = shape.columnBegin + columns_.end;
    for (size_t column = begin; column < end;) {
      const size_t core = column / part;
      const size_t partEnd = std::min(end, (core + 1) * part);
      const size_t inRow = column - shape.columnBegin;
      group.phase = static_cast<uint32_t>(column % SCALE_BLOCK);
      for (size_t r = 0; r < count; r++) {
        group.row[r] = row[r] + inRow * elementBytes_;
        group.soon[r] = soon[r] + inRow * elementBytes_;
        group.later[r] = later[r] + inRow * elementBytes_;
        group.weight[r] = static_cast<double>(weight[r][core]);
        if (scaled)
          group.scale[r] =
              row[r] + table_.scaleOffset() + 2 * (column / SCALE_BLOCK - shape.columnBegin / SCALE_BLOCK);
      }
      addRows_[count - 1](sums_.as<double>() + (column - begin), partEnd - column, group);
      column = partEnd;
    }
  }

  const ValueTable& table_;
  const PoolRequest& request_;
  const bool gatesHere_;
  const float* weights_;
  const Slice columns_;
  float* out_;
  const PoolTable::AddRows* addRows_;
  const size_t far_;
  const size_t elementBytes_;
  const size_t width_;
  Memory sums_;  // on cache lines, because vectors that cross one cost twice
  std::vector<uint32_t> order_;
  std::vector<Run> runs_;
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
    const auto parts = static_cast<uint32_t>(lanes == 1 ? 1 : std::min<size_t>(tokenCount, PARTS_PER_LANE * lanes));
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
  const uint32_t lanes = workers.lanes();
  const auto parts = static_cast<uint32_t>(lanes == 1 ? 1 : std::min<size_t>(tokenCount, PARTS_PER_LANE * lanes));
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
