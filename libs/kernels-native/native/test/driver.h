#pragma once

// What the drivers share: a seeded source of numbers, memory of exactly the asked size (so that AddressSanitizer sees every step over
// its end), and checks that print what they compared.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/isa.h"
#include "core/workers.h"

namespace ultramem::test {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  size_t below(size_t limit) { return engine_() % limit; }
  size_t between(size_t first, size_t last) { return first + below(last - first + 1); }
  bool oneIn(size_t count) { return below(count) == 0; }
  float normal() { return static_cast<float>(std::normal_distribution<double>()(engine_)); }

 private:
  std::mt19937_64 engine_;
};

// A vector whose elements lie at an address that is aligned to the element only, with nothing after the last, and are rubbish at first.
template <class T>
class Exact {
 public:
  explicit Exact(size_t size) : size_(size), memory_(new T[size + 1]) { std::memset(memory_.get(), 0xa5, (size + 1) * sizeof(T)); }
  T* data() { return memory_.get() + 1; }
  const T* data() const { return memory_.get() + 1; }
  size_t size() const { return size_; }
  T& operator[](size_t at) { return data()[at]; }
  const T& operator[](size_t at) const { return data()[at]; }

 private:
  size_t size_;
  std::unique_ptr<T[]> memory_;
};

inline Exact<float> normals(Random& random, size_t size) {
  Exact<float> values(size);
  for (size_t i = 0; i < size; i++) values[i] = random.normal();
  return values;
}

[[noreturn]] inline void fail(const char* what, size_t at, double got, double want) {
  std::printf("%s[%zu] is %.9g, expected %.9g\n", what, at, got, want);
  std::exit(1);
}

inline void expectSameBits(const char* what, size_t at, float got, float want) {
  if (std::memcmp(&got, &want, sizeof got) != 0 && !(std::isnan(got) && std::isnan(want))) fail(what, at, got, want);
}

// `magnitude`: sum of the absolute terms that `want` is made of.
inline void expectClose(const char* what, size_t at, float got, double want, double magnitude, double relative = 1e-5) {
  if (std::isnan(want) ? std::isnan(got) : std::abs(got - want) <= relative * magnitude + 1e-44) return;
  if (std::abs(want) > 3.4028234e38 && std::isinf(got)) return;
  fail(what, at, got, want);
}

// Every driver answers `--isas`, by which run.mjs knows what to run.
inline void answerIsas(int argc, char** argv) {
  if (argc < 2 || std::strcmp(argv[1], "--isas") != 0) return;
  std::printf("%s\n", availableIsas());
  std::exit(0);
}

// Calls check(random, workers) again and again, with one lane and with three in turn, and says how often.
template <class Check>
void inRounds(int rounds, const Check& check) {
  Random random(1);
  Workers alone(1);
  Workers three(3);
  for (int round = 0; round < rounds; round++) check(random, round % 2 == 0 ? alone : three);
  std::printf("%d rounds", rounds);
}

}  // namespace ultramem::test
