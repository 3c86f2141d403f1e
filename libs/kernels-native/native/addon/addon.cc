// The addon's table of contents: each area of the contract has one file that binds it.
#include "addon/arguments.h"
#include "addon/async-call.h"
#include "core/isa.h"

namespace ultramem {

void registerDense(napi_env env, napi_value exports);
void registerMerging(napi_env env, napi_value exports);
void registerPacking(napi_env env, napi_value exports);
void registerPooling(napi_env env, napi_value exports);
void registerSelection(napi_env env, napi_value exports);

napi_value errorOf(napi_env env, const Refusal& refusal) {
  napi_value message;
  napi_value error;
  check(napi_create_string_utf8(env, refusal.what(), NAPI_AUTO_LENGTH, &message));
  check(napi_create_error(env, nullptr, message, &error));
  if (!refusal.code.empty()) {
    napi_value code;
    check(napi_create_string_utf8(env, refusal.code.c_str(), NAPI_AUTO_LENGTH, &code));
    check(napi_set_named_property(env, error, "code", code));
  }
  return error;
}

namespace {

// createEngine(threads): handle
napi_value createEngine(Arguments& arguments) {
  const auto threads = static_cast<uint32_t>(arguments.whole(0, 1024));
  require(threads > 0, "an engine has at least one thread");
  return makeHandle(arguments.env, Engine::create(arguments.env, threads));
}

// drainEngine(engine): promise that settles when everything queued before has
napi_value drainEngine(Arguments& arguments) {
  return arguments.handle<Engine>(0)->queue(arguments, [](Workers&) {});
}

// stopEngine(engine): ends its threads
napi_value stopEngine(Arguments& arguments) {
  arguments.handle<Engine>(0)->stop();
  return nullptr;
}

napi_value initialise(napi_env env, napi_value exports) noexcept {
  try {
    napi_value value;
    check(napi_create_string_utf8(env, isaName(isa()), NAPI_AUTO_LENGTH, &value));
    check(napi_set_named_property(env, exports, "isa", value));
    check(napi_create_string_utf8(env, availableIsas(), NAPI_AUTO_LENGTH, &value));
    check(napi_set_named_property(env, exports, "isas", value));
    check(napi_get_boolean(env, multipliesBf16(), &value));
    check(napi_set_named_property(env, exports, "multipliesBf16", value));
    exportMethod<createEngine>(env, exports, "createEngine");
    exportMethod<drainEngine>(env, exports, "drainEngine");
    exportMethod<stopEngine>(env, exports, "stopEngine");
    registerDense(env, exports);
    registerMerging(env, exports);
    registerPacking(env, exports);
    registerPooling(env, exports);
    registerSelection(env, exports);
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
  }
  return exports;
}

}  // namespace
}  // namespace ultramem

NAPI_MODULE_INIT() { return ultramem::initialise(env, exports); }
