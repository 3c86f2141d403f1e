#include "core/pack.h"

#include <algorithm>
#include <atomic>

#include "core/value-table.h"
#include "simd/pack.h"

namespace ultramem {
namespace {

// Numbers that a thread takes at once.
constexpr size_t PART_ELEMENTS = 16384;

// Calls work(first row, number of rows) for pieces of about as many numbers.
template <class Work>
void inPieces(size_t rowCount, size_t width, Workers& workers, const Work& work) {
  if (width == 0) return;
  const size_t rows = std::max<size_t>(1, PART_ELEMENTS / width);
  workers.run(static_cast<uint32_t>((rowCount + rows - 1) / rows), [&](uint32_t piece, uint32_t) {
    const size_t begin = piece * rows;
    work(begin, std::min(rowCount - begin, rows));
  });
}

}  // namespace

size_t packedRowBytes(Packing packing, size_t width) {
  return packing == Packing::bf16 ? 2 * width : width + 2 * ((width + SCALE_BLOCK - 1) / SCALE_BLOCK);
}

bool packVectors(const PackTask& task, Workers& workers) {
  const size_t rowBytes = packedRowBytes(task.packing, task.width);
  const PackTable& table = ULTRAMEM_PICK(packTable);
  std::atomic<bool> finite{true};
  inPieces(task.rowCount, task.width, workers, [&](size_t first, size_t rows) {
    const float* values = task.values + first * task.width;
    uint8_t* out = task.out + first * rowBytes;
    if (task.packing == Packing::bf16) return table.toBf16(values, rows * task.width, out);
    for (size_t row = 0; row < rows; row++)
      if (!table.toInt8(values + row * task.width, task.width, out + row * rowBytes)) finite = false;
  });
  return finite;
}

void unpackVectors(const UnpackTask& task, Workers& workers) {
  const size_t rowBytes = packedRowBytes(task.packing, task.width);
  const PackTable& table = ULTRAMEM_PICK(packTable);
  inPieces(task.rowCount, task.width, workers, [&](size_t first, size_t rows) {
    const uint8_t* bytes = task.bytes + first * rowBytes;
    float* out = task.out + first * task.width;
    if (task.packing == Packing::bf16) return table.ofBf16(bytes, rows * task.width, out);
    for (size_t row = 0; row < rows; row++) table.ofInt8(bytes + row * rowBytes, task.width, out + row * task.width);
  });
}

double packNs(size_t count) { return static_cast<double>(count) / 4; }

}  // namespace ultramem
