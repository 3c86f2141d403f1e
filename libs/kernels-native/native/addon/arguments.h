#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ultramem {

// What a native function throws, here or inside a job: `method` and `Engine::call` make a JS Error of it, with the property `code`
// unless the code is empty. A coded failure is an expected one (a slot out of range); the TypeScript side makes an OperatingError
// of it. Without a code it is a defect of the caller, which TypeScript should have caught.
struct Refusal : std::runtime_error {
  explicit Refusal(const std::string& message, std::string code = "") : std::runtime_error(message), code(std::move(code)) {}
  std::string code;
};

inline void require(bool condition, const char* message) {
  if (!condition) throw Refusal(message);
}

// Throws when N-API refuses; a pending JS exception stays pending.
inline void check(napi_status status) {
  if (status != napi_ok) throw Refusal("N-API refused, status " + std::to_string(status));
}

// A JS Error for a failure.
napi_value errorOf(napi_env env, const Refusal& refusal);

template <class T>
struct TypedArray;
#define ULTRAMEM_TYPED_ARRAY(T, NAME)                               \
  template <>                                                       \
  struct TypedArray<T> {                                            \
    static constexpr napi_typedarray_type type = napi_##NAME##_array; \
    static constexpr const char* name = #NAME " array";             \
  }
ULTRAMEM_TYPED_ARRAY(float, float32);
ULTRAMEM_TYPED_ARRAY(double, float64);
ULTRAMEM_TYPED_ARRAY(uint8_t, uint8);
ULTRAMEM_TYPED_ARRAY(uint32_t, uint32);
#undef ULTRAMEM_TYPED_ARRAY

// A native object that JS holds: `release` gives it back before the garbage collector does, a job that runs keeps it. A class T
// that is handed to JS has `static constexpr napi_type_tag TAG` (two random numbers) and `static constexpr const char* NAME`.
template <class T>
struct Handle {
  std::shared_ptr<T> object;
};

// The arguments of one call. Every accessor throws `Refusal` where the argument is not what it should be, so a binding reads all of
// them, checks their lengths against each other, and only then touches memory.
class Arguments {
 public:
  static constexpr size_t COUNT_MAX = 32;

  Arguments(napi_env env, napi_callback_info info) : env(env) {
    check(napi_get_cb_info(env, info, &count, values_, nullptr, nullptr));
    require(count <= COUNT_MAX, "a native function has at most 32 arguments");
    passed_ = count;
  }

  const napi_env env;
  size_t count = COUNT_MAX;

  napi_value value(size_t at) const {
    require(at < count, "an argument is missing");
    return at < passed_ ? values_[at] : unpacked_[at - passed_];
  }

  // Appends the elements of a JS array of typed arrays to the arguments, which keeps them alive like the others, and returns where the
  // first of them is. An element may be a getter: JavaScript then runs here, so a binding takes its spans afterwards.
  size_t unpack(size_t at) {
    bool isArray;
    uint32_t length;
    check(napi_is_array(env, value(at), &isArray));
    if (!isArray) throw Refusal("argument " + std::to_string(at) + " is no JS array");
    check(napi_get_array_length(env, value(at), &length));
    const size_t first = count;
    for (uint32_t i = 0; i < length; i++) {
      napi_value element;
      bool isTyped;
      check(napi_get_element(env, value(at), i, &element));
      check(napi_is_typedarray(env, element, &isTyped));
      if (!isTyped) throw Refusal("element " + std::to_string(i) + " of argument " + std::to_string(at) + " is no typed array");
      unpacked_.push_back(element);
      count++;
    }
    return first;
  }

  // The elements a typed array shows (its own part of the buffer, not the whole buffer). The array must be of exactly this type.
  template <class T>
  std::span<T> array(size_t at) const {
    napi_typedarray_type type;
    size_t length;
    void* data;
    if (napi_get_typedarray_info(env, value(at), &type, &length, &data, nullptr, nullptr) != napi_ok ||
        type != TypedArray<T>::type)
      throw Refusal("argument " + std::to_string(at) + " is no " + TypedArray<T>::name);
    return {static_cast<T*>(data), length};
  }

  // As `array`, with null for none: the span is then empty and its data is nullptr.
  template <class T>
  std::span<T> optionalArray(size_t at) const {
    return isNull(at) ? std::span<T>() : array<T>(at);
  }

  bool isNull(size_t at) const {
    napi_valuetype type;
    check(napi_typeof(env, value(at), &type));
    return type == napi_null;
  }

  double number(size_t at) const {
    double number;
    if (napi_get_value_double(env, value(at), &number) != napi_ok) throw Refusal("argument " + std::to_string(at) + " is no number");
    return number;
  }

  // A whole number 0 .. max. `max` of at most 2^53 keeps products of two sizes that were checked alone from overflowing silently;
  // use `sizeProduct` for products.
  uint64_t whole(size_t at, uint64_t max = UINT32_MAX) const {
    const double wanted = number(at);
    if (!(wanted >= 0 && wanted <= static_cast<double>(max)) || wanted != static_cast<double>(static_cast<uint64_t>(wanted)))
      throw Refusal("argument " + std::to_string(at) + " is no whole number of at most " + std::to_string(max));
    return static_cast<uint64_t>(wanted);
  }

  bool boolean(size_t at) const {
    bool flag;
    if (napi_get_value_bool(env, value(at), &flag) != napi_ok) throw Refusal("argument " + std::to_string(at) + " is no boolean");
    return flag;
  }

  std::string text(size_t at) const {
    size_t length;
    if (napi_get_value_string_utf8(env, value(at), nullptr, 0, &length) != napi_ok)
      throw Refusal("argument " + std::to_string(at) + " is no string");
    std::string text(length, '\0');
    check(napi_get_value_string_utf8(env, value(at), text.data(), length + 1, &length));
    return text;
  }

  // The object of a handle that this addon made of a T. Foreign and released handles are refused.
  template <class T>
  std::shared_ptr<T> handle(size_t at) const {
    std::shared_ptr<T> object = handleOf<T>(at)->object;
    if (object == nullptr) throw Refusal(std::string(T::NAME) + " is used after its release");
    return object;
  }

  // Drops the object of a handle; a second time does nothing.
  template <class T>
  void release(size_t at) const {
    handleOf<T>(at)->object.reset();
  }

 private:
  template <class T>
  Handle<T>* handleOf(size_t at) const {
    napi_valuetype type;
    check(napi_typeof(env, value(at), &type));
    bool own = false;
    if (type == napi_external) check(napi_check_object_type_tag(env, value(at), &T::TAG, &own));
    if (!own) throw Refusal("argument " + std::to_string(at) + " is no " + T::NAME);
    void* data;
    check(napi_get_value_external(env, value(at), &data));
    return static_cast<Handle<T>*>(data);
  }

  napi_value values_[COUNT_MAX];
  size_t passed_ = 0;
  std::vector<napi_value> unpacked_;
};

// The product of sizes, refused where it does not fit into 2^53: no length of a real array is larger.
inline size_t sizeProduct(std::initializer_list<uint64_t> sizes) {
  uint64_t product = 1;
  for (uint64_t size : sizes) {
    require(size == 0 || product <= (uint64_t{1} << 53) / size, "a shape has too many elements");
    product *= size;
  }
  return product;
}

// A JS handle of an object. The garbage collector frees what nobody released.
template <class T>
napi_value makeHandle(napi_env env, std::shared_ptr<T> object) {
  auto handle = std::make_unique<Handle<T>>(Handle<T>{std::move(object)});
  napi_value external;
  check(napi_create_external(
      env, handle.get(), [](napi_env, void* data, void*) { delete static_cast<Handle<T>*>(data); }, nullptr, &external));
  handle.release();
  check(napi_type_tag_object(env, external, &T::TAG));
  return external;
}

// A function that JS calls: `napi_value f(Arguments&)`, where nullptr gives undefined.
using Method = napi_value (*)(Arguments&);

template <Method M>
napi_value guarded(napi_env env, napi_callback_info info) noexcept {
  try {
    Arguments arguments(env, info);
    return M(arguments);
  } catch (const Refusal& refusal) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw(env, errorOf(env, refusal));
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
  }
  return nullptr;
}

// Adds the function to the addon's exports.
template <Method M>
void exportMethod(napi_env env, napi_value exports, const char* name) {
  napi_value function;
  check(napi_create_function(env, name, NAPI_AUTO_LENGTH, guarded<M>, nullptr, &function));
  check(napi_set_named_property(env, exports, name, function));
}

}  // namespace ultramem
