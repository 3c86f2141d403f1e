#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define ULTRAMEM_INLINE inline __attribute__((always_inline))

// Files in amx/ are compiled once, for x86 processors with AVX-512 and matrix units (`Isa::amx`), in `namespace ultramem::amx`. The rules
// for files of simd/ in core/isa.h hold here too.
namespace ultramem::amx {

struct TileShape {
  uint8_t rows;       // at most 16
  uint16_t rowBytes;  // at most 64
};

// The eight tile registers of the calling thread, in these shapes and full of zeros. They are given back at the end, because every
// change of the running thread costs 8 KiB of copying while they are held.
class TileRegisters {
 public:
  explicit TileRegisters(const TileShape (&shapes)[8]) {
    alignas(64) uint8_t palette[64] = {1};
    for (int i = 0; i < 8; i++) {
      __builtin_memcpy(palette + 16 + 2 * i, &shapes[i].rowBytes, sizeof shapes[i].rowBytes);
      palette[48 + i] = shapes[i].rows;
    }
    // g++ does not know that this reads more than 8 bytes of it.
    asm volatile("" : : "r"(palette) : "memory");
    _tile_loadconfig(palette);
  }
  ~TileRegisters() { _tile_release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

}  // namespace ultramem::amx
