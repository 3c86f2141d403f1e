#include "core/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace ultramem {
namespace {

constexpr size_t CACHE_LINE = 64;
constexpr size_t HUGE_PAGE = size_t{2} << 20;

size_t roundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Memory::Memory(size_t bytes) {
  if (bytes == 0) return;
  // Below two huge pages rounding up would waste more than it gains.
  const size_t unit = bytes < 2 * HUGE_PAGE ? CACHE_LINE : HUGE_PAGE;
  size_ = roundUp(bytes, unit == HUGE_PAGE ? 4096 : CACHE_LINE);
  if (posix_memalign(&data_, unit, size_) != 0) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (unit == HUGE_PAGE) madvise(data_, size_, MADV_HUGEPAGE);
#endif
  std::memset(data_, 0, size_);
}

Memory::~Memory() { std::free(data_); }

Memory::Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void* scratch(int slot, size_t bytes) {
  static thread_local Memory memories[SCRATCH_SLOTS];
  Memory& memory = memories[slot];
  if (memory.size() < bytes) memory = Memory(bytes + bytes / 4);
  return memory.as<void>();
}

}  // namespace ultramem
