// Rounding of random rows and of rows made of ties against plain loops in f64: the same bytes. Any bytes, as a worker could send them,
// widen to what they say; bytes lie at odd addresses and nothing lies after them.
#include <algorithm>

#include "core/pack.h"
#include "test/driver.h"

using namespace ultramem;
using namespace ultramem::test;

namespace {

constexpr size_t BLOCK = 64;

float ofWord(uint32_t word) {
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}
uint32_t wordOf(float value) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof word);
  return word;
}
float ofHalf(uint32_t half) { return ofWord(half << 16); }

// Numbers of one size, of any bits, ties of int8 and their neighbours, or scales that lie beside a bf16.
float number(Random& random, size_t kind, float scale) {
  switch (kind) {
    case 0: return random.normal() * scale;
    case 1: {
      const float any = ofWord(static_cast<uint32_t>(random.below(size_t{1} << 32)));
      return std::isfinite(any) ? any : 0;
    }
    case 2: {
      const float tie = (static_cast<float>(random.between(0, 126)) + 0.5f) * scale * (random.oneIn(2) ? 1.0f : -1.0f);
      return random.oneIn(3) ? tie : ofWord(wordOf(tie) + (random.oneIn(2) ? 1u : -1u));
    }
    default: return random.oneIn(2) ? 0.0f : -0.0f;
  }
}

void fill(Random& random, Exact<float>& values, size_t width) {
  const size_t kind = random.below(4);
  for (size_t begin = 0; begin < values.size();) {
    const size_t column = begin % width;
    const size_t end = begin + std::min(BLOCK - column % BLOCK, width - column);
    // The upper half of a number is a bf16: exactly a scale that may be chosen, where 127 of it is the largest.
    const float scale = ofHalf(static_cast<uint32_t>(random.between(1, 0x7b00)));
    for (size_t i = begin; i < end; i++) values[i] = number(random, random.oneIn(8) ? random.below(4) : kind, scale);
    if (random.oneIn(2)) values[random.between(begin, end - 1)] = 127 * scale;
    if (random.oneIn(4)) values[random.between(begin, end - 1)] = ofWord(wordOf(127 * scale) + (random.oneIn(2) ? 1u : -1u));
    begin = end;
  }
}

uint32_t halfOf(float value) {
  const uint32_t word = wordOf(value);
  if (std::isnan(value)) return (word >> 16) | 0x40;
  const uint32_t low = word >> 16;
  const uint32_t rest = word & 0xffff;
  return rest > 0x8000 || (rest == 0x8000 && low % 2 == 1) ? low + 1 : low;
}

uint32_t scaleOf(double largest) {
  if (largest == 0) return 0;
  uint32_t half = halfOf(static_cast<float>(std::max(largest / 127, 0x1p-126)));
  while (half > 0x80 && static_cast<double>(ofHalf(half - 1)) * 127 >= largest) half--;
  while (static_cast<double>(ofHalf(half)) * 127 < largest) half++;
  return half;
}

struct Batch {
  size_t rowCount;
  size_t width;
  Packing packing;
  size_t rowBytes;
  Exact<float> values;
  Exact<uint8_t> bytes;
};

Batch makeBatch(Random& random) {
  const size_t width = random.between(1, random.oneIn(3) ? 800 : 140);
  const size_t rowCount = random.below(random.oneIn(3) ? 300 : 12);
  const Packing packing = random.oneIn(3) ? Packing::bf16 : Packing::int8;
  const size_t rowBytes = packedRowBytes(packing, width);
  Batch batch{rowCount, width, packing, rowBytes, Exact<float>(rowCount * width), Exact<uint8_t>(rowCount * rowBytes)};
  if (rowCount > 0) fill(random, batch.values, width);
  return batch;
}

void expectHalf(const char* what, size_t at, const uint8_t* got, uint32_t want) {
  uint16_t half;
  std::memcpy(&half, got, sizeof half);
  if (half != want) fail(what, at, half, want);
}

void checkPacked(Batch& batch, Workers& workers) {
  const auto& [rowCount, width, packing, rowBytes, values, bytes] = batch;
  if (!packVectors({values.data(), rowCount, width, packing, batch.bytes.data()}, workers)) fail("finite", 0, 0, 1);
  if (packing == Packing::bf16) {
    for (size_t i = 0; i < values.size(); i++) expectHalf("bf16", i, bytes.data() + 2 * i, halfOf(values[i]));
    return;
  }
  for (size_t row = 0; row < rowCount; row++)
    for (size_t begin = 0; begin < width; begin += BLOCK) {
      const size_t end = std::min(width, begin + BLOCK);
      double largest = 0;
      for (size_t c = begin; c < end; c++) largest = std::max(largest, std::abs(static_cast<double>(values[row * width + c])));
      const uint32_t scale = scaleOf(largest);
      expectHalf("scale", row * width + begin, bytes.data() + row * rowBytes + width + begin / BLOCK * 2, scale);
      for (size_t c = begin; c < end; c++) {
        const double quotient = scale == 0 ? 0 : static_cast<double>(values[row * width + c]) / static_cast<double>(ofHalf(scale));
        const auto got = static_cast<int8_t>(bytes[row * rowBytes + c]);
        if (got != std::floor(quotient + 0.5)) fail("int8", row * width + c, got, std::floor(quotient + 0.5));
      }
    }
}

void checkUnpacked(const Batch& batch, Workers& workers) {
  const auto& [rowCount, width, packing, rowBytes, values, bytes] = batch;
  Exact<float> out(values.size());
  unpackVectors({bytes.data(), rowCount, width, packing, out.data()}, workers);
  for (size_t i = 0; i < out.size(); i++) {
    const uint8_t* row = bytes.data() + i / width * rowBytes;
    const uint8_t* from = packing == Packing::bf16 ? row + 2 * (i % width) : row + width + i % width / BLOCK * 2;
    const float half = ofHalf(static_cast<uint32_t>(from[0] | from[1] << 8));
    expectSameBits("number", i, out[i], packing == Packing::bf16 ? half : half * static_cast<float>(static_cast<int8_t>(row[i % width])));
  }
}

void checkNotFinite(Random& random, Batch& batch, Workers& workers) {
  if (batch.values.size() == 0) return;
  const float odd[] = {INFINITY, -INFINITY, NAN, ofWord(0x7f800001)};
  for (size_t i = random.between(1, 3); i > 0; i--) batch.values[random.below(batch.values.size())] = odd[random.below(4)];
  if (batch.packing == Packing::bf16) return checkPacked(batch, workers);
  if (packVectors({batch.values.data(), batch.rowCount, batch.width, batch.packing, batch.bytes.data()}, workers)) fail("finite", 0, 1, 0);
}

}  // namespace

int main(int argc, char** argv) {
  answerIsas(argc, argv);
  inRounds(1000, [](Random& random, Workers& workers) {
    Batch batch = makeBatch(random);
    checkPacked(batch, workers);
    checkUnpacked(batch, workers);
    for (size_t i = 0; i < batch.bytes.size(); i++) batch.bytes[i] = static_cast<uint8_t>(random.below(256));
    checkUnpacked(batch, workers);
    checkNotFinite(random, batch, workers);
  });
}
