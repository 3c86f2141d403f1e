#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/mapped-file.h"

namespace ultramem {

enum class ValueDtype : uint8_t { f32, bf16, f16, int8Block64 };

// Columns that share a scale in int8Block64: a row is `width` int8, then a bf16 for each block of columns (the last may be short).
constexpr uint32_t SCALE_BLOCK = 64;

struct TableShape {
  ValueDtype dtype;
  uint64_t tableRows;
  uint64_t fullWidth;
  // The rectangle that a handle shows.
  uint64_t rowBegin, rowEnd;
  uint64_t columnBegin, columnEnd;

  uint64_t width() const { return columnEnd - columnBegin; }
  // Of the stored table.
  uint64_t rowBytes() const;
  // Of a row of the rectangle alone, without gaps.
  uint64_t keptBytes() const;
};

// A rectangle of a value or pre-value table. A mapped one addresses its columns where they lie in the file; a copied one holds them
// without gaps.
class ValueTable {
 public:
  // `memoryBytes` is what this process may have in memory at all.
  static std::unique_ptr<ValueTable> map(const TableShape& shape, const std::string& path, uint64_t offset, uint64_t memoryBytes);
  // Zeros, to be filled.
  static std::unique_ptr<ValueTable> allocate(const TableShape& shape);
  ~ValueTable();
  ValueTable(const ValueTable&) = delete;
  ValueTable& operator=(const ValueTable&) = delete;

  // Takes rows firstRow .. of the rectangle, counted from its first, each of shape().keptBytes().
  void fill(uint64_t firstRow, const uint8_t* bytes, size_t byteCount);

  bool isWritable() const { return file_ == nullptr; }
  const TableShape& shape() const { return shape_; }
  // Bytes of the rectangle. A mapped one keeps at most these in memory, and the system may take any of them back.
  uint64_t residentBytes() const { return (shape_.rowEnd - shape_.rowBegin) * shape_.keptBytes(); }

  // From a slot, which must be inside, to the first column of the rectangle in its row.
  struct Rows {
    const uint8_t* base;
    uint64_t begin;
    size_t stride;
    const uint8_t* operator()(uint64_t slot) const { return base + (slot - begin) * stride; }
  };
  Rows rows() const { return {base_, shape_.rowBegin, stride_}; }
  const uint8_t* row(uint64_t slot) const { return rows()(slot); }
  // Bytes from there to the end of the last element of the rectangle's row.
  size_t elementSpan() const { return shape_.width() * elementBytes_; }
  // From there to the scale of the first column's block.
  size_t scaleOffset() const { return scaleOffset_; }
  // The first column's place in its block.
  uint32_t scalePhase() const { return static_cast<uint32_t>(shape_.columnBegin % SCALE_BLOCK); }

  // Rows may have to come from a disk: `ReadAhead` has many of them come at the same time.
  bool isCrowded() const { return file_ != nullptr && file_->isCrowded(); }
  void readAhead(uint64_t slot) const {
    const size_t scales = shape_.dtype == ValueDtype::int8Block64 ? scaleOffset_ + shape_.keptBytes() - shape_.width() : 0;
    file_->readAhead(row(slot), elementSpan() > scales ? elementSpan() : scales);
  }

  // After a use: throws ReadFailure when the bytes cannot be trusted.
  void verify() const {
    if (file_ != nullptr) file_->verify();
  }

 private:
  explicit ValueTable(const TableShape& shape);

  TableShape shape_;
  std::shared_ptr<MappedFile> file_;
  void* memory_ = nullptr;
  size_t memoryBytes_ = 0;
  const uint8_t* base_ = nullptr;
  size_t stride_ = 0;
  size_t elementBytes_ = 0;
  size_t scaleOffset_ = 0;
  // Runs that `ReadAhead` still asks for after one with faults; at first everything may be missing.
  static constexpr int32_t RUNS_AHEAD = 16;
  mutable std::atomic<int32_t> runsAhead_{RUNS_AHEAD};

  friend class ReadAhead;
};

// One run of rows of a crowded table, from before the first is used until after the last. Asking the system for a row costs more than
// using one that is there, so it is done only while rows turn out to be missing: a few are never asked for and tell by their faults.
class ReadAhead {
 public:
  ReadAhead(const ValueTable& table, const uint32_t* slots, size_t count);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

 private:
  const ValueTable& table_;
  int64_t faultsBefore_ = 0;
};

}  // namespace ultramem
