#include "core/mapped-file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace ultramem {
namespace {

// Live maps, for the signal handler, which may take no lock: `end` is set last and cleared first.
struct Place {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> torn{false};
};
constexpr int PLACES = 4096;
Place places[PLACES];
std::mutex placing;
struct sigaction previousAction;
uintptr_t pageBytes = 4096;

Place* placeOf(uintptr_t address) {
  for (Place& place : places)
    if (address < place.end.load() && address >= place.begin.load()) return &place;
  return nullptr;
}

void onBusError(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (Place* place = placeOf(address)) {
    place->torn.store(true);
    void* page = reinterpret_cast<void*>(address & ~(pageBytes - 1));
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(page, pageBytes, PROT_READ, flags, -1, 0) != MAP_FAILED) {
      errno = saved;
      return;
    }
  }
  if (previousAction.sa_flags & SA_SIGINFO) {
    previousAction.sa_sigaction(signal, info, context);
  } else if (previousAction.sa_handler != SIG_DFL && previousAction.sa_handler != SIG_IGN) {
    previousAction.sa_handler(signal);
  } else {
    // The access is repeated on return and ends the process as it would have without us.
    ::signal(signal, SIG_DFL);
  }
  errno = saved;
}

void handleBusErrors() {
  static const bool done = [] {
    pageBytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = onBusError;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previousAction);
    return true;
  }();
  (void)done;
}

int takePlace(uintptr_t begin, uintptr_t end) {
  std::lock_guard lock(placing);
  for (int i = 0; i < PLACES; i++)
    if (places[i].end.load() == 0) {
      places[i].torn.store(false);
      places[i].begin.store(begin);
      places[i].end.store(end);
      return i;
    }
  return -1;
}

void leavePlace(int place) {
  std::lock_guard lock(placing);
  places[place].end.store(0);
}

int64_t modifiedNsOf(const struct stat& status) {
#if defined(__APPLE__)
  const struct timespec& time = status.st_mtimespec;
#else
  const struct timespec& time = status.st_mtim;
#endif
  return int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec;
}

// Rows are read at random. In huge pages, which file systems with large folios give, they come more than twice as fast, because small
// ones miss every cache of addresses; but the first touch then reads 2 MiB. Where a table would crowd the memory, each page comes
// alone, and nothing is read ahead.
void advise(void* map, size_t byteCount, bool isCrowded) {
#if defined(MADV_HUGEPAGE)
  if (!isCrowded && madvise(map, byteCount, MADV_HUGEPAGE) == 0) return;
#endif
  madvise(map, byteCount, MADV_RANDOM);
}

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw ReadFailure(path + " " + what + "; expected the file of the checkpoint as it was opened; restore it and start again");
}

}  // namespace

std::shared_ptr<MappedFile> MappedFile::open(const std::string& path, uint64_t offset, uint64_t byteCount, uint64_t memoryBytes) {
  handleBusErrors();
  std::shared_ptr<MappedFile> file(new MappedFile());
  file->path_ = path;
  file->descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file->descriptor_ < 0 || fstat(file->descriptor_, &status) != 0)
    fail(path, std::string("cannot be opened (") + std::strerror(errno) + ")");
  file->fileByteCount_ = static_cast<uint64_t>(status.st_size);
  file->modifiedNs_ = modifiedNsOf(status);
  if (offset > file->fileByteCount_ || byteCount > file->fileByteCount_ - offset)
    fail(path, "has " + std::to_string(file->fileByteCount_) + " bytes, too few for a table that ends at byte " +
                   std::to_string(offset + byteCount));
  if (byteCount == 0) return file;
  const uint64_t begin = offset & ~static_cast<uint64_t>(pageBytes - 1);
  file->mapByteCount_ = offset + byteCount - begin;
  void* map = mmap(nullptr, file->mapByteCount_, PROT_READ, MAP_SHARED, file->descriptor_, static_cast<off_t>(begin));
  if (map == MAP_FAILED) fail(path, std::string("cannot be mapped (") + std::strerror(errno) + ")");
  file->map_ = map;
  file->bytes_ = static_cast<const uint8_t*>(map) + (offset - begin);
  file->isCrowded_ = byteCount > memoryBytes / 2;
  advise(map, file->mapByteCount_, file->isCrowded_);
  const auto address = reinterpret_cast<uintptr_t>(map);
  file->place_ = takePlace(address, address + (file->mapByteCount_ + pageBytes - 1) / pageBytes * pageBytes);
  if (file->place_ < 0) fail(path, "is one file too many to be mapped at once");
  return file;
}

MappedFile::~MappedFile() {
  // The place goes first: another map may get the same addresses.
  if (place_ >= 0) leavePlace(place_);
  if (map_ != nullptr) munmap(map_, mapByteCount_);
  if (descriptor_ >= 0) close(descriptor_);
}

void MappedFile::readAhead(const uint8_t* begin, size_t byteCount) const {
  const uintptr_t first = reinterpret_cast<uintptr_t>(begin) & ~(pageBytes - 1);
  madvise(reinterpret_cast<void*>(first), reinterpret_cast<uintptr_t>(begin) + byteCount - first, MADV_WILLNEED);
}

void MappedFile::verify() const {
  if (place_ >= 0 && places[place_].torn.load()) fail(path_, "got shorter or cannot be read any more while it is in use");
  struct stat status;
  if (fstat(descriptor_, &status) != 0 || static_cast<uint64_t>(status.st_size) != fileByteCount_ ||
      modifiedNsOf(status) != modifiedNs_)
    fail(path_, "was changed while it is in use");
}

}  // namespace ultramem
