#include "core/address.h"

#include <algorithm>
#include <atomic>

namespace ultramem {
namespace {

// Entries of the shuffle lie anywhere in megabytes: so many are asked for before the first is used.
constexpr size_t PART_ENTRIES = 512;

}  // namespace

void fetchShuffled(const AddressTask& task, size_t begin, size_t end) {
  if (task.shuffle == nullptr) return;
  const double virtualCount = static_cast<double>(task.virtualCount);
  for (size_t i = begin; i < end; i++) {
    const double index = task.virtualIndex[i];
    if (index >= 0 && index < virtualCount) __builtin_prefetch(task.shuffle + static_cast<uint64_t>(index), 0, 2);
  }
}

bool addressPart(const AddressTask& task, size_t begin, size_t end) {
  const double virtualCount = static_cast<double>(task.virtualCount);
  const double windowRows = static_cast<double>(task.windowRows);
  bool inside = true;
  for (size_t i = begin; i < end; i++) {
    // Looked at where it is used, because JavaScript could change it meanwhile.
    const double index = task.virtualIndex[i];
    const bool isInside = index >= 0 && index < virtualCount;
    const uint64_t place = isInside ? static_cast<uint64_t>(index) : 0;
    const uint64_t shuffled = task.shuffle == nullptr ? place : task.shuffle[place];
    inside = inside & isInside & (shuffled < task.virtualCount);
    // Right for every quotient of whole numbers below 2^32, and faster than a division of integers.
    const auto block = static_cast<uint64_t>(static_cast<double>(shuffled) / windowRows);
    const uint64_t row = shuffled - block * task.windowRows + task.offset;
    task.slot[i] = static_cast<uint32_t>(row < task.tableRows ? row : row - task.tableRows);
    if (task.block != nullptr) task.block[i] = static_cast<uint8_t>(block);
  }
  return inside;
}

bool address(const AddressTask& task, Workers& workers) {
  const size_t parts = (task.count + PART_ENTRIES - 1) / PART_ENTRIES;
  std::atomic<bool> inside{true};
  workers.run(static_cast<uint32_t>(parts), [&](uint32_t part, uint32_t) {
    const size_t begin = part * PART_ENTRIES;
    const size_t end = std::min(task.count, begin + PART_ENTRIES);
    fetchShuffled(task, begin, end);
    if (!addressPart(task, begin, end)) inside = false;
  });
  return inside;
}

double addressNs(const AddressTask& task) { return static_cast<double>(task.count) * 8; }

}  // namespace ultramem
