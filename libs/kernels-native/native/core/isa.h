#pragma once

namespace ultramem {

// The instruction set of this process: the best the machine has, or a lower one that the environment variable ULTRAMEM_ISA names.
// Throws std::runtime_error at its first call when ULTRAMEM_ISA names one that the machine lacks.
// `amx` is avx512 with matrix units beside it: simd/ runs as for avx512, and what core finds in amx/ replaces some of it.
enum class Isa { scalar, avx2, avx512, amx, neon };
Isa isa();
const char* isaName(Isa isa);
// Whether vectors of the chosen set multiply pairs of bf16 as fast as numbers of f32.
bool multipliesPairs();
// Whether they or matrix units make products with rounded activations faster.
bool multipliesBf16();
// Every set this machine can run, the plainest first, in the form "scalar avx2 avx512".
const char* availableIsas();

}  // namespace ultramem

// Files in simd/ are compiled once per instruction set, with the set's flags, in `namespace ultramem::ULTRAMEM_ISA`, and each defines
// one constant table of function pointers. Its header declares the tables with ULTRAMEM_TABLES(Type, name); core code takes
// ULTRAMEM_PICK(name). Such files use no std templates and no inline function of a shared header: the linker keeps one copy of each,
// possibly the one compiled for instructions that the machine lacks.
#if defined(__x86_64__)
#define ULTRAMEM_TABLES(Type, name) \
  namespace scalar {                \
  extern const Type name;           \
  }                                 \
  namespace avx2 {                  \
  extern const Type name;           \
  }                                 \
  namespace avx512 {                \
  extern const Type name;           \
  }
#define ULTRAMEM_PICK(name)                                  \
  (::ultramem::isa() >= ::ultramem::Isa::avx512 ? avx512::name \
   : ::ultramem::isa() == ::ultramem::Isa::avx2 ? avx2::name   \
                                                : scalar::name)
#elif defined(__aarch64__)
#define ULTRAMEM_TABLES(Type, name) \
  namespace scalar {                \
  extern const Type name;           \
  }                                 \
  namespace neon {                  \
  extern const Type name;           \
  }
#define ULTRAMEM_PICK(name) (::ultramem::isa() == ::ultramem::Isa::neon ? neon::name : scalar::name)
#else
#define ULTRAMEM_TABLES(Type, name) \
  namespace scalar {                \
  extern const Type name;           \
  }
#define ULTRAMEM_PICK(name) (scalar::name)
#endif
