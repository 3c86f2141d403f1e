#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace ultramem {

// Zeroed bytes that start on a cache line. Large ones come from the system page by page as they are first touched, huge pages where it
// has them.
class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;

  // Bytes taken from the system, at least those asked for.
  size_t size() const { return size_; }
  template <class T>
  T* as() {
    return static_cast<T*>(data_);
  }
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// A vector that starts on a cache line. What is read by whole vector registers is otherwise read twice at nearly every second line, because
// large blocks of `std::vector` start 16 bytes behind one.
template <class T>
struct OnCacheLines {
  using value_type = T;
  static constexpr std::align_val_t LINE{64};
  OnCacheLines() = default;
  template <class U>
  OnCacheLines(const OnCacheLines<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), LINE)); }
  void deallocate(T* data, size_t) { ::operator delete(data, LINE); }
  bool operator==(const OnCacheLines&) const { return true; }
};
template <class T>
using LineVector = std::vector<T, OnCacheLines<T>>;

// The calling thread's scratch memory of at least this size; its content is lost when a larger one is asked for. Each `slot` is a memory of
// its own: two for a kernel by itself, the named ones for what lies between the kernels of one call.
enum Scratch : int { HIDDEN = 2, ACTIVATED = 3, SCRATCH_SLOTS = 4 };
void* scratch(int slot, size_t bytes);

}  // namespace ultramem
