// A thread that reads spans of a file, one after the other, into the system's page cache, with the
// CRC-32C of each. Python's lock plays no part: what holds that does not hold this up.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace lapwing {

class ReadAhead {
 public:
  struct Span {
    uint64_t begin, end;
  };
  struct Result {
    uint64_t nbytes = 0;  // fewer than the span's where the file ends in it
    uint32_t crc = 0;
    int error = 0;  // errno; nothing is read after it
  };

  // Begins at once, on a descriptor of its own. Throws std::system_error.
  ReadAhead(int fd, std::vector<Span> spans);
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;
  ~ReadAhead();

  // Of a span, as soon as it has been read; none if that takes longer, or after `stop`.
  std::optional<Result> wait(size_t span, std::chrono::duration<double> at_most);
  uint64_t done_bytes() const { return done_bytes_.load(std::memory_order_relaxed); }
  void stop();

 private:
  void run();
  Result read(const Span& span, uint8_t* buffer);

  int fd_;
  const std::vector<Span> spans_;
  std::vector<Result> results_;  // of the spans read so far
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stopped_{false};
  std::atomic<uint64_t> done_bytes_{0};
  std::thread thread_;
};

}  // namespace lapwing
