#include "read_ahead.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "crc32c.hpp"
#include "memory.hpp"

namespace lapwing {

static constexpr size_t kChunk = size_t{1} << 20;  // stays in L2 until its CRC is known

ReadAhead::ReadAhead(int fd, std::vector<Span> spans)
    : fd_(fcntl(fd, F_DUPFD_CLOEXEC, 0)), spans_(std::move(spans)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category());
  results_.reserve(spans_.size());
  thread_ = std::thread([this] { run(); });
}

ReadAhead::~ReadAhead() {
  stop();
  thread_.join();
  close(fd_);
}

void ReadAhead::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

std::optional<ReadAhead::Result> ReadAhead::wait(size_t span,
                                                 std::chrono::duration<double> at_most) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, at_most, [&] { return results_.size() > span || stopped_; });
  if (results_.size() <= span) return std::nullopt;
  return results_[span];
}

void ReadAhead::run() {
  const Region buffer(kChunk);
  for (const Span& span : spans_) {
    const Result result = read(span, buffer.data());
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return;
      results_.push_back(result);
    }
    changed_.notify_all();
    if (result.error != 0) return;
  }
}

ReadAhead::Result ReadAhead::read(const Span& span, uint8_t* buffer) {
  Result result;
  uint64_t at = span.begin;
  while (at < span.end && !stopped_) {
    const size_t wanted = std::min<uint64_t>(kChunk, span.end - at);
    const ssize_t got = pread(fd_, buffer, wanted, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) result.error = errno;
    if (got <= 0) break;
    result.crc = crc32c(result.crc, buffer, static_cast<size_t>(got));
    at += static_cast<uint64_t>(got);
    done_bytes_.fetch_add(static_cast<uint64_t>(got), std::memory_order_relaxed);
  }
  result.nbytes = at - span.begin;
  return result;
}

}  // namespace lapwing
