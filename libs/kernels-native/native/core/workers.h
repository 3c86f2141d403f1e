#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace ultramem {

// The threads of one computation. `run` splits it into parts; the calling thread takes parts like every other, so that it never
// waits for a thread that has not started. One `run` at a time, from one thread; parts do not call `run`.
//
// Several computations may go on at once on different Workers (a small one on the JS thread beside a large one on the pool): scratch
// memory that belongs to a handle and is indexed by lane would be shared by both. Keep scratch memory with the call or the thread.
class Workers {
 public:
  // `lanes` threads in all, the caller included; 1 makes everything sequential. Threads start with the first `run` that needs them.
  explicit Workers(uint32_t lanes);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  uint32_t lanes() const { return lanes_; }

  // Calls work(part, lane) once for each part 0 .. parts - 1, in ascending order of start, and returns when all are done.
  // lane < lanes() says which thread works. An exception of a part is thrown here after the others are done.
  void run(uint32_t parts, const std::function<void(uint32_t part, uint32_t lane)>& work);

 private:
  void keepHelpersOffThisCore();
  void takeParts(uint32_t lane);
  void serve(uint32_t lane);

  const uint32_t lanes_;
  std::vector<std::thread> threads_;
  int callerCore_ = -1;  // the one that helpers were last kept off

  // Written by the caller while the gate is shut, read by helpers while it is open.
  const std::function<void(uint32_t, uint32_t)>* work_ = nullptr;
  uint32_t parts_ = 0;
  std::exception_ptr failure_;
  std::atomic<bool> failed_{false};

  alignas(64) std::atomic<uint32_t> next_{0};
  // Highest bit: helpers may enter. Below: how many are inside.
  alignas(64) std::atomic<uint32_t> gate_{0};
  // Counts calls; idle helpers spin on it for a moment, then sleep on it.
  alignas(64) std::atomic<uint32_t> calls_{0};
  std::atomic<bool> stopping_{false};
};

// Part `part` of `parts` of the range 0 .. count - 1: pieces that differ by one element at most.
struct Slice {
  size_t begin;
  size_t end;
};
inline Slice sliceOf(size_t count, uint32_t part, uint32_t parts) {
  return {count * part / parts, count * (part + size_t{1}) / parts};
}

// Calls work(slice) for slices of `rows` rows of `width` numbers, each with so many numbers that handing it out is worth it.
void runRows(Workers& workers, size_t rows, size_t width, const std::function<void(Slice rows)>& work);

}  // namespace ultramem
