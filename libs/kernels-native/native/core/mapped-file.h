#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace ultramem {

// A file that cannot be opened or mapped, got shorter, was rewritten, or whose disk fails: CHECKPOINT_READ_FAILED of the contract.
struct ReadFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Bytes of a file, mapped read-only and shared: nothing is read before it is touched, and processes share the pages.
//
// A checkpoint does not change while it is served, but people overwrite files. Touching a page behind the new end of a file raises
// SIGBUS. A handler for our own maps puts a page of zeros there and marks the map, so that the access ends normally; `verify` after
// each use then throws, and an answer made of such bytes is never seen. Signals of other addresses go to whoever handled them before.
class MappedFile {
 public:
  // Any offset; the bytes must be inside the file. `memoryBytes` is what this process may have in memory at all.
  static std::shared_ptr<MappedFile> open(const std::string& path, uint64_t offset, uint64_t byteCount, uint64_t memoryBytes);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const uint8_t* bytes() const { return bytes_; }

  // The map would crowd the memory: pages are read one by one, and read anew when the system has taken them back.
  bool isCrowded() const { return isCrowded_; }
  // Begins to read what is not in memory; does not wait.
  void readAhead(const uint8_t* begin, size_t byteCount) const;

  // Throws ReadFailure when the file is not what was mapped: its size or time of modification changed, or a page could not be read.
  void verify() const;

 private:
  MappedFile() = default;

  std::string path_;
  int descriptor_ = -1;
  uint64_t fileByteCount_ = 0;
  int64_t modifiedNs_ = 0;
  void* map_ = nullptr;
  size_t mapByteCount_ = 0;
  int place_ = -1;
  const uint8_t* bytes_ = nullptr;
  bool isCrowded_ = false;
};

}  // namespace ultramem
