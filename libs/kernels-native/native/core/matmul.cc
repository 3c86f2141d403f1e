#include "core/matmul.h"

#include <bit>
#include <cstring>

namespace ultramem {
namespace {

float widenF16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t fraction = half & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

float elementAt(const PackedMatrix& weight, size_t at) {
  if (weight.dtype() == Dtype::f32) return reinterpret_cast<const float*>(weight.bytes())[at];
  const uint16_t half = reinterpret_cast<const uint16_t*>(weight.bytes())[at];
  return weight.dtype() == Dtype::f16 ? widenF16(half) : std::bit_cast<float>(static_cast<uint32_t>(half) << 16);
}

}  // namespace

size_t bytesOf(Dtype dtype) { return dtype == Dtype::f32 ? 4 : 2; }

PackedMatrix::PackedMatrix(Dtype dtype, size_t rows, size_t columns)
    : dtype_(dtype), rows_(rows), columns_(columns), bytes_(rows * columns * bytesOf(dtype)) {}

void PackedMatrix::fill(size_t firstRow, size_t rowCount, const uint8_t* bytes) {
  const size_t rowBytes = columns_ * bytesOf(dtype_);
  std::memcpy(bytes_.data() + firstRow * rowBytes, bytes, rowCount * rowBytes);
}

void matmul(const PackedMatrix& weight, const float* x, size_t rowCount, const float* bias, float* out, Workers& workers) {
  const size_t columns = weight.columns();
  const size_t rows = weight.rows();
  workers.run(static_cast<uint32_t>(rows), [=, &weight](uint32_t row, uint32_t) {
    for (size_t i = 0; i < rowCount; i++) {
      double sum = bias == nullptr ? 0 : bias[row];
      for (size_t c = 0; c < columns; c++)
        sum += static_cast<double>(elementAt(weight, row * columns + c)) * x[i * columns + c];
      out[i * rows + row] = static_cast<float>(sum);
    }
  });
}

double matmulNs(const PackedMatrix& weight, size_t rowCount) {
  return static_cast<double>(weight.rows() * weight.columns()) * static_cast<double>(rowCount) / 64;
}

}  // namespace ultramem
