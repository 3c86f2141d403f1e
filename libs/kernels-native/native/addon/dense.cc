#include "addon/arguments.h"
#include "addon/async-call.h"
#include "core/attend.h"
#include "core/feed-forward.h"
#include "core/matmul.h"
#include "core/normalise.h"
#include "core/rotate.h"

namespace ultramem {
namespace {

struct MatrixObject : PackedMatrix {
  static constexpr napi_type_tag TAG{0x0d7c1b9a43f24e61, 0xb28f6c5de1907a34};
  static constexpr const char* NAME = "matrix";
  using PackedMatrix::PackedMatrix;
};

// createMatrix(dtype: 0 f32, 1 bf16, 2 f16, rows, columns, roundsX): handle, to be filled
napi_value createMatrix(Arguments& arguments) {
  const auto dtype = static_cast<Dtype>(arguments.whole(0, 2));
  const uint64_t rows = arguments.whole(1);
  const uint64_t columns = arguments.whole(2);
  sizeProduct({rows, columns, bytesOf(dtype)});
  return makeHandle(arguments.env, std::make_shared<MatrixObject>(dtype, rows, columns, arguments.boolean(3)));
}

// fillMatrix(engine, matrix, firstRow, bytes: Uint8Array of whole rows)
napi_value fillMatrix(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto matrix = arguments.handle<MatrixObject>(1);
  const uint64_t firstRow = arguments.whole(2);
  const auto bytes = arguments.array<uint8_t>(3);
  const size_t rowBytes = matrix->columns() * bytesOf(matrix->dtype());
  const size_t rowCount = rowBytes == 0 ? 0 : bytes.size() / rowBytes;
  require(rowCount * rowBytes == bytes.size(), "the bytes are whole rows");
  require(firstRow <= matrix->rows() && rowCount <= matrix->rows() - firstRow, "the rows lie inside the matrix");
  return engine->call(arguments, static_cast<double>(bytes.size()) / 4,
                      [=](Workers& workers) { matrix->fill(firstRow, rowCount, bytes.data(), workers); });
}

// releaseMatrix(matrix)
napi_value releaseMatrix(Arguments& arguments) {
  arguments.release<MatrixObject>(0);
  return nullptr;
}

// matrixBytes(matrix): number
napi_value matrixBytes(Arguments& arguments) {
  napi_value bytes;
  check(napi_create_double(arguments.env, static_cast<double>(arguments.handle<MatrixObject>(0)->residentBytes()), &bytes));
  return bytes;
}

// matmul(engine, matrix, x [rowCount, columns], rowCount, bias [rows] or null, out [rowCount, rows])
napi_value matmulOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto matrix = arguments.handle<MatrixObject>(1);
  const auto x = arguments.array<float>(2);
  const uint64_t rowCount = arguments.whole(3);
  const auto bias = arguments.optionalArray<float>(4);
  const auto out = arguments.array<float>(5);
  require(x.size() == sizeProduct({rowCount, matrix->columns()}), "x is [rowCount, columns]");
  require(out.size() == sizeProduct({rowCount, matrix->rows()}), "the result is [rowCount, rows]");
  require(bias.data() == nullptr || bias.size() == matrix->rows(), "the bias is [rows]");
  return engine->call(arguments, matmulNs(*matrix, rowCount), [=](Workers& workers) {
    matmul(*matrix, x.data(), rowCount, bias.data(), out.data(), workers);
  });
}

// feedForward(engine, inner, its bias or null, activation: 0 swiglu, 1 gelu, 2 relu, outer, its bias or null, x [rowCount, columns of inner],
// rowCount, out [rowCount, rows of outer])
napi_value feedForwardOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto inner = arguments.handle<MatrixObject>(1);
  const auto innerBias = arguments.optionalArray<float>(2);
  const auto activation = static_cast<Activation>(arguments.whole(3, 2));
  const auto outer = arguments.handle<MatrixObject>(4);
  const auto outerBias = arguments.optionalArray<float>(5);
  const auto x = arguments.array<float>(6);
  const uint64_t rowCount = arguments.whole(7);
  const auto out = arguments.array<float>(8);
  require(inner->rows() == sizeProduct({outer->columns(), activation == Activation::swiglu ? uint64_t{2} : uint64_t{1}}),
          "the second weight has a column for each number that the non-linearity leaves");
  require(x.size() == sizeProduct({rowCount, inner->columns()}), "x is [rowCount, columns]");
  require(out.size() == sizeProduct({rowCount, outer->rows()}), "the result is [rowCount, rows]");
  require(innerBias.data() == nullptr || innerBias.size() == inner->rows(), "the first bias is [rows]");
  require(outerBias.data() == nullptr || outerBias.size() == outer->rows(), "the second bias is [rows]");
  const auto layer = [=] { return FeedForward{*inner, innerBias.data(), activation, *outer, outerBias.data()}; };
  return engine->call(arguments, feedForwardNs(layer(), rowCount), [=](Workers& workers) {
    feedForward(layer(), x.data(), rowCount, out.data(), workers);
  });
}

// normalise(engine, x [rows, width], width, centred, eps, weight [width] or null, bias [width] or null, out [rows, width])
napi_value normaliseOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto x = arguments.array<float>(1);
  const uint64_t width = arguments.whole(2);
  const bool centred = arguments.boolean(3);
  const double eps = arguments.number(4);
  const auto weight = arguments.optionalArray<float>(5);
  const auto bias = arguments.optionalArray<float>(6);
  const auto out = arguments.array<float>(7);
  const uint64_t rows = width == 0 ? 0 : x.size() / width;
  require(rows * width == x.size(), "x is [rows, width]");
  require(weight.data() == nullptr || weight.size() == width, "the weight is [width]");
  require(bias.data() == nullptr || bias.size() == width, "the bias is [width]");
  require(out.size() == x.size(), "the result has the shape of x");
  const Normalisation task{x.data(), rows, width, centred, eps, weight.data(), bias.data(), out.data()};
  return engine->call(arguments, normaliseNs(task), [=](Workers& workers) { normalise(task, workers); });
}

// addInto(engine, sum, addend)
napi_value addIntoOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto sum = arguments.array<float>(1);
  const auto addend = arguments.array<float>(2);
  require(sum.size() == addend.size(), "what is added has the shape of the sum");
  return engine->call(arguments, addIntoNs(sum.size()),
                      [=](Workers& workers) { addInto(sum.data(), addend.data(), sum.size(), workers); });
}

// rotate(engine, x [rows, heads, 2 half], half, cos [positions, half], sin [positions, half], positions [rows])
napi_value rotateOf(Arguments& arguments) {
  const auto engine = arguments.handle<Engine>(0);
  const auto x = arguments.array<float>(1);
  const uint64_t half = arguments.whole(2);
  const auto cos = arguments.array<float>(3);
  const auto sin = arguments.array<float>(4);
  const auto given = arguments.array<uint32_t>(5);
  std::vector<uint32_t> positions(given.begin(), given.end());  // copied, so that JS cannot change them after they were checked
  const size_t rows = positions.size();
  const size_t heads = rows == 0 || half == 0 ? 0 : x.size() / rows / 2 / half;
  require(x.size() == sizeProduct({rows, heads, 2, half}), "x is [rows, heads, 2 half]");
  require(cos.size() == sin.size(), "every cosine has its sine");
  for (const uint32_t position : positions)
    require(sizeProduct({position + uint64_t{1}, half}) <= cos.size(), "the table holds every position");
  Rotation task{x.data(), heads, half, cos.data(), sin.data(), std::move(positions)};
  const double estimatedNs = rotateNs(task);
  return engine->call(arguments, estimatedNs, [task = std::move(task)](Workers& workers) { rotate(task, workers); });
}

// attend(engine, keys and values of each sequence in turn, query, its queries and keys of each, headCount, kvHeadCount, headWidth,
// alibiSlopes or null, out)
napi_value attendOf(Arguments& arguments) {
  const size_t first = arguments.unpack(1);
  const size_t elements = arguments.count - first;
  const auto engine = arguments.handle<Engine>(0);
  const auto query = arguments.array<float>(2);
  const auto counts = arguments.array<uint32_t>(3);
  const uint64_t headCount = arguments.whole(4);
  const uint64_t kvHeadCount = arguments.whole(5);
  const uint64_t headWidth = arguments.whole(6);
  const auto slopes = arguments.optionalArray<float>(7);
  const auto out = arguments.array<float>(8);
  require(counts.size() == elements && elements % 2 == 0, "every sequence has keys, values and two counts");
  require(kvHeadCount > 0 && headCount % kvHeadCount == 0, "query heads share key heads in equal groups");
  require(slopes.data() == nullptr || slopes.size() == headCount, "alibi has one slope per head");
  require(out.size() == query.size(), "the result has the shape of the query");
  const size_t queryFloats = sizeProduct({headCount, headWidth});
  std::vector<Attention> batch;
  size_t at = 0;
  for (size_t i = 0; i < elements; i += 2) {
    const auto keys = arguments.array<float>(first + i);
    const auto values = arguments.array<float>(first + i + 1);
    const size_t queryCount = counts[i], keyCount = counts[i + 1];
    require(queryCount <= keyCount, "the new tokens are in the cache");
    const size_t cached = sizeProduct({keyCount, kvHeadCount, headWidth});
    require(keys.size() >= cached && values.size() >= cached, "the cache holds every position");
    require(sizeProduct({queryCount, queryFloats}) <= query.size() - at, "the query is [queries of all sequences, headCount, headWidth]");
    batch.push_back({query.data() + at, keys.data(), values.data(), slopes.data(), out.data() + at, queryCount, keyCount, headCount,
                     kvHeadCount, headWidth});
    at += queryCount * queryFloats;
  }
  require(at == query.size(), "the query is [queries of all sequences, headCount, headWidth]");
  const double estimatedNs = attendNs(batch);
  return engine->call(arguments, estimatedNs, [batch = std::move(batch)](Workers& workers) { attend(batch, workers); });
}

}  // namespace

void registerDense(napi_env env, napi_value exports) {
  exportMethod<createMatrix>(env, exports, "createMatrix");
  exportMethod<fillMatrix>(env, exports, "fillMatrix");
  exportMethod<releaseMatrix>(env, exports, "releaseMatrix");
  exportMethod<matrixBytes>(env, exports, "matrixBytes");
  exportMethod<matmulOf>(env, exports, "matmul");
  exportMethod<feedForwardOf>(env, exports, "feedForward");
  exportMethod<normaliseOf>(env, exports, "normalise");
  exportMethod<addIntoOf>(env, exports, "addInto");
  exportMethod<rotateOf>(env, exports, "rotate");
  exportMethod<attendOf>(env, exports, "attend");
}

}  // namespace ultramem
