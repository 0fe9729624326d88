// Threads that split one operation at a time. Workers spin briefly, then sleep; an idle pool uses
// no CPU. Each thread has a run of neighbouring pieces, so that what it reads of memory is one
// stream and the next of it can be asked for ahead; when its run is done it takes pieces of the
// others'. Nobody waits for a worker that never came: on a busy machine the caller simply does more
// of the pieces itself.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace lapwing {

class ThreadPool {
 public:
  explicit ThreadPool(size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Those that take part in an operation: all that there are, until `use` says otherwise.
  size_t threads() const { return active_.load(std::memory_order_relaxed); }
  size_t size() const { return size_; }

  // Neither may run beside an operation; both take effect with the next one.
  void set_threads(size_t threads);  // makes or ends threads
  void use(size_t threads);          // the first so many alone, at most size(); the others sleep on

  // Calls task(piece, worker) once for each piece in [0, pieces); worker < threads().
  template <class Task>
  void run(size_t pieces, const Task& task) {
    if (pieces <= 1 || threads() == 1) {
      for (size_t i = 0; i < pieces; ++i) task(i, size_t{0});
      return;
    }
    run_erased(
        pieces,
        [](const void* t, size_t piece, size_t worker) {
          (*static_cast<const Task*>(t))(piece, worker);
        },
        &task);
  }

 private:
  using Call = void (*)(const void*, size_t, size_t);
  void run_erased(size_t pieces, Call call, const void* task);
  void take_pieces(size_t worker);
  void work(size_t worker);
  bool join_job(size_t worker, uint64_t& seen);

  size_t size_ = 1;
  long creator_pid_ = 0;
  std::vector<std::thread> workers_;

  // The job. `state_` holds (number of the job << 32 | workers that joined << 1 | open); a worker
  // joins by compare-and-swap, so one that comes after the close cannot touch the next job's task.
  Call call_ = nullptr;
  const void* task_ = nullptr;
  size_t pieces_ = 0;
  size_t runs_ = 0;  // one a thread that takes part
  struct alignas(64) Run {
    std::atomic<size_t> next{0};  // the piece to be taken next
  };
  std::unique_ptr<Run[]> next_of_;  // [size_]
  std::atomic<uint64_t> state_{0};
  std::atomic<uint32_t> left_{0};     // workers that joined this job and are done with it
  std::atomic<bool> waiting_{false};  // the caller sleeps until they are
  std::atomic<uint32_t> wake_{0};     // changes with every job: what sleepers wait on
  std::atomic<uint32_t> asleep_{0};
  // Threads that take part; 0: they are to end. Workers beyond sleep until it changes, and no job
  // wakes them.
  std::atomic<uint32_t> active_{1};
};

}  // namespace lapwing
