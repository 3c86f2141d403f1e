#include "core/select.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "core/select-block.h"

namespace ultramem {
namespace {

// Tokens of a block: as many as can share gathered rows, and at least some where a block's survivors would need much memory.
constexpr size_t BLOCK_TOKENS_MAX = 256;
constexpr size_t BLOCK_TOKENS_MIN = 64;
constexpr size_t BLOCK_SURVIVORS_MAX = size_t{1} << 19;
// One alone makes the faster thread wait for the slower; more share too little.
constexpr size_t BLOCKS_A_LANE = 2;

// Blocks of the calling thread's computations, one for each lane. They keep their memory.
std::vector<std::unique_ptr<SelectBlock>>& blocksFor(size_t count) {
  thread_local std::vector<std::unique_ptr<SelectBlock>> blocks;
  while (blocks.size() < count) blocks.push_back(std::make_unique<SelectBlock>());
  return blocks;
}

using Step = std::function<void(SelectBlock& block)>;

// Takes every head and block of tokens through `step`.
void forBlocks(const KeyTable& keys, const PackedKeys& packed, const ScoreTask& task, Workers& workers, const Step& step) {
  const size_t headCount = keys.shape().headCount;
  if (task.tokenCount == 0) return;
  const size_t perHead = (BLOCKS_A_LANE * workers.lanes() + headCount - 1) / headCount;
  const size_t most = std::clamp(BLOCK_SURVIVORS_MAX / keys.shape().keyCount, BLOCK_TOKENS_MIN, BLOCK_TOKENS_MAX);
  const size_t blockTokens = std::clamp<size_t>((task.tokenCount + perHead - 1) / perHead, 1, most);
  const size_t blocks = (task.tokenCount + blockTokens - 1) / blockTokens;
  std::vector<std::unique_ptr<SelectBlock>>& memory = blocksFor(workers.lanes());
  workers.run(static_cast<uint32_t>(blocks * headCount), [&](uint32_t part, uint32_t lane) {
    SelectBlock& block = *memory[lane];
    const size_t first = part % blocks * blockTokens;
    block.begin(keys, packed, task, part / blocks, first, std::min(blockTokens, task.tokenCount - first));
    step(block);
  });
}

}  // namespace

void scoreKeys(KeyTable& keys, const ScoreTask& task, uint32_t firstKey, uint32_t* index, float* refined, Workers& workers) {
  const std::shared_ptr<const PackedKeys> packed = keys.packed(task.row, task.column, workers);
  forBlocks(keys, *packed, task, workers, [&](SelectBlock& block) {
    for (size_t side = 0; side < SIDES; side++) {
      block.findKeys(side);
      block.writeCandidates(side, firstKey, index, refined);
    }
  });
}

bool select(KeyTable& keys, const ScoreTask& task, const float* cores, size_t coreCount, const Winners& into, const AddressTask* addressing,
            Workers& workers) {
  const std::shared_ptr<const PackedKeys> packed = keys.packed(task.row, task.column, workers);
  const KeyShape& shape = keys.shape();
  const GridShape grid{shape.headCount, shape.keyCount, shape.rank, task.k, coreCount, cores};
  std::atomic<bool> inside{true};
  forBlocks(keys, *packed, task, workers, [&](SelectBlock& block) {
    for (size_t side = 0; side < SIDES; side++) {
      block.findKeys(side);
      block.boundRefined(side);
    }
    block.writeWinners(grid, into, addressing);
    if (addressing != nullptr && !block.address(*addressing)) inside = false;
  });
  return inside;
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
    LineVector<float> columns(SIDES * rank * stride);
    std::vector<float> largest(SIDES * rank);
    LineVector<uint32_t> cells;
    const Slice tokens = sliceOf(task.tokenCount, part % parts, parts);
    for (size_t token = tokens.begin; token < tokens.end; token++) {
      const size_t list = token * shape.headCount + head;
      const float* refined = task.refined + list * SIDES * k * rank;
      bool finite = true;
      std::fill(largest.begin(), largest.end(), 0.0f);
      for (size_t i = 0; i < SIDES * k * rank; i++) {
        const size_t candidate = i / rank;
        const size_t column = candidate / k * rank + i % rank;
        columns[column * stride + candidate % k] = refined[i];
        largest[column] = std::max(largest[column], std::fabs(refined[i]));
        finite = finite && refined[i] - refined[i] == 0;
      }
      const uint32_t* keys = task.index + list * SIDES * k;
      const ExactSide rowSide{keys, refined, nullptr};
      const ExactSide columnSide{keys + k, refined + k * rank, nullptr};
      cells.clear();
      const ApproximateSide rowColumns{columns.data(), none.data(), largest.data()};
      const ApproximateSide columnColumns{columns.data() + rank * stride, none.data(), largest.data() + rank};
      if (finite && selection.findCells(rowColumns, columnColumns, cells))
        selection.choose(cells.data(), cells.size(), rowSide, columnSide, list * k, into);
      else
        selection.chooseFromAll(rowSide, columnSide, list * k, into);
    }
  });
}

double scoreNs(const KeyTable& keys, const ScoreTask& task) {
  // Measured: what a key costs in 8 bits, what a candidate costs in 16 bits, in f64 and in the grid; and reading all keys once.
  const KeyShape& shape = keys.shape();
  const double lists = static_cast<double>(task.tokenCount * shape.listCount());
  const double keyCount = static_cast<double>(shape.keyCount);
  const double width = static_cast<double>(shape.width);
  const double perKey = width / 200 + 0.6;
  const double perCandidate = width * static_cast<double>(shape.rank) / 25 + 10;
  const double reading = static_cast<double>(shape.listCount()) * keyCount * width / 64;
  return reading + lists * (keyCount * perKey + static_cast<double>(task.k) * perCandidate + 500);
}

double gridNs(const GridShape& shape, size_t tokenCount) {
  const double cells = static_cast<double>(shape.k) * static_cast<double>(shape.k);
  return static_cast<double>(tokenCount * shape.headCount) * (cells * (0.05 * static_cast<double>(shape.rank) + 0.1) + static_cast<double>(shape.k) * 20 + 500);
}

}  // namespace ultramem
