// A thread sleeps until a number changes. On Linux straight by futex: the library's own
// std::atomic::wait yields the processor a few times first, and on a busy machine each of those
// costs the whole turn of another program.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#endif

namespace lapwing {

// Returns when `word` may differ from `seen`.
inline void park(std::atomic<uint32_t>& word, uint32_t seen) {
#if defined(__linux__)
  static_assert(sizeof(word) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);
  if (word.load() == seen)
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, seen, nullptr,
            nullptr, 0);
#else
  word.wait(seen);
#endif
}

// After a change of `word`: every thread that is parked on it goes on.
inline void unpark(std::atomic<uint32_t>& word) {
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr,
          nullptr, 0);
#else
  word.notify_all();
#endif
}

}  // namespace lapwing
