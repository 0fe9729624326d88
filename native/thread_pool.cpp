#include "thread_pool.hpp"

#include <unistd.h>

#include <algorithm>

#include "park.hpp"

namespace lapwing {

namespace {

constexpr int kSpins =
    4000;  // some tens of microseconds: longer than the gap between two operations

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(size_t threads) : creator_pid_(getpid()) { set_threads(threads); }

ThreadPool::~ThreadPool() {
  if (getpid() == creator_pid_) {
    set_threads(1);
  } else {
    // A forked child has no workers to join; the handles must not be destroyed as joinable.
    for (std::thread& worker : workers_) worker.detach();
  }
}

void ThreadPool::set_threads(size_t threads) {
  if (threads == 0) threads = 1;
  if (getpid() != creator_pid_) return;
  if (threads == size_) return use(threads);
  active_.store(0);
  unpark(active_);
  wake_.fetch_add(1);
  unpark(wake_);
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  size_ = threads;
  next_of_ = std::make_unique<Run[]>(threads);
  active_.store(static_cast<uint32_t>(threads));
  for (size_t worker = 1; worker < threads; ++worker)
    workers_.emplace_back([this, worker] { work(worker); });
}

void ThreadPool::use(size_t threads) {
  const auto active = static_cast<uint32_t>(std::clamp<size_t>(threads, 1, size_));
  const uint32_t before = active_.exchange(active);
  if (active > before) unpark(active_);
}

void ThreadPool::take_pieces(size_t worker) {
  for (size_t other = 0; other < runs_; ++other) {
    const size_t run = (worker + other) % runs_, end = (run + 1) * pieces_ / runs_;
    std::atomic<size_t>& next = next_of_[run].next;
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < end;)
      call_(task_, i, worker);
  }
}

void ThreadPool::run_erased(size_t pieces, Call call, const void* task) {
  if (getpid() != creator_pid_) {  // after a fork only this thread exists
    for (size_t i = 0; i < pieces; ++i) call(task, i, 0);
    return;
  }
  call_ = call;
  task_ = task;
  pieces_ = pieces;
  runs_ = threads();
  for (size_t run = 0; run < runs_; ++run)
    next_of_[run].next.store(run * pieces / runs_, std::memory_order_relaxed);
  left_.store(0, std::memory_order_relaxed);
  const uint64_t number = (state_.load(std::memory_order_relaxed) >> 32) + 1;
  state_.store(number << 32 | 1);
  wake_.fetch_add(1);
  if (asleep_.load() != 0) unpark(wake_);

  take_pieces(0);

  const uint64_t joined = (state_.fetch_and(~uint64_t{1}) & 0xffffffffu) >> 1;
  for (int spin = 0; spin < kSpins && left_.load(std::memory_order_relaxed) != joined; ++spin)
    relax();
  // A worker was put aside for another program. Asleep, this thread keeps its claim to a processor
  // and has one as soon as the worker is done; a spin or a yield would use the claim up.
  if (left_.load() != joined) {
    waiting_.store(true);
    for (uint32_t left; (left = left_.load()) != joined;) park(left_, left);
    waiting_.store(false);
  }
}

// A worker that is not to take part in a job never joins it: `active_` changes only between a close
// and the next opening, and every opening gives `state_` a number it never had. Where the exchange
// succeeds, the job was open from the load of `state_` on, so what was read between is its own.
// Read for another job, `active_` can only fail the exchange, or keep this worker out until it
// looks again, which it does: the opening has changed `wake_`.
bool ThreadPool::join_job(size_t worker, uint64_t& seen) {
  uint64_t state = state_.load();
  while ((state & 1) != 0 && state >> 32 != seen && worker < active_.load()) {
    if (state_.compare_exchange_weak(state, state + 2)) {
      seen = state >> 32;
      return true;
    }
  }
  return false;
}

void ThreadPool::work(size_t worker) {
  uint64_t seen = state_.load() >> 32;  // jobs that were there before this worker are not its own
  for (;;) {
    const uint32_t ticket = wake_.load();
    const uint32_t active = active_.load();
    if (active == 0) return;
    if (worker >= active) {
      park(active_, active);
      continue;
    }
    if (join_job(worker, seen)) {
      take_pieces(worker);
      left_.fetch_add(1);
      if (waiting_.load()) unpark(left_);
      continue;
    }
    int spin = 0;
    while (spin < kSpins && wake_.load(std::memory_order_relaxed) == ticket) {
      relax();
      ++spin;
    }
    if (spin < kSpins) continue;
    asleep_.fetch_add(1);
    park(wake_, ticket);
    asleep_.fetch_sub(1);
  }
}

}  // namespace lapwing
