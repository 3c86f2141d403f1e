#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/workers.h"

namespace ultramem {

enum class Dtype : uint8_t { f32, bf16, f16 };

// A dense weight [rows, columns] in its stored width.
class PackedMatrix {
 public:
  PackedMatrix(Dtype dtype, size_t rows, size_t columns);

  // Takes rows firstRow .. firstRow + rowCount - 1, row-major in the stored dtype, at any address.
  void fill(size_t firstRow, size_t rowCount, const uint8_t* bytes);

  Dtype dtype() const { return dtype_; }
  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  size_t residentBytes() const { return bytes_.size(); }
  const uint8_t* bytes() const { return bytes_.data(); }

 private:
  Dtype dtype_;
  size_t rows_;
  size_t columns_;
  std::vector<uint8_t> bytes_;
};

size_t bytesOf(Dtype dtype);

// out = x weightᵀ + bias: x [rowCount, columns] to [rowCount, rows]; bias [rows] or nullptr.
void matmul(const PackedMatrix& weight, const float* x, size_t rowCount, const float* bias, float* out, Workers& workers);

// Time on one thread, roughly.
double matmulNs(const PackedMatrix& weight, size_t rowCount);

}  // namespace ultramem
