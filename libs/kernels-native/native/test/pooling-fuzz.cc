// Pooling and dot products of random rectangles, ragged batches and every stored dtype against plain loops: the same bits.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "core/pool.h"
#include "test/driver.h"

using namespace ultramem;
using namespace ultramem::test;

namespace {

constexpr ValueDtype DTYPES[] = {ValueDtype::f32, ValueDtype::bf16, ValueDtype::f16, ValueDtype::int8Block64};

float widenF16(uint16_t half) {
  const int exponent = (half >> 10) & 0x1f;
  const int fraction = half & 0x3ff;
  const double magnitude = exponent == 0x1f ? (fraction != 0 ? NAN : INFINITY)
                           : exponent == 0  ? std::ldexp(fraction, -24)
                                            : std::ldexp(fraction + 1024, exponent - 25);
  return static_cast<float>(half & 0x8000 ? -magnitude : magnitude);
}

uint16_t halfAt(const uint8_t* at) {
  uint16_t half;
  std::memcpy(&half, at, 2);
  return half;
}

float elementAt(const TableShape& shape, const uint8_t* row, size_t column) {
  float value;
  switch (shape.dtype) {
    case ValueDtype::f32: std::memcpy(&value, row + 4 * column, 4); return value;
    case ValueDtype::bf16: return std::bit_cast<float>(static_cast<uint32_t>(halfAt(row + 2 * column)) << 16);
    case ValueDtype::f16: return widenF16(halfAt(row + 2 * column));
    case ValueDtype::int8Block64: break;
  }
  const uint16_t scale = halfAt(row + shape.fullWidth + 2 * (column / SCALE_BLOCK));
  return std::bit_cast<float>(static_cast<uint32_t>(scale) << 16) * static_cast<float>(static_cast<int8_t>(row[column]));
}

// A whole table as a file has it. Mostly ordinary numbers, sometimes any bits: denormals, infinities, NaN, extreme scales; or ordinary
// ones but for a few.
std::vector<uint8_t> tableBytes(Random& random, const TableShape& shape) {
  const size_t rowBytes = shape.rowBytes();
  std::vector<uint8_t> bytes(shape.tableRows * rowBytes);
  const bool wild = random.oneIn(4);
  for (size_t row = 0; row < shape.tableRows; row++) {
    uint8_t* at = bytes.data() + row * rowBytes;
    for (size_t i = 0; i < rowBytes; i++) at[i] = static_cast<uint8_t>(random.below(256));
    if (wild) continue;
    for (size_t column = 0; column < shape.fullWidth; column++) {
      const float value = random.normal();
      if (shape.dtype == ValueDtype::f32) std::memcpy(at + 4 * column, &value, 4);
      if (shape.dtype == ValueDtype::bf16) std::memcpy(at + 2 * column, reinterpret_cast<const char*>(&value) + 2, 2);
      if (shape.dtype == ValueDtype::f16) at[2 * column + 1] &= 0xbb;
    }
    if (shape.dtype == ValueDtype::int8Block64)
      for (size_t block = 0; block * SCALE_BLOCK < shape.fullWidth; block++) {
        const float scale = std::abs(random.normal()) * (random.oneIn(8) ? 0 : 1e-3f);
        std::memcpy(at + shape.fullWidth + 2 * block, reinterpret_cast<const char*>(&scale) + 2, 2);
      }
  }
  if (random.oneIn(3))
    for (int few = 0; few < 3; few++) {
      const uint16_t specials[] = {0x7f80, 0xff80, 0x7fc1, 0x0001, 0x807f, 0x8000, 0x7f7f, 0x0080};
      std::memcpy(bytes.data() + random.below(bytes.size() / 2) * 2, &specials[random.below(std::size(specials))], 2);
    }
  return bytes;
}

struct Table {
  TableShape shape;
  std::vector<uint8_t> stored;
  std::unique_ptr<ValueTable> values;

  float at(size_t slot, size_t column) const {
    return elementAt(shape, stored.data() + slot * shape.rowBytes(), shape.columnBegin + column);
  }
};

std::string temporaryPath() {
  const char* folder = std::getenv("TMPDIR");
  return std::string(folder == nullptr ? "/tmp" : folder) + "/ultramem-pooling-" + std::to_string(getpid());
}

void writeFile(const std::string& path, const std::vector<uint8_t>& before, const std::vector<uint8_t>& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) std::exit(2);
  if (!before.empty()) std::fwrite(before.data(), 1, before.size(), file);
  if (!bytes.empty()) std::fwrite(bytes.data(), 1, bytes.size(), file);
  std::fclose(file);
}

// A random rectangle, mapped from a file at any offset or copied.
Table makeTable(Random& random, ValueDtype dtype, size_t rows, size_t width, bool wholeRows) {
  Table table;
  TableShape& shape = table.shape;
  shape = {dtype, rows, width, 0, rows, 0, width};
  shape.rowBegin = random.oneIn(2) ? 0 : random.below(rows);
  shape.rowEnd = random.between(shape.rowBegin + 1, rows);
  if (!wholeRows && random.oneIn(2)) {
    shape.columnBegin = random.below(width);
    shape.columnEnd = random.between(shape.columnBegin, width);
  }
  table.stored = tableBytes(random, shape);
  if (random.oneIn(2)) {
    const std::vector<uint8_t> before(random.below(100) + (random.oneIn(4) ? 5000 : 0), 0xff);
    const std::string path = temporaryPath();
    writeFile(path, before, table.stored);
    table.values = ValueTable::map(shape, path, before.size(), random.oneIn(2) ? 0 : UINT64_MAX);
    unlink(path.c_str());
    return table;
  }
  table.values = ValueTable::allocate(shape);
  const size_t elements = shape.dtype == ValueDtype::f32 ? 4 : shape.dtype == ValueDtype::int8Block64 ? 1 : 2;
  for (size_t row = shape.rowBegin; row < shape.rowEnd; row++) {
    const uint8_t* from = table.stored.data() + row * shape.rowBytes();
    Exact<uint8_t> kept(shape.keptBytes());
    const size_t span = shape.width() * elements;
    std::memcpy(kept.data(), from + shape.columnBegin * elements, span);
    if (kept.size() > span)
      std::memcpy(kept.data() + span, from + shape.fullWidth + shape.columnBegin / SCALE_BLOCK * 2, kept.size() - span);
    if (kept.size() > 0) table.values->fill(row - shape.rowBegin, kept.data(), kept.size());
  }
  return table;
}

double naiveDot(const Table& table, size_t slot, const float* query) {
  double sums[8] = {};
  for (size_t c = 0; c < table.shape.width(); c++)
    sums[c % 8] += static_cast<double>(table.at(slot, c)) * static_cast<double>(query[c]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

double naiveErf(double x) {
  const double a = std::abs(x);
  if (a > 6) return x < 0 ? -1 : 1;
  if (a < 2.5) {
    double term = x;
    double sum = x;
    for (int n = 1; std::abs(term) > 1e-17 * std::abs(sum) && n < 200; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return 2 / std::sqrt(M_PI) * sum;
  }
  double fraction = 0;
  for (int n = 60; n > 0; n--) fraction = n / 2.0 / (a + fraction);
  const double tail = 1 - std::exp(-a * a) / (std::sqrt(M_PI) * (a + fraction));
  return x < 0 ? -tail : tail;
}

float naiveGelu(float x) {
  const double raw = x;
  return static_cast<float>(0.5 * raw * (1 + naiveErf(raw / M_SQRT2)));
}

struct Batch {
  Exact<uint32_t> start;
  Exact<uint32_t> slot;
  Exact<uint8_t> block;
  uint32_t blockCount;
  Entries entries() const { return {start.size() - 1, start.data(), slot.data()}; }
};

Batch makeBatch(Random& random, size_t rowBegin, size_t rowEnd) {
  const size_t tokenCount = random.below(random.oneIn(3) ? 40 : 5);
  std::vector<uint32_t> start{0};
  for (size_t t = 0; t < tokenCount; t++)
    start.push_back(start.back() + static_cast<uint32_t>(random.oneIn(4) ? 0 : random.below(random.oneIn(5) ? 300 : 20)));
  const auto blockCount = static_cast<uint32_t>(random.oneIn(6) ? 256 : random.between(1, 6));
  Batch batch{Exact<uint32_t>(start.size()), Exact<uint32_t>(start.back()), Exact<uint8_t>(start.back()), blockCount};
  for (size_t t = 0; t < start.size(); t++) batch.start[t] = start[t];
  for (size_t i = 0; i < start.back(); i++) {
    batch.slot[i] = static_cast<uint32_t>(rowBegin + random.below(rowEnd - rowBegin));
    batch.block[i] = static_cast<uint8_t>(random.below(blockCount));
  }
  return batch;
}

void checkPool(Random& random, Workers& workers) {
  const ValueDtype dtype = DTYPES[random.below(4)];
  const auto coreCount = static_cast<uint32_t>(random.between(1, 4));
  const size_t width = coreCount * random.between(1, random.oneIn(6) ? 700 : random.oneIn(3) ? 120 : 20);
  const size_t rows = random.between(1, 40);
  const Table table = makeTable(random, dtype, rows, width, false);
  const bool gated = random.oneIn(3);
  Table pre = makeTable(random, DTYPES[random.below(4)], rows, random.between(1, 150), true);
  const size_t rowBegin = gated ? std::max(table.shape.rowBegin, pre.shape.rowBegin) : table.shape.rowBegin;
  const size_t rowEnd = gated ? std::min(table.shape.rowEnd, pre.shape.rowEnd) : table.shape.rowEnd;
  if (rowBegin >= rowEnd) return;
  Batch batch = makeBatch(random, rowBegin, rowEnd);
  const Entries entries = batch.entries();
  const Exact<float> weight = normals(random, entries.count() * coreCount);
  const Exact<float> query = normals(random, entries.tokenCount * pre.shape.width());
  const PreGate gate{pre.values.get(), query.data(), random.oneIn(2)};
  const PoolRequest request{entries, batch.block.data(), batch.blockCount, weight.data(), coreCount, gated ? &gate : nullptr};
  if (firstSlotOutside(*table.values, entries) >= 0 || firstBlockOutside(request) >= 0) fail("an entry inside", 0, 1, 0);
  const size_t columns = table.shape.width();
  Exact<float> out(entries.tokenCount * batch.blockCount * columns);
  pool(*table.values, request, out.data(), workers);
  table.values->verify();
  for (size_t token = 0; token < entries.tokenCount; token++) {
    std::vector<double> sums(batch.blockCount * columns);
    for (size_t i = batch.start[token]; i < batch.start[token + 1]; i++) {
      float factor = 1;
      if (gated) {
        const auto raw = static_cast<float>(naiveDot(pre, batch.slot[i], query.data() + token * pre.shape.width()));
        factor = gate.activation ? naiveGelu(raw) : raw;
      }
      for (size_t c = 0; c < columns; c++) {
        const size_t core = (table.shape.columnBegin + c) / (width / coreCount);
        const float w = gated ? factor * weight[i * coreCount + core] : weight[i * coreCount + core];
        sums[batch.block[i] * columns + c] += static_cast<double>(w) * static_cast<double>(table.at(batch.slot[i], c));
      }
    }
    for (size_t c = 0; c < sums.size(); c++)
      expectSameBits("pooled", c, out[token * sums.size() + c], static_cast<float>(sums[c]));
  }
}

void checkDots(Random& random, Workers& workers) {
  const Table table = makeTable(random, DTYPES[random.below(4)], random.between(1, 40), random.between(1, 200), false);
  Batch batch = makeBatch(random, table.shape.rowBegin, table.shape.rowEnd);
  const Entries entries = batch.entries();
  const size_t columns = table.shape.width();
  const Exact<float> query = normals(random, entries.tokenCount * columns);
  Exact<double> out(entries.count());
  dotRows(*table.values, entries, query.data(), out.data(), workers);
  for (size_t token = 0; token < entries.tokenCount; token++)
    for (size_t i = batch.start[token]; i < batch.start[token + 1]; i++) {
      const double want = naiveDot(table, batch.slot[i], query.data() + token * columns);
      if (std::memcmp(&want, &out[i], sizeof want) != 0 && !(std::isnan(want) && std::isnan(out[i])))
        fail("dot", i, out[i], want);
    }
}

void checkRefusals(Random& random) {
  const Table table = makeTable(random, DTYPES[random.below(4)], random.between(1, 40), random.between(1, 20), false);
  Batch batch = makeBatch(random, table.shape.rowBegin, table.shape.rowEnd);
  if (batch.slot.size() == 0) return;
  const size_t at = random.below(batch.slot.size());
  const uint32_t outside[] = {static_cast<uint32_t>(table.shape.rowEnd), UINT32_MAX, static_cast<uint32_t>(table.shape.rowBegin) - 1};
  batch.slot[at] = outside[random.below(3)];
  if (firstSlotOutside(*table.values, batch.entries()) != static_cast<int64_t>(at)) fail("a slot outside", at, 0, 1);
  if (batch.blockCount == 256) return;
  const PoolRequest request{batch.entries(), batch.block.data(), batch.blockCount, nullptr, 1, nullptr};
  batch.block[at] = static_cast<uint8_t>(batch.blockCount);
  if (firstBlockOutside(request) != static_cast<int64_t>(at)) fail("a block outside", at, 0, 1);
}

template <class Action>
void expectReadFailure(const char* what, Action&& action) {
  try {
    action();
  } catch (const ReadFailure&) {
    return;
  }
  fail(what, 0, 0, 1);
}

// Files that are too short, missing, cut off in use, or rewritten.
void checkFiles() {
  const std::string path = temporaryPath();
  const size_t rows = 5000;
  const TableShape shape{ValueDtype::f32, rows, 16, 0, rows, 0, 16};
  const std::vector<uint8_t> bytes(rows * shape.rowBytes(), 0);
  writeFile(path, {}, bytes);
  expectReadFailure("a file that is too short", [&] { ValueTable::map(shape, path, 1, UINT64_MAX); });
  expectReadFailure("an offset behind the end", [&] { ValueTable::map(shape, path, UINT32_MAX, UINT64_MAX); });
  expectReadFailure("a missing file", [&] { ValueTable::map(shape, path + "-missing", 0, UINT64_MAX); });
  auto table = ValueTable::map(shape, path, 0, UINT64_MAX);
  table->verify();
  if (truncate(path.c_str(), 4096) != 0) std::exit(2);
  Workers workers(1);
  const uint32_t start[] = {0, 2};
  const uint32_t slot[] = {0, rows - 1};
  const uint8_t block[] = {0, 0};
  const float weight[] = {1, 1};
  float out[16];
  pool(*table, {{1, start, slot}, block, 1, weight, 1, nullptr}, out, workers);
  expectReadFailure("a file that was cut off", [&] { table->verify(); });
  writeFile(path, {}, bytes);
  expectReadFailure("a file that was cut off and is long again", [&] { table->verify(); });
  table = ValueTable::map(shape, path, 0, UINT64_MAX);
  usleep(20'000);  // file systems count time in ticks
  writeFile(path, {}, bytes);
  expectReadFailure("a file that was rewritten", [&] { table->verify(); });
  unlink(path.c_str());
}

// A bus error elsewhere ends the process as it would without our maps.
void checkForeignSignal() {
  const pid_t child = fork();
  if (child == 0) {
    raise(SIGBUS);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0))) fail("a foreign bus error", 0, status, SIGBUS);
}

}  // namespace

int main(int argc, char** argv) {
  answerIsas(argc, argv);
  checkFiles();
  checkForeignSignal();
  inRounds(400, [](Random& random, Workers& workers) {
    checkPool(random, workers);
    checkDots(random, workers);
    checkRefusals(random);
  });
}
