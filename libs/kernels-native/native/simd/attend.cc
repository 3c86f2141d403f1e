#include "simd/attend.h"

#include "simd/exponential.h"
#include "simd/transpose.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

constexpr float INFINITE = __builtin_inff();

ULTRAMEM_INLINE Vec laneNumbers() {
  static constexpr float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load(numbers);
}

// One order for every set of the same width.
template <class Combine>
ULTRAMEM_INLINE float reduce(Vec v, const Combine& combine) {
  float lanes[WIDTH];
  store(lanes, v);
#pragma GCC unroll 4
  for (int half = WIDTH / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; i++) lanes[i] = combine(lanes[i], lanes[i + half]);
  return lanes[0];
}

void softmaxRow(SoftmaxRow& row) {
  constexpr size_t VECTORS = KEY_BLOCK / WIDTH;
  Vec scores[VECTORS];
  Vec largest = splat(-INFINITE);
  Vec number = laneNumbers();
#pragma GCC unroll 16
  for (size_t i = 0; i < VECTORS; i++) {
    const Vec bias = mul(splat(row.slope), sub(splat(row.distance), number));
    const Vec score = sub(mul(load(row.scores + i * WIDTH), splat(row.scale)), bias);
    scores[i] = whereLess(number, splat(static_cast<float>(row.count)), score, splat(-INFINITE));
    largest = max(largest, scores[i]);
    number = add(number, splat(WIDTH));
  }
  const float blockMax = reduce(largest, [](float a, float b) { return a > b ? a : b; });
  const float before = row.max;
  if (!(row.max > blockMax)) row.max = blockMax;
  // Minus infinity less itself would be NaN.
  const float base = row.max == -INFINITE ? 0 : row.max;
  Vec sum = zero();
#pragma GCC unroll 16
  for (size_t i = 0; i < VECTORS; i++) {
    const Vec weight = exponentialOfNegative(sub(scores[i], splat(base)));
    store(row.scores + i * WIDTH, weight);
    sum = add(sum, weight);
  }
  row.sum = reduce(sum, [](float a, float b) { return a + b; });
  float factors[WIDTH];
  store(factors, exponentialOfNegative(splat(before - base)));
  row.rescale = factors[0];
}

void packKeys(const float* rows, size_t stride, size_t count, size_t width, float* panel) {
  constexpr size_t PANEL_ROWS = 2 * WIDTH;
  for (size_t row = 0; row < PANEL_ROWS; row += WIDTH) {
    const size_t left = count < row ? 0 : count - row;
    transpose(rows + row * stride, stride, left < WIDTH ? left : WIDTH, width, panel + row, PANEL_ROWS, WIDTH);
  }
}

void packValues(const float* rows, size_t stride, size_t count, size_t width, float* panels) {
  constexpr size_t PANEL_ROWS = 2 * WIDTH;
  for (size_t i = 0; i < count; i++) {
    const float* row = rows + i * stride;
    for (size_t column = 0; column < width; column += WIDTH) {
      float* to = panels + column / PANEL_ROWS * PANEL_ROWS * KEY_BLOCK + i * PANEL_ROWS + column % PANEL_ROWS;
      store(to, width - column < WIDTH ? loadFirst(row + column, width - column) : load(row + column));
    }
    // The second half of the last panel, where the width does not reach it.
    if ((width - 1) % PANEL_ROWS < WIDTH)
      store(panels + (width - 1) / PANEL_ROWS * PANEL_ROWS * KEY_BLOCK + i * PANEL_ROWS + WIDTH, zero());
  }
}

void scaleRow(float* x, size_t count, float factor) {
  for (size_t i = 0; i < count; i++) x[i] *= factor;
}

void mergeRow(float* x, float factor, const float* other, float otherFactor, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = x[i] * factor + other[i] * otherFactor;
}

void divideRow(const float* x, float divisor, size_t count, float* out) {
  for (size_t i = 0; i < count; i++) out[i] = x[i] / divisor;
}

}  // namespace

const AttendKernels attendKernels = {softmaxRow, packKeys, packValues, scaleRow, mergeRow, divideRow};

}  // namespace ultramem::ULTRAMEM_ISA
