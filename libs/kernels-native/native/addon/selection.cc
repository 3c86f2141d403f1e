#include <optional>
#include <vector>

#include "addon/arguments.h"
#include "addon/async-call.h"
#include "core/address.h"
#include "core/select.h"

namespace ultramem {
namespace {

struct KeysObject : KeyTable {
  static constexpr napi_type_tag TAG{0x5be2f7a90c3d4816, 0xa47c1f6e83d2b95d};
  static constexpr const char* NAME = "key table";
  using KeyTable::KeyTable;
};

// Folding the keys for new collapse vectors, per key element.
constexpr double PACK_NS = 10;

template <class Work>
void refusingNaN(const Work& work) {
  try {
    work();
  } catch (const NonFiniteScore& failure) {
    throw Refusal(failure.what(), "NON_FINITE_SCORE");
  }
}

void refusingOutside(bool inside) {
  if (!inside) throw Refusal("a virtual index lies inside the shuffle", "INDEX_OUTSIDE");
}

// createKeys(headCount, keyCount, width, rank): handle, to be filled
napi_value createKeys(Arguments& arguments) {
  const KeyShape shape{arguments.whole(0), arguments.whole(1), arguments.whole(2), arguments.whole(3)};
  require(shape.headCount > 0 && shape.width > 0 && shape.rank > 0, "keys have heads, features and ranks");
  sizeProduct({shape.listCount(), shape.keyCount, shape.rank, shape.rowStride(), sizeof(float)});
  return makeHandle(arguments.env, std::make_shared<KeysObject>(shape));
}

// fillKeys(keys, firstRow, rows: Float32Array of whole rows of the flat [heads * 2 * keyCount * rank, width])
napi_value fillKeys(Arguments& arguments) {
  const auto keys = arguments.handle<KeysObject>(0);
  const uint64_t firstRow = arguments.whole(1);
  const auto rows = arguments.array<float>(2);
  const KeyShape& shape = keys->shape();
  const size_t all = shape.listCount() * shape.keyCount * shape.rank;
  const size_t rowCount = rows.size() / shape.width;
  require(rowCount * shape.width == rows.size(), "keys are filled by whole rows");
  require(firstRow <= all && rowCount <= all - firstRow, "the rows lie inside the key table");
  keys->fill(firstRow, rowCount, rows.data());
  return nullptr;
}

// releaseKeys(keys)
napi_value releaseKeys(Arguments& arguments) {
  arguments.release<KeysObject>(0);
  return nullptr;
}

// keysBytes(keys): number
napi_value keysBytes(Arguments& arguments) {
  napi_value bytes;
  check(napi_create_double(arguments.env, static_cast<double>(arguments.handle<KeysObject>(0)->residentBytes()), &bytes));
  return bytes;
}

// What a call of `scoreKeys` or `select` says; the small arrays are copied, so that JS cannot change them after they were checked.
struct Request {
  std::shared_ptr<KeysObject> keys;
  ScoreTask task;
  std::vector<uint32_t> groupOfHead;
  std::vector<float> row;
  std::vector<float> column;

  // keys, query, tokenCount, groupCount, groupOfHead, row, column, k: arguments 1 to 8
  explicit Request(Arguments& arguments) : keys(arguments.handle<KeysObject>(1)) {
    const KeyShape& shape = keys->shape();
    const auto query = arguments.array<float>(2);
    const uint64_t tokenCount = arguments.whole(3);
    const uint64_t groupCount = arguments.whole(4);
    const auto groups = arguments.array<uint32_t>(5);
    const auto rowVectors = arguments.array<float>(6);
    const auto columnVectors = arguments.array<float>(7);
    const uint64_t k = arguments.whole(8, 65535);
    require(query.size() == sizeProduct({tokenCount, groupCount, SIDES, shape.width}), "the query is [tokenCount, groupCount, 2, width]");
    require(groups.size() == shape.headCount, "every head has a query group");
    for (uint32_t group : groups) require(group < groupCount, "a head takes a query group that is there");
    require(rowVectors.size() == shape.headCount * shape.rank && columnVectors.size() == shape.headCount * shape.rank,
            "u and v are [heads, rank]");
    require(k > 0 && k <= shape.keyCount, "k is at least 1 and at most the number of keys");
    groupOfHead.assign(groups.begin(), groups.end());
    row.assign(rowVectors.begin(), rowVectors.end());
    column.assign(columnVectors.begin(), columnVectors.end());
    task = {query.data(), tokenCount, groupCount, groupOfHead.data(), row.data(), column.data(), k};
  }

  double packNs() const {
    const KeyShape& shape = keys->shape();
    if (keys->isPacked(row.data(), column.data())) return 0;
    return PACK_NS * static_cast<double>(shape.listCount() * shape.keyCount * shape.width * shape.rank);
  }
};

// scoreKeys(engine, keys, query, tokenCount, groupCount, groupOfHead, row, column, k, firstKey, index, refined)
napi_value scoreKeysOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto request = std::make_shared<Request>(arguments);
  const auto firstKey = static_cast<uint32_t>(arguments.whole(9));
  const auto index = arguments.array<uint32_t>(10);
  const auto refined = arguments.array<float>(11);
  const KeyShape& shape = request->keys->shape();
  require(index.size() == sizeProduct({request->task.tokenCount, shape.listCount(), request->task.k}), "the index is [tokenCount, heads, 2, k]");
  require(refined.size() == sizeProduct({index.size(), shape.rank}), "refined scores are [tokenCount, heads, 2, k, rank]");
  return engine->call(arguments, scoreNs(*request->keys, request->task) + request->packNs(), [=](Workers& workers) {
    refusingNaN([&] { scoreKeys(*request->keys, request->task, firstKey, index.data(), refined.data(), workers); });
  });
}

// Where the winners of `listCount` lists go: virtualIndex, scores or null without cores, rankScore, sums or null with cores; four
// arguments from `at` on.
Winners winnersOf(Arguments& arguments, size_t at, uint64_t listCount, uint64_t k, uint64_t coreCount, bool hasCores) {
  const auto virtualIndex = arguments.array<double>(at);
  const auto scores = arguments.optionalArray<float>(at + 1);
  const auto rankScore = arguments.array<float>(at + 2);
  const auto sums = arguments.optionalArray<double>(at + 3);
  const size_t count = sizeProduct({listCount, k});
  require(virtualIndex.size() == count && rankScore.size() == count, "winners are [tokenCount, heads, k]");
  require(hasCores ? scores.size() == sizeProduct({count, coreCount}) : sums.size() == count, "every winner has its scores");
  return {virtualIndex.data(), hasCores ? scores.data() : nullptr, rankScore.data(), hasCores ? nullptr : sums.data()};
}

// Block and slot of `virtualIndex`: shuffle or null, virtualCount, windowRows, tableRows, offset, slot, block or null; seven arguments from
// `at` on.
AddressTask addressingOf(Arguments& arguments, size_t at, const double* virtualIndex, size_t count) {
  const auto shuffle = arguments.optionalArray<uint32_t>(at);
  const uint64_t virtualCount = arguments.whole(at + 1, UINT32_MAX);
  const uint64_t windowRows = arguments.whole(at + 2, UINT32_MAX);
  const uint64_t tableRows = arguments.whole(at + 3, UINT32_MAX);
  const uint64_t offset = arguments.whole(at + 4, UINT32_MAX);
  const auto slot = arguments.array<uint32_t>(at + 5);
  const auto block = arguments.optionalArray<uint8_t>(at + 6);
  require(count == 0 || virtualCount > 0, "there is a virtual index");
  require(shuffle.data() == nullptr || shuffle.size() == virtualCount, "the shuffle has every virtual index");
  require(windowRows > 0 && windowRows <= tableRows && offset < tableRows, "a window begins inside the table and is no longer");
  require(slot.size() == count && (block.data() == nullptr || block.size() == count), "every virtual index gets its slot and block");
  return {virtualIndex, count, shuffle.data(), virtualCount, windowRows, tableRows, offset, slot.data(), block.data()};
}

// select(engine, keys, query, tokenCount, groupCount, groupOfHead, row, column, k, cores or null, coreCount, virtualIndex, scores,
// rankScore, sums); with seven more, block and slot too
napi_value selectOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto request = std::make_shared<Request>(arguments);
  const auto cores = arguments.optionalArray<float>(9);
  const uint64_t coreCount = arguments.whole(10);
  const KeyShape& shape = request->keys->shape();
  const size_t k = request->task.k;
  const bool hasCores = cores.data() != nullptr;
  require(hasCores ? cores.size() == sizeProduct({coreCount, shape.headCount, shape.rank, shape.rank}) : coreCount == 1 && shape.rank == 1,
          "cores are [coreCount, heads, rank, rank]");
  const Winners winners = winnersOf(arguments, 11, sizeProduct({request->task.tokenCount, shape.headCount}), k, coreCount, hasCores);
  const GridShape grid{shape.headCount, shape.keyCount, shape.rank, k, coreCount, cores.data()};
  const size_t count = sizeProduct({request->task.tokenCount, shape.headCount, k});
  std::optional<AddressTask> addressing;
  if (arguments.count > 15) addressing = addressingOf(arguments, 15, winners.virtualIndex, count);
  const double ns = scoreNs(*request->keys, request->task) + gridNs(grid, request->task.tokenCount) + request->packNs() +
                    (addressing ? addressNs(*addressing) : 0);
  return engine->call(arguments, ns, [=](Workers& workers) {
    const AddressTask* addresses = addressing ? &*addressing : nullptr;
    refusingNaN([&] { refusingOutside(select(*request->keys, request->task, grid.cores, grid.coreCount, winners, addresses, workers)); });
  });
}

// selectGrid(engine, index, refined, tokenCount, headCount, k, keyCount, rank, cores or null, coreCount, virtualIndex, scores,
// rankScore, sums)
napi_value selectGridOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto index = arguments.array<uint32_t>(1);
  const auto refined = arguments.array<float>(2);
  const uint64_t tokenCount = arguments.whole(3);
  const uint64_t headCount = arguments.whole(4);
  const uint64_t k = arguments.whole(5, 65535);
  const uint64_t keyCount = arguments.whole(6);
  const uint64_t rank = arguments.whole(7);
  const auto cores = arguments.optionalArray<float>(8);
  const uint64_t coreCount = arguments.whole(9);
  const bool hasCores = cores.data() != nullptr;
  require(k > 0 && headCount > 0 && rank > 0, "there are candidates, heads and ranks");
  require(index.size() == sizeProduct({tokenCount, headCount, SIDES, k}), "candidates are [tokenCount, heads, 2, k]");
  require(refined.size() == sizeProduct({index.size(), rank}), "every candidate has a refined score per rank");
  require(hasCores ? cores.size() == sizeProduct({coreCount, headCount, rank, rank}) : coreCount == 1 && rank == 1,
          "cores are [coreCount, heads, rank, rank]");
  const Winners winners = winnersOf(arguments, 10, sizeProduct({tokenCount, headCount}), k, coreCount, hasCores);
  const GridShape shape{headCount, keyCount, rank, k, coreCount, cores.data()};
  const GridTask task{index.data(), refined.data(), tokenCount};
  return engine->call(arguments, gridNs(shape, tokenCount),
                      [=](Workers& workers) { refusingNaN([&] { selectGrid(shape, task, winners, workers); }); });
}

// addressValues(engine, virtualIndex, and the seven of `addressingOf`)
napi_value addressOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto virtualIndex = arguments.array<double>(1);
  const AddressTask task = addressingOf(arguments, 2, virtualIndex.data(), virtualIndex.size());
  return engine->call(arguments, addressNs(task), [=](Workers& workers) { refusingOutside(address(task, workers)); });
}

}  // namespace

void registerSelection(napi_env env, napi_value exports) {
  exportMethod<createKeys>(env, exports, "createKeys");
  exportMethod<fillKeys>(env, exports, "fillKeys");
  exportMethod<releaseKeys>(env, exports, "releaseKeys");
  exportMethod<keysBytes>(env, exports, "keysBytes");
  exportMethod<scoreKeysOf>(env, exports, "scoreKeys");
  exportMethod<selectOf>(env, exports, "select");
  exportMethod<selectGridOf>(env, exports, "selectGrid");
  exportMethod<addressOf>(env, exports, "addressValues");
}

}  // namespace ultramem
