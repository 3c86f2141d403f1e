#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "addon/arguments.h"
#include "core/workers.h"

namespace ultramem {

// The threads of one `createNativeKernels`. Large calls run one after another on a thread of the engine, with all its helpers. Small
// calls run at once on the JS thread, because a queue and a promise would cost more than they: the smallest alone, those of tenths of
// a millisecond with the helpers.
class Engine : public std::enable_shared_from_this<Engine> {
 public:
  static constexpr napi_type_tag TAG{0x6b0a7f3e51c94d28, 0x9d35e1f08a7246bb};
  static constexpr const char* NAME = "engine";

  static std::shared_ptr<Engine> create(napi_env env, uint32_t threads);
  ~Engine();

  uint32_t lanes() const;

  // Does `work(Workers&)` now, and returns undefined (or a promise, where the event loop has to turn); or later, and returns a promise. `estimatedNs` is the time the
  // work would take one thread, roughly: a multiply-add of f32 is about 1/64 of it, a byte from memory about 1/10.
  //
  // Before this call the binding has read all arguments and checked them. Until the promise settles their arrays and handles are
  // kept alive, so `work` may capture spans of arrays by value, and shared pointers of handles. It may throw `Refusal`.
  template <class Work>
  napi_value call(Arguments& arguments, double estimatedNs, Work&& work) {
    Workers* workers = workersAtOnce(estimatedNs);
    if (workers == nullptr) return queue(arguments, std::forward<Work>(work));
    const auto begin = std::chrono::steady_clock::now();
    work(*workers);
    sinceTurn_ += std::chrono::steady_clock::now() - begin;
    return sinceTurn_ <= PER_TURN ? nullptr : nextTurn(arguments.env);
  }

  // As `call`, always later.
  napi_value queue(Arguments& arguments, std::function<void(Workers&)> work);

  // Ends the threads after the queued jobs. The engine refuses calls afterwards.
  void stop();

 private:
  // What the JS thread does at once between two turns of its event loop. A chain of awaits on finished work never returns to the loop
  // by itself, and sockets would starve.
  static constexpr std::chrono::milliseconds PER_TURN{2};

  struct State;
  explicit Engine(std::unique_ptr<State> state);
  Workers* workersAtOnce(double estimatedNs);
  // A promise that settles in the next turn of the event loop.
  napi_value nextTurn(napi_env env);

  std::unique_ptr<State> state_;
  Workers alone_{1};
  std::chrono::steady_clock::duration sinceTurn_{0};
};

}  // namespace ultramem
