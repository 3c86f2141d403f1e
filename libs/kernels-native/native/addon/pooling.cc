#include "addon/arguments.h"
#include "addon/async-call.h"
#include "core/pool.h"
#include "core/value-table.h"

namespace ultramem {
namespace {

struct ValueObject {
  static constexpr napi_type_tag TAG{0x51f3c27d0a9e4b86, 0x8c74d1e6f02b395a};
  static constexpr const char* NAME = "value table";
  std::unique_ptr<ValueTable> table;
};

constexpr uint64_t WHOLE_MAX = uint64_t{1} << 53;

template <class Work>
auto reading(Work&& work) {
  try {
    return work();
  } catch (const ReadFailure& failure) {
    throw Refusal(failure.what(), "CHECKPOINT_READ_FAILED");
  }
}

// Arguments at .. at + 6: dtype (0 f32, 1 bf16, 2 f16, 3 int8Block64), tableRows, fullWidth, first and end of the rows, of the columns.
TableShape shapeOf(const Arguments& arguments, size_t at) {
  TableShape shape;
  shape.dtype = static_cast<ValueDtype>(arguments.whole(at, 3));
  shape.tableRows = arguments.whole(at + 1);
  shape.fullWidth = arguments.whole(at + 2);
  shape.rowBegin = arguments.whole(at + 3);
  shape.rowEnd = arguments.whole(at + 4);
  shape.columnBegin = arguments.whole(at + 5);
  shape.columnEnd = arguments.whole(at + 6);
  require(shape.rowBegin <= shape.rowEnd && shape.rowEnd <= shape.tableRows, "the rows lie inside the table");
  require(shape.columnBegin <= shape.columnEnd && shape.columnEnd <= shape.fullWidth, "the columns lie inside the table");
  sizeProduct({shape.tableRows, shape.rowBytes()});
  return shape;
}

napi_value makeTable(napi_env env, std::unique_ptr<ValueTable> table) {
  auto object = std::make_shared<ValueObject>();
  object->table = std::move(table);
  return makeHandle(env, std::move(object));
}

// mapValues(path, offset of the table's first byte, bytes of memory that the process may have, shape...): handle
napi_value mapValues(Arguments& arguments) {
  const std::string path = arguments.text(0);
  const uint64_t offset = arguments.whole(1, WHOLE_MAX);
  const uint64_t memoryBytes = arguments.whole(2, WHOLE_MAX);
  const TableShape shape = shapeOf(arguments, 3);
  return makeTable(arguments.env, reading([&] { return ValueTable::map(shape, path, offset, memoryBytes); }));
}

// createValues(shape...): handle, to be filled
napi_value createValues(Arguments& arguments) {
  return makeTable(arguments.env, ValueTable::allocate(shapeOf(arguments, 0)));
}

// fillValues(table, firstRow of the rectangle, bytes: Uint8Array of whole rows without gaps)
napi_value fillValues(Arguments& arguments) {
  const auto object = arguments.handle<ValueObject>(0);
  ValueTable& table = *object->table;
  const uint64_t firstRow = arguments.whole(1);
  const auto bytes = arguments.array<uint8_t>(2);
  const TableShape& shape = table.shape();
  const uint64_t keptBytes = shape.keptBytes();
  const uint64_t rowCount = keptBytes == 0 ? 0 : bytes.size() / keptBytes;
  require(table.isWritable(), "a mapped table is not filled");
  require(rowCount * keptBytes == bytes.size(), "the bytes are whole rows");
  const uint64_t rows = shape.rowEnd - shape.rowBegin;
  require(firstRow <= rows && rowCount <= rows - firstRow, "the rows lie inside the rectangle");
  if (!bytes.empty()) table.fill(firstRow, bytes.data(), bytes.size());
  return nullptr;
}

// releaseValues(table)
napi_value releaseValues(Arguments& arguments) {
  arguments.release<ValueObject>(0);
  return nullptr;
}

// valueBytes(table): number
napi_value valueBytes(Arguments& arguments) {
  napi_value bytes;
  check(napi_create_double(arguments.env, static_cast<double>(arguments.handle<ValueObject>(0)->table->residentBytes()), &bytes));
  return bytes;
}

// Arguments at, at + 1: entryStart and slot.
Entries entriesOf(const Arguments& arguments, size_t at) {
  const auto entryStart = arguments.array<uint32_t>(at);
  const auto slot = arguments.array<uint32_t>(at + 1);
  require(!entryStart.empty(), "entryStart has one entry per token and one more");
  require(entryStart.front() == 0 && entryStart.back() == slot.size(), "entryStart runs from 0 to the number of entries");
  for (size_t token = 0; token + 1 < entryStart.size(); token++)
    require(entryStart[token] <= entryStart[token + 1], "entryStart never goes back");
  return {entryStart.size() - 1, entryStart.data(), slot.data()};
}

void requireSlots(const ValueTable& table, const Entries& entries) {
  const int64_t bad = firstSlotOutside(table, entries);
  if (bad < 0) return;
  const TableShape& shape = table.shape();
  throw Refusal("slot " + std::to_string(entries.slot[bad]) + " was asked for; expected a slot of " +
                    std::to_string(shape.rowBegin) + " to " + std::to_string(static_cast<int64_t>(shape.rowEnd) - 1) +
                    "; check that both sides hold the same plan and model",
                "SLOT_OUT_OF_RANGE");
}

// poolValues(engine, table, entryStart, slot, block, blockCount, weight, coreCount, pre table or null, pre query, activation, out)
napi_value poolValues(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto values = arguments.handle<ValueObject>(1);
  const ValueTable& table = *values->table;
  const Entries entries = entriesOf(arguments, 2);
  const auto block = arguments.array<uint8_t>(4);
  const uint64_t blockCount = arguments.whole(5, 256);
  const auto weight = arguments.array<float>(6);
  const uint64_t coreCount = arguments.whole(7);
  const auto out = arguments.array<float>(11);
  const TableShape& shape = table.shape();
  require(block.size() == entries.count(), "every entry has a block");
  require(coreCount > 0 && shape.fullWidth % coreCount == 0, "cores weigh equal parts of the full width");
  require(weight.size() == sizeProduct({entries.count(), coreCount}), "every entry has a weight per core");
  require(out.size() == sizeProduct({entries.tokenCount, blockCount, shape.width()}), "the result is [tokens, blocks, columns]");
  std::shared_ptr<ValueObject> preValues;
  PreGate gate{};
  if (!arguments.isNull(8)) {
    preValues = arguments.handle<ValueObject>(8);
    const auto query = arguments.array<float>(9);
    const TableShape& preShape = preValues->table->shape();
    require(preShape.width() == preShape.fullWidth, "a gate takes whole pre-value rows");
    require(query.size() == sizeProduct({entries.tokenCount, preShape.fullWidth}), "the query is [tokenCount, table columns]");
    gate = {preValues->table.get(), query.data(), arguments.boolean(10)};
  }
  PoolRequest request{entries, block.data(), static_cast<uint32_t>(blockCount), weight.data(), static_cast<uint32_t>(coreCount), nullptr};
  const int64_t badBlock = firstBlockOutside(request);
  if (preValues != nullptr) requireSlots(*preValues->table, entries);
  if (badBlock >= 0)
    throw Refusal("block " + std::to_string(block[badBlock]) + " was asked for; expected a block below " +
                      std::to_string(blockCount) + "; check that both sides hold the same model",
                  "BLOCK_OUT_OF_RANGE");
  requireSlots(table, entries);
  if (preValues != nullptr) request.pre = &gate;
  const double estimatedNs = poolNs(table, request);
  return engine->call(arguments, estimatedNs, [=](Workers& workers) {
    PoolRequest job = request;
    if (preValues != nullptr) job.pre = &gate;
    pool(*values->table, job, out.data(), workers);
    reading([&] {
      values->table->verify();
      if (preValues != nullptr) preValues->table->verify();
    });
  });
}

// dotValues(engine, table, entryStart, slot, query, out [entries])
napi_value dotValues(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto values = arguments.handle<ValueObject>(1);
  const Entries entries = entriesOf(arguments, 2);
  const auto query = arguments.array<float>(4);
  const auto out = arguments.array<double>(5);
  const ValueTable& table = *values->table;
  require(query.size() == sizeProduct({entries.tokenCount, table.shape().width()}), "the query is [tokenCount, table columns]");
  require(out.size() == entries.count(), "the result is [entries]");
  requireSlots(table, entries);
  return engine->call(arguments, dotRowsNs(table, entries.count()), [=](Workers& workers) {
    dotRows(*values->table, entries, query.data(), out.data(), workers);
    reading([&] { values->table->verify(); });
  });
}

}  // namespace

void registerPooling(napi_env env, napi_value exports) {
  exportMethod<mapValues>(env, exports, "mapValues");
  exportMethod<createValues>(env, exports, "createValues");
  exportMethod<fillValues>(env, exports, "fillValues");
  exportMethod<releaseValues>(env, exports, "releaseValues");
  exportMethod<valueBytes>(env, exports, "valueBytes");
  exportMethod<poolValues>(env, exports, "poolValues");
  exportMethod<dotValues>(env, exports, "dotValues");
}

}  // namespace ultramem
