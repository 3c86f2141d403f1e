#include "core/address.h"

#include <algorithm>
#include <atomic>

namespace ultramem {
namespace {

// Entries of the shuffle lie anywhere in megabytes: as many are fetched ahead as the memory's latency takes.
constexpr size_t AHEAD = 64;
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
  bool inside = true;
  // Each index is looked at where it is used, because JavaScript could change it meanwhile.
  const auto indexOf = [&](size_t i) {
    const double index = task.virtualIndex[i];
    const bool isInside = index >= 0 && index < virtualCount;
    inside = inside & isInside;
    return isInside ? static_cast<uint64_t>(index) : 0;
  };
  const bool shuffles = task.shuffle != nullptr;
  for (size_t i = begin; shuffles && i < std::min(end, begin + AHEAD); i++) __builtin_prefetch(task.shuffle + indexOf(i));
  const double windowRows = static_cast<double>(task.windowRows);
  for (size_t i = begin; i < end; i++) {
    if (shuffles && i + AHEAD < end) __builtin_prefetch(task.shuffle + indexOf(i + AHEAD));
    const uint64_t shuffled = shuffles ? task.shuffle[indexOf(i)] : indexOf(i);
    inside = inside & (shuffled < task.virtualCount);
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
    if (!addressPart(task, begin, std::min(task.count, begin + PART_ENTRIES))) inside = false;
  });
  return inside;
}

double addressNs(const AddressTask& task) { return static_cast<double>(task.count) * 8; }

}  // namespace ultramem
