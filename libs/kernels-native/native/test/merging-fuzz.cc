// Sums of random parts of ragged batches and column ranges against plain loops: the same bits. Token numbers that ascend nowhere, as
// JavaScript could make them meanwhile, leave no array.
#include <algorithm>

#include "core/merge.h"
#include "test/driver.h"

using namespace ultramem;
using namespace ultramem::test;

namespace {

struct Part {
  Exact<uint32_t> token;
  Exact<float> pooled;
  size_t columnBegin;
  size_t columnEnd;
};

struct Batch {
  std::vector<Part> parts;
  MergeTask task;
  Exact<float> out;
};

float number(Random& random) {
  const float scales[] = {0.0f, -0.0f, 1, 0x1p60f, 0x1p-149f, INFINITY};
  return random.normal() * scales[random.below(random.oneIn(50) ? 6 : 5)];
}

Batch makeBatch(Random& random) {
  MergeTask task{{}, random.below(60), random.below(5), random.below(random.oneIn(3) ? 400 : 40), nullptr};
  Batch batch{{}, task, Exact<float>(task.tokenCount * task.blockCount * task.width)};
  const size_t rowParts = random.below(8);
  const size_t columnParts = random.between(1, 4);
  const size_t missing = random.below(8);  // columns that no part has, if there are so many
  for (size_t row = 0; row < rowParts; row++) {
    std::vector<uint32_t> hit;
    const size_t oneIn = random.between(1, 4);
    for (uint32_t t = 0; t < task.tokenCount; t++)
      if (random.oneIn(oneIn)) hit.push_back(t);
    for (size_t column = 0; column < columnParts; column++) {
      if (column == missing) continue;
      const size_t begin = task.width * column / columnParts;
      const size_t end = task.width * (column + 1) / columnParts;
      Part part{Exact<uint32_t>(hit.size()), Exact<float>(hit.size() * task.blockCount * (end - begin)), begin, end};
      std::copy(hit.begin(), hit.end(), part.token.data());
      for (size_t i = 0; i < part.pooled.size(); i++) part.pooled[i] = number(random);
      batch.parts.push_back(std::move(part));
    }
  }
  batch.task.out = batch.out.data();
  for (const Part& part : batch.parts)
    batch.task.parts.push_back({part.token.data(), part.token.size(), part.columnBegin, part.columnEnd, part.pooled.data()});
  return batch;
}

void checkSums(Batch& batch, Workers& workers) {
  const MergeTask& task = batch.task;
  mergePartials(task, workers);
  for (size_t at = 0; at < batch.out.size(); at++) {
    const size_t column = at % task.width;
    const size_t block = at / task.width % task.blockCount;
    const size_t token = at / task.width / task.blockCount;
    double sum = -0.0;
    size_t having = 0;  // the column, and of those the token
    size_t answering = 0;
    for (const MergePart& part : task.parts) {
      if (column < part.columnBegin || column >= part.columnEnd) continue;
      having++;
      const size_t index = static_cast<size_t>(std::find(part.token, part.token + part.count, token) - part.token);
      const size_t columns = part.columnEnd - part.columnBegin;
      if (index == part.count) continue;
      answering++;
      sum += static_cast<double>(part.pooled[(index * task.blockCount + block) * columns + column - part.columnBegin]);
    }
    // As in the reference: where one part at most could answer and does not, the result is 0.
    expectSameBits("sum", at, batch.out[at], having < 2 && answering == 0 ? 0.0f : static_cast<float>(sum));
  }
}

void checkWildTokens(Random& random, Batch& batch, Workers& workers) {
  for (Part& part : batch.parts)
    for (size_t i = 0; i < part.token.size(); i++)
      if (random.oneIn(2)) part.token[i] = static_cast<uint32_t>(random.oneIn(2) ? random.below(100) : UINT32_MAX - random.below(2));
  mergePartials(batch.task, workers);
}

}  // namespace

int main(int argc, char** argv) {
  answerIsas(argc, argv);
  inRounds(600, [](Random& random, Workers& workers) {
    Batch batch = makeBatch(random);
    checkSums(batch, workers);
    checkWildTokens(random, batch, workers);
  });
}
