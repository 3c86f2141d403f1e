#include "core/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace ultramem {
namespace {

#if defined(__x86_64__)
// clang's __builtin_cpu_supports does not know these two.
bool hasF16cAndLzcnt() {
  unsigned a, b, c, d;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
  const bool lzcnt = __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
  return f16c && lzcnt;
}

bool hasPairs() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5);
}

// Bytes and bf16 in tiles, and the system's leave to use their registers, which a process must ask for once.
bool hasTiles() {
#if defined(__linux__)
  unsigned a, b, c, d;
  constexpr unsigned BF16 = 1u << 22, TILES = 1u << 24, INT8 = 1u << 25;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (BF16 | TILES | INT8)) != (BF16 | TILES | INT8)) return false;
  constexpr long ASK_FOR_STATE = 0x1023, TILE_DATA = 18;
  return syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0;
#else
  return false;
#endif
}
#endif

// The plainest first, the best last.
std::vector<Isa> runnable() {
  std::vector<Isa> sets{Isa::scalar};
#if defined(__x86_64__)
  __builtin_cpu_init();
  // Every flag of native/build.mjs is asked for: machines exist that have AVX2 and lack FMA.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && hasF16cAndLzcnt();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx2) sets.push_back(Isa::avx2);
  if (avx512) sets.push_back(Isa::avx512);
  if (avx512 && hasTiles()) sets.push_back(Isa::amx);
#elif defined(__aarch64__)
  sets.push_back(Isa::neon);
#endif
  return sets;
}

Isa choose() {
  const std::vector<Isa> sets = runnable();
  const char* wanted = std::getenv("ULTRAMEM_ISA");
  if (wanted == nullptr || *wanted == '\0') return sets.back();
  for (Isa set : sets)
    if (std::string(wanted) == isaName(set)) return set;
  std::string message = "ULTRAMEM_ISA is ";
  message.append(wanted).append("; expected one of ").append(availableIsas()).append("; correct or unset it");
  throw std::runtime_error(message);
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

bool multipliesPairs() {
#if defined(__x86_64__)
  // Intel's processors have the instruction too, and take four times as long for it as for an FMA.
  static const bool fast = __builtin_cpu_is("amd") && hasPairs();
  return fast && isa() >= Isa::avx512;
#else
  return false;
#endif
}

bool multipliesBf16() { return multipliesPairs() || isa() == Isa::amx; }

const char* isaName(Isa isa) {
  switch (isa) {
    case Isa::scalar: return "scalar";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::amx: return "amx";
    case Isa::neon: return "neon";
  }
  return "unknown";
}

const char* availableIsas() {
  static const std::string names = [] {
    std::string joined;
    for (Isa set : runnable()) {
      if (!joined.empty()) joined += ' ';
      joined += isaName(set);
    }
    return joined;
  }();
  return names.c_str();
}

}  // namespace ultramem
