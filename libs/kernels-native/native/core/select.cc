#include "core/select.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "core/select-block.h"

namespace ultramem {
namespace {

// Tokens of a block: enough to share gathered rows, few enough that what lies between the stages stays in the cache.
constexpr size_t BLOCK_TOKENS_MAX = 64;

// Blocks of the calling thread's computations, one for each part that runs at the same time. They keep their memory.
SelectBlock& blockOf(std::vector<std::unique_ptr<SelectBlock>>& blocks, size_t at) { return *blocks[at]; }

std::vector<std::unique_ptr<SelectBlock>>& blocksFor(size_t count) {
  thread_local std::vector<std::unique_ptr<SelectBlock>> blocks;
  while (blocks.size() < count) blocks.push_back(std::make_unique<SelectBlock>());
  return blocks;
}

using Stage = std::function<void(SelectBlock& block, size_t side)>;

// Does `onSide` for both sides and then `finish` for every head and block of tokens. Where parts are too few for the threads, the
// two sides are parts of their own.
void forBlocks(const KeyTable& keys, const PackedKeys& packed, const ScoreTask& task, Workers& workers, const Stage& onSide,
               const Stage& finish) {
  const size_t headCount = keys.shape().headCount;
  const size_t lanes = workers.lanes();
  if (task.tokenCount == 0) return;
  const size_t perHead = (lanes + headCount - 1) / headCount;
  const size_t blockTokens = std::clamp<size_t>((task.tokenCount + perHead - 1) / perHead, 1, BLOCK_TOKENS_MAX);
  const size_t blocks = (task.tokenCount + blockTokens - 1) / blockTokens;
  const size_t parts = blocks * headCount;
  std::vector<std::unique_ptr<SelectBlock>>& memory = blocksFor(std::max(lanes, std::min(parts, lanes)));
  const auto begin = [&](SelectBlock& block, size_t part) {
    const size_t first = part % blocks * blockTokens;
    block.begin(keys, packed, task, part / blocks, first, std::min(blockTokens, task.tokenCount - first));
  };
  if (parts * SIDES <= lanes) {
    for (size_t part = 0; part < parts; part++) begin(blockOf(memory, part), part);
    workers.run(static_cast<uint32_t>(parts * SIDES),
                [&](uint32_t part, uint32_t) { onSide(blockOf(memory, part / SIDES), part % SIDES); });
    workers.run(static_cast<uint32_t>(parts), [&](uint32_t part, uint32_t) { finish(blockOf(memory, part), 0); });
    return;
  }
  workers.run(static_cast<uint32_t>(parts), [&](uint32_t part, uint32_t lane) {
    SelectBlock& block = blockOf(memory, lane);
    begin(block, part);
    for (size_t side = 0; side < SIDES; side++) onSide(block, side);
    finish(block, 0);
  });
}

}  // namespace

void scoreKeys(KeyTable& keys, const ScoreTask& task, uint32_t firstKey, uint32_t* index, float* refined, Workers& workers) {
  const std::shared_ptr<const PackedKeys> packed = keys.packed(task.row, task.column, workers);
  forBlocks(
      keys, *packed, task, workers,
      [&](SelectBlock& block, size_t side) {
        block.findKeys(side);
        block.writeCandidates(side, firstKey, index, refined);
      },
      [](SelectBlock&, size_t) {});
}

void select(KeyTable& keys, const ScoreTask& task, const float* cores, size_t coreCount, const Winners& into, Workers& workers) {
  const std::shared_ptr<const PackedKeys> packed = keys.packed(task.row, task.column, workers);
  const KeyShape& shape = keys.shape();
  const GridShape grid{shape.headCount, shape.keyCount, shape.rank, task.k, coreCount, cores};
  forBlocks(
      keys, *packed, task, workers,
      [](SelectBlock& block, size_t side) {
        block.findKeys(side);
        block.boundRefined(side);
      },
      [&](SelectBlock& block, size_t) { block.writeWinners(grid, into); });
}

void selectGrid(const GridShape& shape, const GridTask& task, const Winners& into, Workers& workers) {
  const size_t k = shape.k;
  const size_t rank = shape.rank;
  const size_t stride = shape.columnStride();
  const uint32_t parts = static_cast<uint32_t>(std::min<size_t>(workers.lanes() * size_t{4}, task.tokenCount));
  workers.run(parts * static_cast<uint32_t>(shape.headCount), [&](uint32_t part, uint32_t) {
    const size_t head = part / parts;
    GridSelection selection;
    selection.begin(shape, head);
    const std::vector<double> none(rank, 0.0);
    std::vector<float> columns(SIDES * rank * stride);
    std::vector<uint32_t> cells;
    const Slice tokens = sliceOf(task.tokenCount, part % parts, parts);
    for (size_t token = tokens.begin; token < tokens.end; token++) {
      const size_t list = token * shape.headCount + head;
      const float* refined = task.refined + list * SIDES * k * rank;
      bool finite = true;
      for (size_t i = 0; i < SIDES * k * rank; i++) {
        const size_t candidate = i / rank;
        columns[(candidate / k * rank + i % rank) * stride + candidate % k] = refined[i];
        finite = finite && refined[i] - refined[i] == 0;
      }
      const uint32_t* keys = task.index + list * SIDES * k;
      const ExactSide rowSide{keys, refined, nullptr};
      const ExactSide columnSide{keys + k, refined + k * rank, nullptr};
      cells.clear();
      if (finite && selection.findCells({columns.data(), none.data()}, {columns.data() + rank * stride, none.data()}, cells))
        selection.choose(cells.data(), cells.size(), rowSide, columnSide, list * k, into);
      else
        selection.chooseFromAll(rowSide, columnSide, list * k, into);
    }
  });
}

double scoreNs(const KeyTable& keys, const ScoreTask& task) {
  // Measured: what a key costs in 8 bits, what a candidate costs in 16 bits, in f64 and in the grid.
  const KeyShape& shape = keys.shape();
  const double lists = static_cast<double>(task.tokenCount * shape.listCount());
  const double perKey = static_cast<double>(shape.width) / 200 + 0.6;
  const double perCandidate = static_cast<double>(shape.width * shape.rank) / 25 + 10;
  return lists * (static_cast<double>(shape.keyCount) * perKey + static_cast<double>(task.k) * perCandidate + 500);
}

double gridNs(const GridShape& shape, size_t tokenCount) {
  const double cells = static_cast<double>(shape.k) * static_cast<double>(shape.k);
  return static_cast<double>(tokenCount * shape.headCount) * (cells * (0.05 * static_cast<double>(shape.rank) + 0.1) + static_cast<double>(shape.k) * 20 + 500);
}

}  // namespace ultramem
