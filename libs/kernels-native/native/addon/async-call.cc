#include "addon/async-call.h"

#include <condition_variable>
#include <deque>
#include <mutex>

namespace ultramem {
namespace {

// Waking a helper takes longer than it could save below this.
constexpr double ALONE_NS = 30'000;
// The longest that the JS thread is held at once, roughly. Handing over and settling a promise takes a tenth of it.
constexpr double AT_ONCE_NS = 400'000;
struct Job {
  std::function<void(Workers&)> work;
  napi_deferred deferred;
  napi_ref kept = nullptr;  // the arguments of the call
  bool failed = false;
  Refusal refusal{""};
};

void stopEngineOf(void* engine) { static_cast<Engine*>(engine)->stop(); }

}  // namespace

struct Engine::State {
  State(napi_env env, uint32_t threads) : env(env), workers(threads) {}

  // Takes jobs until told to stop and none is left.
  void serve() {
    for (std::unique_ptr<Job> job = next(); job != nullptr; job = next()) {
      try {
        job->work(workers);
      } catch (const Refusal& refusal) {
        job->failed = true;
        job->refusal = refusal;
      } catch (const std::exception& error) {
        job->failed = true;
        job->refusal = Refusal(error.what());
      }
      job->work = nullptr;
      Job* done = job.release();
      if (napi_call_threadsafe_function(settle, done, napi_tsfn_nonblocking) != napi_ok) delete done;
    }
  }

  std::unique_ptr<Job> next() {
    std::unique_lock lock(mutex);
    wake.wait(lock, [this] { return stopping || !jobs.empty(); });
    if (jobs.empty()) return nullptr;
    std::unique_ptr<Job> job = std::move(jobs.front());
    jobs.pop_front();
    return job;
  }

  napi_env env;
  Workers workers;
  napi_threadsafe_function settle = nullptr;
  size_t pending = 0;  // read and written on the JS thread
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::unique_ptr<Job>> jobs;
  bool stopping = false;
  bool stopped = false;
  std::thread thread;
};

std::shared_ptr<Engine> Engine::create(napi_env env, uint32_t threads) {
  std::shared_ptr<Engine> engine(new Engine(std::make_unique<State>(env, threads)));
  napi_value name;
  check(napi_create_string_utf8(env, "ultramem kernels", NAPI_AUTO_LENGTH, &name));
  const auto settle = [](napi_env env, napi_value, void* context, void* data) {
    std::unique_ptr<Job> job(static_cast<Job*>(data));
    if (env == nullptr) return;  // the environment ends; nobody waits any more
    Engine& engine = *static_cast<Engine*>(context);
    engine.sinceTurn_ = {};
    if (--engine.state_->pending == 0) napi_unref_threadsafe_function(env, engine.state_->settle);
    if (job->kept != nullptr) napi_delete_reference(env, job->kept);
    if (job->failed) {
      napi_reject_deferred(env, job->deferred, errorOf(env, job->refusal));
    } else {
      napi_value undefined;
      napi_get_undefined(env, &undefined);
      napi_resolve_deferred(env, job->deferred, undefined);
    }
  };
  check(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, engine.get(), settle,
                                        &engine->state_->settle));
  // An idle engine does not keep the process alive; a pending promise does.
  check(napi_unref_threadsafe_function(env, engine->state_->settle));
  check(napi_add_env_cleanup_hook(env, stopEngineOf, engine.get()));
  return engine;
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}

Engine::~Engine() { stop(); }

uint32_t Engine::lanes() const { return state_->workers.lanes(); }

Workers* Engine::workersAtOnce(double estimatedNs) {
  require(!state_->stopped, "the kernels are used after close");
  if (estimatedNs <= ALONE_NS) return &alone_;
  // With nothing pending the engine's thread sleeps, and the helpers are free.
  if (state_->pending == 0 && estimatedNs <= AT_ONCE_NS * lanes()) return &state_->workers;
  return nullptr;
}

napi_value Engine::queue(Arguments& arguments, std::function<void(Workers&)> work) {
  State& state = *state_;
  require(!state.stopped, "the kernels are used after close");
  const napi_env env = arguments.env;
  napi_value kept;
  check(napi_create_array_with_length(env, arguments.count, &kept));
  for (size_t i = 0; i < arguments.count; i++) check(napi_set_element(env, kept, static_cast<uint32_t>(i), arguments.value(i)));
  auto job = std::make_unique<Job>();
  job->work = std::move(work);
  napi_value promise;
  check(napi_create_promise(env, &job->deferred, &promise));
  check(napi_create_reference(env, kept, 1, &job->kept));
  if (state.pending++ == 0) check(napi_ref_threadsafe_function(env, state.settle));
  if (!state.thread.joinable()) state.thread = std::thread([&state] { state.serve(); });
  {
    std::lock_guard lock(state.mutex);
    state.jobs.push_back(std::move(job));
  }
  state.wake.notify_one();
  return promise;
}

napi_value Engine::nextTurn(napi_env env) {
  State& state = *state_;
  auto job = std::make_unique<Job>();
  napi_value promise;
  check(napi_create_promise(env, &job->deferred, &promise));
  if (state.pending++ == 0) check(napi_ref_threadsafe_function(env, state.settle));
  check(napi_call_threadsafe_function(state.settle, job.release(), napi_tsfn_nonblocking));
  return promise;
}

void Engine::stop() {
  State& state = *state_;
  if (state.stopped) return;
  state.stopped = true;
  napi_remove_env_cleanup_hook(state.env, stopEngineOf, this);
  {
    std::lock_guard lock(state.mutex);
    state.stopping = true;
  }
  state.wake.notify_one();
  if (state.thread.joinable()) state.thread.join();
  napi_release_threadsafe_function(state.settle, napi_tsfn_release);
}

}  // namespace ultramem
