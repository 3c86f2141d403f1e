#include "core/workers.h"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

#include <algorithm>
#include <chrono>
#include <utility>

namespace ultramem {
namespace {

constexpr uint32_t OPEN = 0x80000000u;
// How long a thread looks for work before it sleeps. Longer than the gap between the products of one layer, and short, because
// processes that share the cores need them: two spinners on one core cost each other whole time slices.
constexpr std::chrono::microseconds SPIN{20};
// As many calls as this, each soon after the last, are a stream that will go on. Then a thread looks longer: being woken takes as long
// as what it could do meanwhile. One pause, such as waiting for other processes, and it sleeps early again.
constexpr uint32_t STREAM_CALLS = 16;
constexpr std::chrono::microseconds STREAM_SPIN{100};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until `ready` holds; false when it does not in time.
template <class Ready>
bool spinUntil(const Ready& ready, std::chrono::microseconds longest) {
  const auto end = std::chrono::steady_clock::now() + longest;
  do {
    for (int i = 0; i < 32; i++) {
      if (ready()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

Workers::Workers(uint32_t lanes) : lanes_(lanes < 1 ? 1 : lanes) {}

Workers::~Workers() {
  stopping_ = true;
  calls_++;
  calls_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::run(uint32_t parts, const std::function<void(uint32_t, uint32_t)>& work) {
  if (lanes_ == 1 || parts <= 1) {
    for (uint32_t part = 0; part < parts; part++) work(part, 0);
    return;
  }
  while (threads_.size() + 1 < lanes_)
    threads_.emplace_back([this, lane = static_cast<uint32_t>(threads_.size() + 1)] { serve(lane); });
  work_ = &work;
  parts_ = parts;
  next_.store(0, std::memory_order_relaxed);
  failed_.store(false, std::memory_order_relaxed);
  keepHelpersOffThisCore();
  gate_.fetch_or(OPEN);
  calls_.fetch_add(1);
  calls_.notify_all();
  takeParts(0);
  // Nothing is left to start: helpers that come now find the gate shut, those inside finish what they have.
  gate_.fetch_and(~OPEN);
  if (!spinUntil([this] { return gate_.load() == 0; }, SPIN))
    for (uint32_t inside = gate_.load(); inside != 0; inside = gate_.load()) gate_.wait(inside);
  if (failed_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

// A helper may be woken before the thread that handed the work over has gone to sleep. Linux then sees no idle core, queues the helper
// behind the caller, who waits for it at the end, and leaves it there for milliseconds: on two cores a third of the calls had no help.
void Workers::keepHelpersOffThisCore() {
#if defined(__linux__)
  const int core = sched_getcpu();
  if (core < 0 || core >= CPU_SETSIZE || core == callerCore_) return;
  callerCore_ = core;
  cpu_set_t others;
  if (sched_getaffinity(0, sizeof others, &others) != 0) return;
  CPU_CLR(core, &others);
  if (CPU_COUNT(&others) == 0) return;
  for (std::thread& thread : threads_) pthread_setaffinity_np(thread.native_handle(), sizeof others, &others);
#endif
}

void Workers::takeParts(uint32_t lane) {
  for (uint32_t part = next_.fetch_add(1); part < parts_; part = next_.fetch_add(1)) {
    try {
      (*work_)(part, lane);
    } catch (...) {
      if (!failed_.exchange(true)) failure_ = std::current_exception();
    }
  }
}

void Workers::serve(uint32_t lane) {
  uint32_t soon = 0;  // calls that came soon after the one before, without another between them
  for (uint32_t seen = 0;;) {
    const auto idleSince = std::chrono::steady_clock::now();
    if (!spinUntil([&] { return calls_.load() != seen; }, soon < STREAM_CALLS ? SPIN : STREAM_SPIN)) calls_.wait(seen);
    soon = std::chrono::steady_clock::now() - idleSince > STREAM_SPIN ? 0 : std::min(soon + 1, STREAM_CALLS);
    seen = calls_.load();
    if (stopping_) return;
    // Entering first and looking afterwards: the caller sees either this helper inside or nobody who might still read `work_`.
    if (gate_.fetch_add(1) & OPEN) takeParts(lane);
    if (gate_.fetch_sub(1) == 1) gate_.notify_one();
  }
}

void runRows(Workers& workers, size_t rows, size_t width, const std::function<void(Slice)>& work) {
  constexpr size_t PART_NUMBERS = 16'384;
  const auto parts = static_cast<uint32_t>(std::max<size_t>(1, rows * width / PART_NUMBERS));
  workers.run(parts, [&](uint32_t part, uint32_t) { work(sliceOf(rows, part, parts)); });
}

}  // namespace ultramem
