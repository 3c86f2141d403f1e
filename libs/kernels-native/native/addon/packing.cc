#include "addon/arguments.h"
#include "addon/async-call.h"
#include "core/pack.h"

namespace ultramem {
namespace {

// Rows of `width` among `count` numbers that are packed into so many bytes.
size_t rowsOf(Packing packing, size_t width, size_t count, size_t byteCount) {
  const size_t rowCount = width == 0 ? 0 : count / width;
  require(rowCount * width == count, "vectors are whole rows");
  require(byteCount == sizeProduct({rowCount, packedRowBytes(packing, width)}), "the bytes are those of every row");
  return rowCount;
}

// packVectors(engine, values, width, packing (0 bf16, 1 int8), out: bytes)
napi_value packVectorsOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto values = arguments.array<float>(1);
  const size_t width = arguments.whole(2);
  const auto packing = static_cast<Packing>(arguments.whole(3, 1));
  const auto out = arguments.array<uint8_t>(4);
  const PackTask task{values.data(), rowsOf(packing, width, values.size(), out.size()), width, packing, out.data()};
  return engine->call(arguments, packNs(values.size()), [task](Workers& workers) {
    if (!packVectors(task, workers)) throw Refusal("int8 has no place for what is not finite", "NOT_FINITE");
  });
}

// unpackVectors(engine, bytes, width, packing (0 bf16, 1 int8), out: numbers)
napi_value unpackVectorsOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto bytes = arguments.array<uint8_t>(1);
  const size_t width = arguments.whole(2);
  const auto packing = static_cast<Packing>(arguments.whole(3, 1));
  const auto out = arguments.array<float>(4);
  const UnpackTask task{bytes.data(), rowsOf(packing, width, out.size(), bytes.size()), width, packing, out.data()};
  return engine->call(arguments, packNs(out.size()), [task](Workers& workers) { unpackVectors(task, workers); });
}

}  // namespace

void registerPacking(napi_env env, napi_value exports) {
  exportMethod<packVectorsOf>(env, exports, "packVectors");
  exportMethod<unpackVectorsOf>(env, exports, "unpackVectors");
}

}  // namespace ultramem
