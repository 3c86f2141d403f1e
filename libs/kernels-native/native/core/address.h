#pragma once

#include <cstddef>
#include <cstdint>

#include "core/workers.h"

namespace ultramem {

// Virtual indices to block and slot (libs/ultramem/src/value-index.ts).
struct AddressTask {
  const double* virtualIndex;  // [count]
  size_t count;
  const uint32_t* shuffle;     // [virtualCount], or nullptr: every index stays
  uint64_t virtualCount;       // below 2^32
  uint64_t windowRows;         // at least 1
  uint64_t tableRows;          // offset < tableRows < 2^32
  uint64_t offset;
  uint32_t* slot;  // [count]
  uint8_t* block;  // [count], or nullptr: one block, whose number 0 is there already
};

// False where an index, or what the shuffle makes of it, is not below `virtualCount`; slots and blocks are then worth nothing.
bool address(const AddressTask& task, Workers& workers);
// As `address` for the entries begin .. end - 1, on this thread; faster some time after `fetchShuffled` of them.
bool addressPart(const AddressTask& task, size_t begin, size_t end);
void fetchShuffled(const AddressTask& task, size_t begin, size_t end);

// Time of one thread, roughly.
double addressNs(const AddressTask& task);

}  // namespace ultramem
