// Products, activations, MLPs, attention, norms and residuals of random shapes against loops in double precision.
#include <bit>

#include "core/activation.h"
#include "core/attend.h"
#include "core/feed-forward.h"
#include "core/matmul.h"
#include "core/normalise.h"
#include "core/rotate.h"
#include "test/driver.h"

using namespace ultramem;
using namespace ultramem::test;

namespace {

float widen(Dtype dtype, const uint8_t* at) {
  if (dtype == Dtype::f32) {
    float value;
    std::memcpy(&value, at, 4);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, at, 2);
  if (dtype == Dtype::bf16) return std::bit_cast<float>(static_cast<uint32_t>(half) << 16);
  const int exponent = (half >> 10) & 0x1f;
  const double fraction = half & 0x3ff;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25);
  if (half == 0x7c00) return INFINITY;
  return static_cast<float>(half & 0x8000 ? -magnitude : magnitude);
}

// Finite elements of any size the dtype has, denormal ones among them.
Exact<uint8_t> weights(Random& random, Dtype dtype, size_t count) {
  Exact<uint8_t> bytes(count * bytesOf(dtype));
  for (size_t i = 0; i < count; i++) {
    uint8_t* at = bytes.data() + i * bytesOf(dtype);
    if (dtype == Dtype::f32) {
      const float value = random.oneIn(20) ? 1e-41f * random.normal() : random.normal();
      std::memcpy(at, &value, 4);
    } else if (dtype == Dtype::bf16) {
      const uint16_t half = static_cast<uint16_t>(std::bit_cast<uint32_t>(random.normal()) >> 16);
      std::memcpy(at, &half, 2);
    } else {
      const uint16_t half = static_cast<uint16_t>((random.oneIn(2) ? 0x8000 : 0) | random.below(0x4800));
      std::memcpy(at, &half, 2);
    }
  }
  return bytes;
}

// The nearest bf16, ties to even, by scaling to whole numbers.
float rounded(float x) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent;
  std::frexp(x, &exponent);
  const int unit = std::max(exponent, -125) - 8;  // denormal numbers have the unit of the smallest normal ones
  return std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
}

Exact<float> roundedIf(bool rounds, const Exact<float>& x) {
  Exact<float> all(x.size());
  for (size_t i = 0; i < x.size(); i++) all[i] = rounds ? rounded(x[i]) : x[i];
  return all;
}

void checkMatmul(Random& random, Workers& workers) {
  const auto dtype = static_cast<Dtype>(random.below(3));
  const size_t rows = random.oneIn(4) ? random.between(1, 300) : random.between(1, 70);
  const size_t columns = random.oneIn(6) ? random.between(1000, 1300) : random.between(random.oneIn(9) ? 0 : 1, 90);
  const size_t rowCount = random.oneIn(5) ? random.between(90, 230) : random.between(0, 30);
  const auto bytes = weights(random, dtype, rows * columns);
  const bool rounds = random.oneIn(2);
  const auto given = normals(random, rowCount * columns);
  const auto x = roundedIf(rounds, given);
  const bool hasBias = random.oneIn(2);
  const auto bias = normals(random, rows);
  PackedMatrix matrix(dtype, rows, columns, rounds);
  for (size_t row = 0; row < rows;) {
    const size_t count = random.between(1, rows - row);
    // As from a file: at any address.
    Exact<uint8_t> piece(count * columns * bytesOf(dtype));
    std::copy_n(bytes.data() + row * columns * bytesOf(dtype), piece.size(), piece.data());
    matrix.fill(row, count, piece.data(), workers);
    row += count;
  }
  Exact<float> out(rowCount * rows);
  matmul(matrix, given.data(), rowCount, hasBias ? bias.data() : nullptr, out.data(), workers);
  for (size_t i = 0; i < rowCount; i++)
    for (size_t row = 0; row < rows; row++) {
      double want = hasBias ? bias[row] : 0;
      double magnitude = std::abs(want);
      for (size_t c = 0; c < columns; c++) {
        const double term = static_cast<double>(widen(dtype, bytes.data() + (row * columns + c) * bytesOf(dtype))) * x[i * columns + c];
        want += term;
        magnitude += std::abs(term);
      }
      expectClose("product", i * rows + row, out[i * rows + row], want, magnitude);
    }
  if (rowCount == 0) return;
  const size_t one = random.below(rowCount);
  Workers alone(1);
  Exact<float> single(rows);
  matmul(matrix, given.data() + one * columns, 1, hasBias ? bias.data() : nullptr, single.data(), alone);
  for (size_t row = 0; row < rows; row++) expectSameBits("row alone", row, single[row], out[one * rows + row]);
  if (!rounds) return;
  // No number is so small that pairs of bf16 take a product for zero: whatever multiplies, the bits are those of f32.
  PackedMatrix exact(dtype, rows, columns, false);
  exact.fill(0, rows, bytes.data(), workers);
  Exact<float> wide(rowCount * rows);
  matmul(exact, x.data(), rowCount, hasBias ? bias.data() : nullptr, wide.data(), workers);
  for (size_t i = 0; i < wide.size(); i++) expectSameBits("rounded before", i, out[i], wide[i]);
}

// Numbers that tiles cannot hold, and others, by rows.
void scaleRows(Random& random, Exact<float>& x, size_t rowCount, size_t columns) {
  const float scales[] = {0, 1e-37f, 1e-20f, 1e-10f, 1e10f, 3e37f};
  for (size_t i = 0; i < rowCount; i++) {
    const float scale = random.oneIn(2) ? 1 : scales[random.below(std::size(scales))];
    for (size_t c = 0; c < columns; c++) x[i * columns + c] *= scale;
    if (random.oneIn(16)) x[i * columns + random.below(columns)] = random.oneIn(2) ? INFINITY : NAN;
  }
}

// Weights large enough for matrix units, of which some outputs are compared. The sums of |terms| are what errors are relative to: f32
// with sums in blocks is within 6e-7 of them here, and leaving out what is below 2^-16 of a term is not.
void checkLargeMatmul(Random& random, Workers& workers) {
  constexpr size_t WEIGHTS = size_t{1} << 18;
  const auto dtype = static_cast<Dtype>(random.below(3));
  const size_t rows = random.oneIn(3) ? random.between(30, 100) : random.between(100, 7000);
  const size_t columns = WEIGHTS / rows + random.between(1, 70);
  const size_t rowCount = random.oneIn(3) ? random.between(30, 100) : random.between(1, 20);
  Exact<float> values = normals(random, rows * columns);
  if (random.oneIn(2)) scaleRows(random, values, rows, columns);
  Exact<uint8_t> bytes = weights(random, dtype, rows * columns);
  if (dtype != Dtype::f16)
    for (size_t i = 0; i < values.size(); i++)
      std::memcpy(bytes.data() + i * bytesOf(dtype), reinterpret_cast<const uint8_t*>(&values[i]) + 4 - bytesOf(dtype), bytesOf(dtype));
  else if (random.oneIn(2))
    std::memcpy(bytes.data() + 2 * ((rows - 1) * columns + random.below(columns)), "\0\x7c", 2);  // infinite
  Exact<float> x = normals(random, rowCount * columns);
  if (random.oneIn(2)) scaleRows(random, x, rowCount, columns);
  const bool rounds = random.oneIn(2);
  const Exact<float> given = roundedIf(false, x);
  x = roundedIf(rounds, given);
  const auto biases = normals(random, rows);
  const float* bias = random.oneIn(2) ? biases.data() : nullptr;
  PackedMatrix matrix(dtype, rows, columns, rounds);
  const size_t half = random.below(rows);
  matrix.fill(0, half, bytes.data(), workers);
  matrix.fill(half, rows - half, bytes.data() + half * columns * bytesOf(dtype), workers);
  Exact<float> out(rowCount * rows);
  matmul(matrix, given.data(), rowCount, bias, out.data(), workers);
  for (size_t i = 0; i < rowCount; i++)
    for (size_t sample = 0; sample < 8; sample++) {
      const size_t row = sample == 0 ? rows - 1 : random.below(rows);
      double want = bias == nullptr ? 0 : bias[row];
      double magnitude = std::abs(want);
      for (size_t c = 0; c < columns; c++) {
        const double term = static_cast<double>(widen(dtype, bytes.data() + (row * columns + c) * bytesOf(dtype))) * x[i * columns + c];
        want += term;
        if (std::isfinite(term)) magnitude += std::abs(term);
      }
      if (magnitude < 3e38) expectClose("large product", i * rows + row, out[i * rows + row], want, magnitude, 6e-7);
    }
  const size_t one = random.below(rowCount);
  Workers alone(1);
  Exact<float> single(rows);
  matmul(matrix, given.data() + one * columns, 1, bias, single.data(), alone);
  for (size_t row = 0; row < rows; row++) expectSameBits("large row alone", row, single[row], out[one * rows + row]);
}

struct Cache {
  size_t queryCount, keyCount, headCount, kvHeadCount, headWidth;
  Exact<float> query, keys, values;
  const float* slopes;
  Exact<float> out;

  Attention attention() {
    return {query.data(), keys.data(), values.data(), slopes, out.data(), queryCount, keyCount, headCount, kvHeadCount, headWidth};
  }
};

// In double precision.
void expectAttended(const Cache& c) {
  for (size_t i = 0; i < c.queryCount; i++)
    for (size_t head = 0; head < c.headCount; head++) {
      const size_t position = c.keyCount - c.queryCount + i;
      const size_t kvHead = head / (c.headCount / c.kvHeadCount);
      std::vector<double> scores(position + 1);
      double largest = -INFINITY;
      for (size_t j = 0; j <= position; j++) {
        double dot = 0;
        for (size_t w = 0; w < c.headWidth; w++)
          dot += static_cast<double>(c.query[(i * c.headCount + head) * c.headWidth + w]) *
                 c.keys[(j * c.kvHeadCount + kvHead) * c.headWidth + w];
        scores[j] = dot / std::sqrt(c.headWidth) - (c.slopes != nullptr ? c.slopes[head] * static_cast<double>(position - j) : 0);
        largest = std::max(largest, scores[j]);
      }
      double total = 0;
      for (double& score : scores) total += score = std::exp(score - largest);
      for (size_t w = 0; w < c.headWidth; w++) {
        double want = 0;
        double magnitude = 0;
        for (size_t j = 0; j <= position; j++) {
          const double term = scores[j] / total * c.values[(j * c.kvHeadCount + kvHead) * c.headWidth + w];
          want += term;
          magnitude += std::abs(term);
        }
        const size_t at = (i * c.headCount + head) * c.headWidth + w;
        expectClose("attended", at, c.out[at], want, magnitude);
      }
    }
}

void checkAttend(Random& random, Workers& workers) {
  const size_t kvHeads = random.between(1, 3);
  const size_t heads = kvHeads * random.between(1, 4);
  const size_t width = random.oneIn(4) ? random.between(1, 140) : random.between(1, 40);
  Exact<float> slopes = normals(random, heads);
  for (size_t head = 0; head < heads; head++) slopes[head] = std::abs(slopes[head]);
  const bool alibi = random.oneIn(3);
  std::vector<Cache> caches;
  for (size_t i = random.oneIn(3) ? random.below(6) : 1; i > 0; i--) {
    const size_t keyCount = random.oneIn(8) ? random.between(250, 700) : random.between(1, 150);
    const size_t queryCount = std::min(keyCount, random.oneIn(6) ? random.between(1, 300) : random.between(0, 12));
    const size_t cached = keyCount * kvHeads * width;
    const size_t floats = queryCount * heads * width;
    caches.push_back({queryCount, keyCount, heads, kvHeads, width, normals(random, floats), normals(random, cached), normals(random, cached),
                      alibi ? slopes.data() : nullptr, Exact<float>(floats)});
  }
  std::vector<Attention> batch;
  for (Cache& cache : caches) batch.push_back(cache.attention());
  attend(batch, workers);
  for (const Cache& cache : caches) expectAttended(cache);
  if (caches.empty() || caches[0].queryCount == 0) return;
  // One query alone sees a cache that ends with it.
  Cache& c = caches[0];
  const size_t one = random.below(c.queryCount);
  const size_t rowFloats = heads * width;
  Exact<float> single(rowFloats);
  Attention alone = c.attention();
  alone.query += one * rowFloats;
  alone.out = single.data();
  alone.queryCount = 1;
  alone.keyCount = c.keyCount - c.queryCount + one + 1;
  Workers sequential(1);
  attend({alone}, sequential);
  for (size_t i = 0; i < rowFloats; i++) expectSameBits("query alone", i, single[i], c.out[one * rowFloats + i]);
}

void checkActivation(Random& random, Workers& workers) {
  const size_t rows = random.between(1, 5);
  const size_t width = 2 * (random.oneIn(9) ? random.between(5000, 9000) : random.between(1, 60));
  Exact<float> x(rows * width);
  const float odd[] = {0, -0.0f, 1e-42f, -1e-42f, 200, -200, 3e38f, -3e38f, INFINITY, -INFINITY, NAN, -90, -100, -104};
  for (size_t i = 0; i < x.size(); i++) x[i] = random.oneIn(4) ? odd[random.below(std::size(odd))] : 10 * random.normal();
  const auto kind = static_cast<Activation>(random.below(3));
  Exact<float> given(x.size());
  std::copy_n(x.data(), x.size(), given.data());
  Exact<float> gated(kind == Activation::swiglu ? x.size() / 2 : 0);
  activate(kind, x.data(), rows, width, kind == Activation::swiglu ? gated.data() : x.data(), workers);
  if (kind == Activation::swiglu) {
    for (size_t i = 0; i < gated.size(); i++) {
      const double up = given[i / (width / 2) * width + i % (width / 2)];
      const double z = given[i / (width / 2) * width + width / 2 + i % (width / 2)];
      const double silu = z == -INFINITY ? 0 : z < 0 ? z * std::exp(z) / (1 + std::exp(z)) : z / (1 + std::exp(-z));
      if (std::isnan(up * silu)) continue;  // zero times infinity: where the limit lies is a matter of taste
      expectClose("swiglu", i, gated[i], up * silu, std::abs(up * silu), 1e-6);
    }
    return;
  }
  for (size_t i = 0; i < x.size(); i++) {
    const double z = given[i];
    double want = kind == Activation::relu ? (z > 0 ? z : 0) : z == -INFINITY ? 0 : 0.5 * z * std::erfc(-z / std::sqrt(2.0));
    if (std::isnan(z)) want = z;
    expectClose("activation", i, x[i], want, std::abs(want), 1e-5);
  }
}

// The bits of its steps.
void checkFeedForward(Random& random, Workers& workers) {
  const auto kind = static_cast<Activation>(random.below(3));
  // Now and then more rows than go through all steps together.
  const bool isLarge = random.oneIn(20);
  const size_t hidden = isLarge ? 1024 : random.below(70);
  const size_t width = isLarge ? 1 : random.between(1, 70);
  const size_t rowCount = isLarge ? random.between(2000, 8400) : random.below(140);
  const size_t innerRows = hidden * (kind == Activation::swiglu ? 2 : 1);
  const auto load = [&](size_t rows, size_t columns) {
    const auto dtype = static_cast<Dtype>(random.below(3));
    auto matrix = std::make_unique<PackedMatrix>(dtype, rows, columns, random.oneIn(2));
    const Exact<uint8_t> bytes = weights(random, dtype, rows * columns);
    matrix->fill(0, rows, bytes.data(), workers);
    return matrix;
  };
  const auto inner = load(innerRows, width), outer = load(width, hidden);
  const Exact<float> x = normals(random, rowCount * width), innerBias = normals(random, innerRows), outerBias = normals(random, width);
  const FeedForward layer{*inner, random.oneIn(2) ? innerBias.data() : nullptr, kind, *outer, random.oneIn(2) ? outerBias.data() : nullptr};
  Exact<float> out(rowCount * width), want(rowCount * width);
  feedForward(layer, x.data(), rowCount, out.data(), workers);
  Exact<float> first(rowCount * innerRows), second(rowCount * hidden);
  float* activated = kind == Activation::swiglu ? second.data() : first.data();
  matmul(*inner, x.data(), rowCount, layer.innerBias, first.data(), workers);
  activate(kind, first.data(), rowCount, innerRows, activated, workers);
  matmul(*outer, activated, rowCount, layer.outerBias, want.data(), workers);
  for (size_t i = 0; i < want.size(); i++) expectSameBits("feed-forward", i, out[i], want[i]);
}

// The bits of one loop over eight lanes, in every batch and on every instruction set.
void checkNormalise(Random& random, Workers& workers) {
  const size_t rows = random.below(random.oneIn(5) ? 400 : 6);
  const size_t width = random.between(1, random.oneIn(3) ? 300 : 40);
  const bool centred = random.oneIn(2);
  const Exact<float> x = normals(random, rows * width);
  const Exact<float> weight = normals(random, width);
  const Exact<float> bias = normals(random, width);
  const bool hasWeight = random.oneIn(2), hasBias = random.oneIn(2);
  Exact<float> out(x.size());
  const double eps = random.oneIn(2) ? 1e-5 : 1;
  normalise({x.data(), rows, width, centred, eps, hasWeight ? weight.data() : nullptr, hasBias ? bias.data() : nullptr, out.data()}, workers);
  const auto sum = [&](const float* row, double mean, bool squared) {
    double s[8] = {};
    const size_t whole = width / 8 * 8;
    for (size_t i = 0; i < whole; i++) s[i % 8] += squared ? (row[i] - mean) * (row[i] - mean) : row[i];
    double total = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    for (size_t i = whole; i < width; i++) total += squared ? (row[i] - mean) * (row[i] - mean) : row[i];
    return total;
  };
  for (size_t at = 0; at < x.size(); at++) {
    const float* row = x.data() + at / width * width;
    const double mean = centred ? sum(row, 0, false) / static_cast<double>(width) : 0;
    const double scale = 1 / std::sqrt(sum(row, mean, true) / static_cast<double>(width) + eps);
    double want = static_cast<float>((x[at] - mean) * scale);
    if (hasWeight) want *= weight[at % width];
    if (hasBias) want += bias[at % width];
    expectSameBits("norm", at, out[at], static_cast<float>(want));
  }
}

// The bits of one loop in double precision.
void checkRotate(Random& random, Workers& workers) {
  const size_t rows = random.below(random.oneIn(5) ? 300 : 6);
  const size_t heads = random.between(1, 5), half = random.between(1, 40), positionCount = random.between(1, 20);
  Exact<float> x = normals(random, rows * heads * 2 * half);
  const Exact<float> cos = normals(random, positionCount * half), sin = normals(random, positionCount * half);
  std::vector<uint32_t> positions(rows);
  Exact<float> want(x.size());
  for (size_t row = 0; row < rows; row++) positions[row] = static_cast<uint32_t>(random.below(positionCount));
  for (size_t at = 0; at < x.size(); at++) {
    const size_t j = at % (2 * half);
    const size_t angle = positions[at / (heads * 2 * half)] * half + j % half;
    const double c = cos[angle], s = sin[angle];
    want[at] = static_cast<float>(j < half ? x[at] * c - x[at + half] * s : x[at] * c + x[at - half] * s);
  }
  rotate({x.data(), heads, half, cos.data(), sin.data(), positions}, workers);
  for (size_t at = 0; at < x.size(); at++) expectSameBits("rotated", at, x[at], want[at]);
}

void checkAddInto(Random& random, Workers& workers) {
  const size_t count = random.below(random.oneIn(5) ? 60'000 : 50);
  Exact<float> sum = normals(random, count);
  const Exact<float> addend = normals(random, count);
  Exact<float> want(count);
  for (size_t i = 0; i < count; i++) want[i] = sum[i] + addend[i];
  addInto(sum.data(), addend.data(), count, workers);
  for (size_t i = 0; i < count; i++) expectSameBits("residual", i, sum[i], want[i]);
}

}  // namespace

int main(int argc, char** argv) {
  answerIsas(argc, argv);
  Random random(7);
  Workers workers(3);
  constexpr int ROUNDS = 120;
  for (int round = 0; round < ROUNDS; round++) {
    checkMatmul(random, workers);
    if (round % 4 == 0) checkLargeMatmul(random, workers);
    checkAttend(random, workers);
    checkActivation(random, workers);
    checkFeedForward(random, workers);
    checkNormalise(random, workers);
    checkRotate(random, workers);
    checkAddInto(random, workers);
  }
  std::printf("%d rounds", ROUNDS);
}
