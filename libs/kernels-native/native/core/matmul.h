#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/memory.h"
#include "core/workers.h"

namespace ultramem {

enum class Dtype : uint8_t { f32, bf16, f16 };
size_t bytesOf(Dtype dtype);

// What multiplies: vectors in f32, vectors of pairs of bf16 (simd/matmul.h), or the matrix units of the processor (amx/matmul.h).
enum class Units : uint8_t { vectors, pairs, tiles };

// A dense weight [rows, columns] in its stored width, in panels of neighbouring rows as the tiles of simd/matmul.h take them. Rows are
// padded with zeros to whole panels.
class PackedMatrix {
 public:
  PackedMatrix(Dtype dtype, size_t rows, size_t columns, bool roundsX);

  // Takes rows firstRow .. firstRow + rowCount - 1, row-major in the stored dtype, at any address.
  void fill(size_t firstRow, size_t rowCount, const uint8_t* bytes, Workers& workers);

  Dtype dtype() const { return dtype_; }
  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  size_t residentBytes() const { return memory_.size(); }

  size_t panelCount() const;
  size_t panelBytes() const;
  const uint8_t* panel(size_t at) const { return memory_.as<uint8_t>() + at * panelBytes(); }

  // Whether x is rounded to bf16 before it is multiplied.
  bool roundsX() const { return roundsX_; }
  Units units() const { return units_; }
  // Whether units of bf16 hold this panel.
  bool fits(size_t panel) const;

 private:
  Dtype dtype_;
  size_t rows_;
  size_t columns_;
  bool roundsX_;
  Units units_;
  Memory memory_;
  std::vector<uint8_t> misfits_;  // for each row, whether units of bf16 do not hold it
};

// out = x weightᵀ + bias: x [rowCount, columns] to [rowCount, rows]; bias [rows] or nullptr. f32 sums of products of f32, or of x rounded
// to bf16, with the widened weights, or sums as good as these; each output is summed in one order, whatever the batch and the threads are.
void matmul(const PackedMatrix& weight, const float* x, size_t rowCount, const float* bias, float* out, Workers& workers);

// Time on one thread, roughly.
double matmulNs(const PackedMatrix& weight, size_t rowCount);

}  // namespace ultramem
