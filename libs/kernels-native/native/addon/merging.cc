#include "addon/arguments.h"
#include "addon/async-call.h"
#include "core/merge.h"

namespace ultramem {
namespace {

void requireAscending(const MergePart& part, uint64_t tokenCount) {
  uint64_t least = 0;
  for (size_t i = 0; i < part.count; i++) {
    const uint64_t token = part.token[i];
    require(token >= least && token < tokenCount, "tokens ascend inside the batch");
    least = token + 1;
  }
}

// mergePartials(engine, token and pooled of each part in turn, first and end of the columns of each, tokenCount, blockCount, width,
// out: zeros)
napi_value mergePartialsOf(Arguments& arguments) {
  const size_t first = arguments.unpack(1);
  const size_t elements = arguments.count - first;
  const auto engine = arguments.handle<Engine>(0);
  const auto columns = arguments.array<uint32_t>(2);
  MergeTask task;
  task.tokenCount = arguments.whole(3);
  task.blockCount = arguments.whole(4);
  task.width = arguments.whole(5);
  const auto out = arguments.array<float>(6);
  require(columns.size() == elements && elements % 2 == 0, "every part has tokens, pooled vectors and a column range");
  require(out.size() == sizeProduct({task.tokenCount, task.blockCount, task.width}), "the result is [tokens, blocks, width]");
  task.out = out.data();
  for (size_t i = 0; i < elements; i += 2) {
    const auto token = arguments.array<uint32_t>(first + i);
    const auto pooled = arguments.array<float>(first + i + 1);
    const MergePart part{token.data(), token.size(), columns[i], columns[i + 1], pooled.data()};
    require(part.columnBegin <= part.columnEnd && part.columnEnd <= task.width, "the columns lie inside the width");
    require(pooled.size() == sizeProduct({part.count, task.blockCount, part.columnEnd - part.columnBegin}),
            "a part is [its tokens, blocks, its columns]");
    requireAscending(part, task.tokenCount);
    task.parts.push_back(part);
  }
  return engine->call(arguments, mergeNs(task), [task](Workers& workers) { mergePartials(task, workers); });
}

}  // namespace

void registerMerging(napi_env env, napi_value exports) { exportMethod<mergePartialsOf>(env, exports, "mergePartials"); }

}  // namespace ultramem
