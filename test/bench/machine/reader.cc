// How fast this machine reads memory: streams, and rows picked at random from a mapped file. One command a line on stdin,
// one answer a line on stdout ("ms 1.2 1.3 ..."): see machine-reader.ts. Threads spin within a command and sleep between.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
std::atomic<uint64_t> sink{0};  // what was read must not be optimised away

uint64_t fold(const uint8_t* bytes, size_t count) {
  uint64_t lanes[32] = {};
  size_t i = 0;
  for (; i + 256 <= count; i += 256) {
    uint64_t words[32];
    std::memcpy(words, bytes + i, 256);
    for (int lane = 0; lane < 32; lane++) lanes[lane] += words[lane];
  }
  for (; i + 8 <= count; i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + i, 8);
    lanes[0] += word;
  }
  uint64_t sum = 0;
  for (uint64_t lane : lanes) sum += lane;
  return sum;
}

// Threads that take their share of every call within one command.
class Pool {
 public:
  explicit Pool(unsigned count) : count_(count) {
    for (unsigned i = 1; i < count; i++) threads_.emplace_back([this, i] { serve(i); });
  }
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      awake_ = ended_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  unsigned count() const { return count_; }
  void wake(bool awake) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      awake_ = awake;
    }
    wake_.notify_all();
  }
  void run(const std::function<void(unsigned)>& share) {
    share_ = &share;
    left_.store(count_ - 1);
    call_.fetch_add(1);
    share(0);
    while (left_.load() != 0) __builtin_ia32_pause();
  }

 private:
  void serve(unsigned number) {
    uint64_t seen = 0;
    for (;;) {
      if (!awake_.load()) {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this] { return awake_.load(); });
      }
      if (ended_.load()) return;
      if (call_.load() == seen) {
        __builtin_ia32_pause();
        continue;
      }
      seen = call_.load();
      (*share_)(number);
      left_.fetch_sub(1);
    }
  }

  const unsigned count_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> awake_{false}, ended_{false};
  std::atomic<uint64_t> call_{0};
  std::atomic<unsigned> left_{0};
  const std::function<void(unsigned)>* share_ = nullptr;
};

void timed(Pool& pool, double seconds, size_t at_least, const std::function<void()>& call) {
  pool.wake(true);
  std::vector<double> samples;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (samples.size() < at_least || Clock::now() < end) {
    const auto start = Clock::now();
    call();
    samples.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  pool.wake(false);
  std::printf("ms");
  for (double sample : samples) std::printf(" %.6f", sample);
  std::printf("\n");
}

struct Table {
  const uint8_t* mapped = nullptr;
  const uint8_t* copied = nullptr;  // the same rows in huge pages, where the system gives them
  size_t row_bytes = 0;
  std::vector<uint32_t> slots;
  size_t next = 0;
};

constexpr size_t kHugePage = 2 << 20;

bool open_table(Table& table, const std::string& path, size_t offset) {
  const int file = open(path.c_str(), O_RDONLY);
  if (file < 0) return false;
  struct stat status;
  if (fstat(file, &status) != 0) return false;
  void* bytes = mmap(nullptr, status.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
  close(file);
  if (bytes == MAP_FAILED) return false;
  table.mapped = static_cast<const uint8_t*>(bytes) + offset;
  return true;
}

bool copy_table(Table& table, size_t rows) {
  static void* before = nullptr;
  static size_t before_bytes = 0;
  if (before != nullptr) munmap(before, before_bytes);
  before_bytes = (rows * table.row_bytes / kHugePage + 2) * kHugePage;
  before = mmap(nullptr, before_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (before == MAP_FAILED) return false;
  madvise(before, before_bytes, MADV_HUGEPAGE);
  std::memcpy(before, table.mapped, rows * table.row_bytes);
  table.copied = static_cast<const uint8_t*>(before);
  return true;
}

void read_rows(const Table& table, const uint8_t* rows, size_t from, size_t to) {
  // Into the second-level cache, which takes more requests at a time than the first.
  constexpr size_t kAheadBytes = 16384;
  const size_t ahead = std::max<size_t>(4, kAheadBytes / table.row_bytes);
  uint64_t sum = 0;
  for (size_t i = from; i < to; i++) {
    if (i + ahead < to) {
      const uint8_t* later = rows + table.slots[i + ahead] * table.row_bytes;
      for (size_t at = 0; at < table.row_bytes; at += 64) __builtin_prefetch(later + at, 0, 2);
    }
    sum += fold(rows + table.slots[i] * table.row_bytes, table.row_bytes);
  }
  sink += sum;
}

}  // namespace

int main(int argc, char** argv) {
  Pool pool(argc > 1 ? std::max(1, std::atoi(argv[1])) : std::thread::hardware_concurrency());
  Table table;
  std::vector<uint8_t> buffer, target;
  std::string line;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string what, path;
    double seconds;
    size_t at_least, offset, count;
    words >> what;
    if (what == "table" && words >> offset >> table.row_bytes && std::getline(words >> std::ws, path)) {
      std::printf(open_table(table, path, offset) ? "ok\n" : "error the table cannot be mapped\n");
    } else if (what == "slots" && words >> count && std::getline(words >> std::ws, path)) {
      table.slots.resize(count);
      table.next = 0;
      std::ifstream file(path, std::ios::binary);
      file.read(reinterpret_cast<char*>(table.slots.data()), count * 4);
      std::printf(file ? "ok\n" : "error the slots cannot be read\n");
    } else if (what == "copy-table" && words >> count && table.mapped != nullptr) {
      std::printf(copy_table(table, count) ? "ok\n" : "error there is no memory for a copy\n");
    } else if ((what == "rows" || what == "copied-rows") && words >> count >> seconds >> at_least && count <= table.slots.size()) {
      const uint8_t* rows = what == "rows" ? table.mapped : table.copied;
      const bool small = count * table.row_bytes < (1 << 19);  // a second thread would cost more than it reads
      timed(pool, seconds, at_least, [&] {
        if (table.next + count > table.slots.size()) table.next = 0;
        const size_t first = table.next, share = (count + pool.count() - 1) / pool.count();
        table.next += count;
        if (small) return read_rows(table, rows, first, first + count);
        pool.run([&](unsigned i) {
          read_rows(table, rows, first + std::min(count, i * share), first + std::min(count, (i + 1) * share));
        });
      });
    } else if ((what == "stream" || what == "copy") && words >> count >> seconds >> at_least) {
      const size_t share = count / pool.count();
      buffer.resize(count, 1);
      if (what == "copy") target.resize(count, 1);
      timed(pool, seconds, at_least, [&] {
        pool.run([&](unsigned i) {
          if (what == "copy") std::memcpy(target.data() + i * share, buffer.data() + i * share, share);
          else sink += fold(buffer.data() + i * share, share);
        });
      });
    } else {
      std::printf("error no such command: %s\n", line.c_str());
    }
  }
}
