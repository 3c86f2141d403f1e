#include "core/feed-forward.h"

#include <algorithm>

#include "core/memory.h"

namespace ultramem {
namespace {

// What the first product leaves of the rows that go through all steps together. As many rows share one reading of the weights.
constexpr size_t HIDDEN_BYTES = size_t{16} << 20;
constexpr size_t ROWS_MIN = 96;

}  // namespace

void feedForward(const FeedForward& layer, const float* x, size_t rowCount, float* out, Workers& workers) {
  const auto& [inner, innerBias, activation, outer, outerBias] = layer;
  const size_t width = inner.rows();
  const size_t rowBytes = std::max<size_t>(1, width * sizeof(float));
  const size_t rowsAtOnce = std::min(rowCount, std::max(ROWS_MIN, HIDDEN_BYTES / rowBytes));
  float* hidden = static_cast<float*>(scratch(HIDDEN, rowsAtOnce * rowBytes));
  float* activated = hidden;
  if (activation == Activation::swiglu) activated = static_cast<float*>(scratch(ACTIVATED, rowsAtOnce * rowBytes / 2));
  for (size_t row = 0; row < rowCount; row += rowsAtOnce) {
    const size_t rows = std::min(rowsAtOnce, rowCount - row);
    matmul(inner, x + row * inner.columns(), rows, innerBias, hidden, workers);
    activate(activation, hidden, rows, width, activated, workers);
    matmul(outer, activated, rows, outerBias, out + row * outer.rows(), workers);
  }
}

double feedForwardNs(const FeedForward& layer, size_t rowCount) {
  return matmulNs(layer.inner, rowCount) + activateNs(rowCount * layer.inner.rows()) + matmulNs(layer.outer, rowCount);
}

}  // namespace ultramem
