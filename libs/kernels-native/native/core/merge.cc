#include "core/merge.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "simd/merge.h"

namespace ultramem {
namespace {

// Elements of the result that a thread takes at once.
constexpr size_t PART_ELEMENTS = 32768;

using Columns = std::pair<size_t, size_t>;
Columns columnsOf(const MergePart& part) { return {part.columnBegin, part.columnEnd}; }

void mergeRows(float* into, std::span<const float* const> rows, size_t at, size_t columns, bool single) {
  // As in the reference: where one part alone can have a token, nothing of it is 0; a sum of nothing is -0.
  if (rows.empty()) std::fill(into, into + columns, single ? 0.0f : -0.0f);
  if (rows.size() == 1) std::memcpy(into, rows[0] + at, columns * sizeof(float));
  if (rows.size() > 1) ULTRAMEM_PICK(mergeTable).sumRows(into, rows.data(), rows.size(), at, columns);
}

// @param parts of the same columns, of which there are some
void mergeTokens(const MergeTask& task, std::span<const MergePart> parts, size_t begin, size_t end) {
  const auto [columnBegin, columnEnd] = columnsOf(parts[0]);
  const size_t columns = columnEnd - columnBegin;
  const size_t perToken = task.blockCount * columns;
  // Blocks of whole rows lie one after the other in the result too.
  const size_t runColumns = columns == task.width ? perToken : columns;
  std::vector<size_t> next(parts.size());
  std::vector<const float*> rows(parts.size());
  for (size_t p = 0; p < parts.size(); p++)
    next[p] = static_cast<size_t>(std::lower_bound(parts[p].token, parts[p].token + parts[p].count, begin) - parts[p].token);
  for (size_t token = begin; token < end; token++) {
    size_t count = 0;
    for (size_t p = 0; p < parts.size(); p++)
      if (next[p] < parts[p].count && parts[p].token[next[p]] == token) rows[count++] = parts[p].pooled + next[p]++ * perToken;
    float* into = task.out + token * task.blockCount * task.width + columnBegin;
    for (size_t at = 0; at < perToken; at += runColumns, into += task.width)
      mergeRows(into, {rows.data(), count}, at, runColumns, parts.size() == 1);
  }
}

// Zeros into columns that no part has.
void clearTokens(const MergeTask& task, size_t columnBegin, size_t columnEnd, size_t begin, size_t end) {
  if (columnBegin >= columnEnd) return;
  for (size_t row = begin * task.blockCount; row < end * task.blockCount; row++)
    std::fill(task.out + row * task.width + columnBegin, task.out + row * task.width + columnEnd, 0.0f);
}

}  // namespace

void mergePartials(const MergeTask& task, Workers& workers) {
  const size_t perToken = task.blockCount * task.width;
  if (perToken == 0) return;
  std::vector<MergePart> parts = task.parts;
  std::erase_if(parts, [](const MergePart& part) { return part.columnBegin == part.columnEnd; });
  std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return columnsOf(a) < columnsOf(b); });
  const size_t tokens = std::max<size_t>(1, PART_ELEMENTS / perToken);
  workers.run(static_cast<uint32_t>((task.tokenCount + tokens - 1) / tokens), [&](uint32_t piece, uint32_t) {
    const size_t begin = piece * tokens;
    const size_t end = std::min(task.tokenCount, begin + tokens);
    size_t covered = 0;
    for (auto first = parts.begin(); first != parts.end();) {
      const auto last = std::find_if(first, parts.end(), [&](const auto& part) { return columnsOf(part) != columnsOf(*first); });
      clearTokens(task, covered, first->columnBegin, begin, end);
      mergeTokens(task, {first, last}, begin, end);
      covered = std::max(covered, first->columnEnd);
      first = last;
    }
    clearTokens(task, covered, task.width, begin, end);
  });
}

double mergeNs(const MergeTask& task) {
  double elements = static_cast<double>(task.tokenCount) * static_cast<double>(task.blockCount * task.width);
  for (const MergePart& part : task.parts)
    elements += static_cast<double>(part.count) * static_cast<double>(task.blockCount * (part.columnEnd - part.columnBegin));
  return elements / 8;
}

}  // namespace ultramem
