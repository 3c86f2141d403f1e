#include "core/value-table.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cstring>
#include <new>

namespace ultramem {
namespace {

constexpr uint64_t SCALE_BYTES = 2;

uint64_t bytesOf(ValueDtype dtype) {
  switch (dtype) {
    case ValueDtype::f32: return 4;
    case ValueDtype::bf16:
    case ValueDtype::f16: return 2;
    case ValueDtype::int8Block64: return 1;
  }
  return 0;
}

// Scales of the blocks that a range of columns touches.
uint64_t scaleCount(uint64_t columnBegin, uint64_t columnEnd) {
  return columnBegin == columnEnd ? 0 : (columnEnd - 1) / SCALE_BLOCK - columnBegin / SCALE_BLOCK + 1;
}

uint64_t bytesOfColumns(ValueDtype dtype, uint64_t begin, uint64_t end) {
  const uint64_t scales = dtype == ValueDtype::int8Block64 ? scaleCount(begin, end) * SCALE_BYTES : 0;
  return (end - begin) * bytesOf(dtype) + scales;
}

}  // namespace

uint64_t TableShape::rowBytes() const { return bytesOfColumns(dtype, 0, fullWidth); }

uint64_t TableShape::keptBytes() const { return bytesOfColumns(dtype, columnBegin, columnEnd); }

ValueTable::ValueTable(const TableShape& shape) : shape_(shape), elementBytes_(bytesOf(shape.dtype)) {}

std::unique_ptr<ValueTable> ValueTable::map(const TableShape& shape, const std::string& path, uint64_t offset, uint64_t memoryBytes) {
  std::unique_ptr<ValueTable> table(new ValueTable(shape));
  const uint64_t rowBytes = shape.rowBytes();
  table->file_ = MappedFile::open(path, offset + shape.rowBegin * rowBytes, (shape.rowEnd - shape.rowBegin) * rowBytes, memoryBytes);
  table->base_ = table->file_->bytes() + shape.columnBegin * bytesOf(shape.dtype);
  table->stride_ = rowBytes;
  table->scaleOffset_ = shape.fullWidth - shape.columnBegin + shape.columnBegin / SCALE_BLOCK * SCALE_BYTES;
  return table;
}

std::unique_ptr<ValueTable> ValueTable::allocate(const TableShape& shape) {
  std::unique_ptr<ValueTable> table(new ValueTable(shape));
  table->stride_ = shape.keptBytes();
  table->scaleOffset_ = shape.width();
  table->memoryBytes_ = table->residentBytes();
  if (table->memoryBytes_ == 0) return table;
  // Straight from the system, because a pool of memory would touch every byte before the first is read.
  void* memory = mmap(nullptr, table->memoryBytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  madvise(memory, table->memoryBytes_, MADV_HUGEPAGE);
#endif
  table->memory_ = memory;
  table->base_ = static_cast<const uint8_t*>(memory);
  return table;
}

void ValueTable::fill(uint64_t firstRow, const uint8_t* bytes, size_t byteCount) {
  std::memcpy(static_cast<uint8_t*>(memory_) + firstRow * stride_, bytes, byteCount);
}

namespace {

// Of so many rows one is not asked for.
constexpr size_t TELLING = 512;
// Pages that this thread had to wait for a disk for.
int64_t diskFaults() {
  struct rusage usage;
#if defined(RUSAGE_THREAD)
  getrusage(RUSAGE_THREAD, &usage);
#else
  getrusage(RUSAGE_SELF, &usage);
#endif
  return usage.ru_majflt;
}

}  // namespace

ReadAhead::ReadAhead(const ValueTable& table, const uint32_t* slots, size_t count) : table_(table) {
  if (!table.isCrowded()) return;
  if (table.runsAhead_.load(std::memory_order_relaxed) > 0)
    for (size_t i = 0; i < count; i++)
      if (i % TELLING != 0) table.readAhead(slots[i]);
  faultsBefore_ = diskFaults();
}

ReadAhead::~ReadAhead() {
  if (!table_.isCrowded()) return;
  if (diskFaults() > faultsBefore_) table_.runsAhead_.store(ValueTable::RUNS_AHEAD, std::memory_order_relaxed);
  else if (table_.runsAhead_.load(std::memory_order_relaxed) > 0) table_.runsAhead_.fetch_sub(1, std::memory_order_relaxed);
}

ValueTable::~ValueTable() {
  if (memory_ != nullptr) munmap(memory_, memoryBytes_);
}

}  // namespace ultramem
