#include "core/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace ultramem {
namespace {

constexpr size_t CACHE_LINE = 64;
constexpr size_t PAGE = 4096;
// Large arrays begin where a page does, and what lies at the same place of different pages shares sets of the first-level cache. Scratch
// memories begin elsewhere, each at its own place: dense products took 5 % less time then (docs/performance.md).
constexpr size_t STAGGER = 768;
// From here on whole pages are taken.
constexpr size_t MAPPED_MIN = size_t{1} << 20;

size_t roundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Memory::Memory(size_t bytes) {
  if (bytes == 0) return;
  size_ = roundUp(bytes, CACHE_LINE);
  if (size_ < MAPPED_MIN) {
    if (posix_memalign(&data_, CACHE_LINE, size_) != 0) throw std::bad_alloc();
    std::memset(data_, 0, size_);
    return;
  }
  size_ = roundUp(bytes, PAGE);
  data_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data_ == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  madvise(data_, size_, MADV_HUGEPAGE);
#endif
}

Memory::~Memory() {
  if (size_ < MAPPED_MIN) std::free(data_);
  else munmap(data_, size_);
}

Memory::Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void* scratch(int slot, size_t bytes) {
  static thread_local Memory memories[SCRATCH_SLOTS];
  Memory& memory = memories[slot];
  const size_t begin = (static_cast<size_t>(slot) + 1) * STAGGER;
  if (memory.size() < begin + bytes) memory = Memory(begin + bytes + bytes / 4);
  return memory.as<char>() + begin;
}

}  // namespace ultramem
