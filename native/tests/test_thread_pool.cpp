// The thread pool: every piece exactly once, whatever else happens around it.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "check.hpp"
#include "thread_pool.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

void run_and_count(ThreadPool& pool, size_t pieces) {
  std::vector<std::atomic<int>> counts(pieces);
  std::atomic<size_t> largest_worker{0};
  pool.run(pieces, [&](size_t piece, size_t worker) {
    counts[piece].fetch_add(1);
    size_t seen = largest_worker.load();
    while (worker > seen && !largest_worker.compare_exchange_weak(seen, worker)) {
    }
  });
  for (size_t i = 0; i < pieces; ++i) CHECK_AS(counts[i].load() == 1, at("piece", i, pieces));
  CHECK(largest_worker.load() < pool.threads());
}

void test_every_piece_once() {
  for (const size_t threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const size_t pieces : {0, 1, 2, 3, 7, 64, 1000}) run_and_count(pool, pieces);
  }
}

// No job may see the task, the pieces or the count of another.
void test_many_short_jobs() {
  ThreadPool pool(3);
  for (size_t job = 0; job < 20000; ++job) {
    std::atomic<size_t> sum{0};
    const size_t pieces = 2 + job % 5;
    pool.run(pieces, [&](size_t piece, size_t) { sum += job * 8 + piece; });
    CHECK_AS(sum == pieces * job * 8 + pieces * (pieces - 1) / 2, at("job", job));
  }
}

// Workers have gone to sleep between these.
void test_jobs_after_pauses() {
  ThreadPool pool(2);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    run_and_count(pool, 9);
  }
}

void test_threads_between_jobs() {
  ThreadPool pool(1);
  for (const size_t threads : {2, 4, 1, 3, 3, 0, 5}) {
    pool.set_threads(threads);
    CHECK(pool.threads() == (threads == 0 ? 1 : threads));
    run_and_count(pool, 33);
  }
}

// Of the threads that there are, so many take part: in every order, at once and after a sleep.
void test_use() {
  ThreadPool pool(4);
  for (const size_t threads : {2, 1, 4, 3, 0, 9, 4, 1, 2, 4}) {
    pool.use(threads);
    CHECK(pool.threads() == std::clamp<size_t>(threads, 1, 4) && pool.size() == 4);
    run_and_count(pool, 33);
    if (threads % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    run_and_count(pool, 33);
  }
  pool.use(2);
  pool.set_threads(3);
  CHECK(pool.threads() == 3);
  pool.use(1);
  pool.set_threads(3);
  CHECK(pool.threads() == 3);
  run_and_count(pool, 33);
}

// Jobs follow each other at once, each with another count: a worker never joins one that it is not
// to take part in, and one that is, wakes for it.
void test_use_between_short_jobs() {
  ThreadPool pool(4);
  for (size_t job = 0; job < 20000; ++job) {
    pool.use(1 + job % 4);
    run_and_count(pool, 2 + job % 5);
  }
  for (int i = 0; i < 20; ++i) {
    pool.use(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    pool.use(4);
    std::atomic<size_t> here{0};
    pool.run(4, [&](size_t, size_t) {  // each piece waits for the others, so four threads must come
      ++here;
      while (here.load() != 4) std::this_thread::yield();
    });
    CHECK(here.load() == 4);
  }
}

void test_destruction() {
  for (int i = 0; i < 50; ++i) {
    ThreadPool idle(4);  // may end before a worker has begun
    std::optional<ThreadPool> inner;
    inner.emplace(3);
    run_and_count(*inner, 5);
    if (i % 2 == 0) inner.reset();  // before, or with, the outer one
  }
}

void test_two_pools_in_two_threads() {
  const auto work = [] {
    ThreadPool pool(2);
    for (size_t job = 0; job < 3000; ++job) {
      std::atomic<size_t> sum{0};
      pool.run(6, [&](size_t piece, size_t) { sum += piece; });
      CHECK(sum == 15);
    }
  };
  std::thread other(work);
  work();
  other.join();
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void test_idle_uses_no_cpu() {
  ThreadPool pool(4);
  run_and_count(pool, 100);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the brief spin
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const double used = cpu_seconds() - before;
  CHECK_AS(used < 0.03, std::to_string(used) + " s of 0.3 s");
}

// A forked child has no workers: it does all pieces itself, and may end or drop the pool.
void test_after_fork() {
  for (const bool destroy : {false, true}) {
    auto pool = std::make_unique<ThreadPool>(3);
    run_and_count(*pool, 10);
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      run_and_count(*pool, 50);
      pool->use(2);
      run_and_count(*pool, 50);
      pool->set_threads(2);
      run_and_count(*pool, 50);
      if (destroy) pool.reset();
      ThreadPool own(2);  // threads of the child's own work as ever
      run_and_count(own, 50);
      _exit(failures == 0 ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK_AS(WIFEXITED(status) && WEXITSTATUS(status) == 0, at("status", status, destroy));
    run_and_count(*pool, 10);
  }
}

}  // namespace

int main() {
  test_every_piece_once();
  test_many_short_jobs();
  test_jobs_after_pauses();
  test_threads_between_jobs();
  test_use();
  test_use_between_short_jobs();
  test_destruction();
  test_two_pools_in_two_threads();
  test_idle_uses_no_cpu();
  test_after_fork();
  return report("thread_pool");
}
