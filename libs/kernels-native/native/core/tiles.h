#pragma once

#include <cstddef>
#include <cstdint>

namespace ultramem {

// Rows cut into tiles whose heights differ by one at most.
struct Tiles {
  Tiles(size_t rowCount, uint32_t heightMax) : rowCount(rowCount), count((rowCount + heightMax - 1) / heightMax) {}
  size_t begin(size_t tile) const { return rowCount * tile / count; }
  uint32_t height(size_t tile) const { return static_cast<uint32_t>(begin(tile + 1) - begin(tile)); }
  size_t rowCount;
  size_t count;
};

}  // namespace ultramem
