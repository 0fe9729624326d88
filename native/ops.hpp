// The fused operations, split over threads. No Python here: bindings/ checks shapes and calls.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "encode.hpp"
#include "kernels.hpp"
#include "kv_cache.hpp"
#include "memory.hpp"
#include "thread_pool.hpp"

namespace lapwing {

// Threads, kernels and scratch memory of one loaded model. One operation at a time.
class Context {
 public:
  Context(size_t threads, const std::string& isa);

  const Kernels& kernels;
  ThreadPool pool;

  // An operation on so many tokens, or a pass of them, begins. While the lock is held it has the
  // context to itself, and as many of the pool's threads as are best for it: a few tokens wait for
  // memory, where many compute. Without a number: as many tokens.
  [[nodiscard]] std::unique_lock<std::mutex> begin(size_t tokens = SIZE_MAX);

  // Of passes of few tokens (decode), and of many (prefill).
  size_t threads() const { return threads_.load(std::memory_order_relaxed); }
  size_t prefill_threads() const { return prefill_threads_.load(std::memory_order_relaxed); }
  void set_threads(size_t few, size_t many);

  // Of the activations that int8 reads multiply. Not changed while a pass runs.
  CodeRange code_range = CodeRange::full;

  // Reused between operations, grown on demand, 64-byte aligned.
  uint8_t* scratch(size_t nbytes);
  uint8_t* worker_scratch(size_t nbytes_each);  // one piece a thread, each a multiple of 64
  float* arena(size_t count);                   // arrays of a recorded pass
  float* between(size_t count);                 // what passes from one half of an operation on

  // A context of its own for each thread of the pool, for operations that one thread runs alone.
  // Before they begin `prepare_lanes` makes those that are missing.
  void prepare_lanes();
  Context& lane(size_t worker) { return *lanes_[worker]; }

 private:
  std::mutex mutex_;
  std::atomic<size_t> threads_, prefill_threads_;  // asked for while an operation runs
  Region scratch_, worker_scratch_, between_, arena_;
  std::vector<std::unique_ptr<Context>> lanes_;
};

// Matrices that read the same x [T, K], their outputs side by side: out [T, ΣN] =
// activation(x·wᵀ + bias) + residual. The bias of each stands with it; `e` has the rest.
template <class View>
struct Part {
  View w;
  const float* bias = nullptr;
};
void linear(Context& context, std::span<const Part<DenseView>> parts, const float* x, size_t T,
            const Epilogue& e, float* out);
void linear(Context& context, std::span<const Part<PlaneView>> parts, Precision precision,
            const float* x, size_t T, const Epilogue& e, float* out);

// out [T, F] = activation(x·gateᵀ)·(x·upᵀ): `parts` are gate and up, or both stacked in one.
void gated_linear(Context& context, std::span<const Part<DenseView>> parts, const float* x,
                  size_t T, Activation activation, float* out);
void gated_linear(Context& context, std::span<const Part<PlaneView>> parts, Precision precision,
                  const float* x, size_t T, Activation activation, float* out);

// out [T, D] = scale·Σ table[ids] over the lookups, in their order. Planes: both where both are
// held.
using Table = std::variant<DenseView, PlaneView>;
struct Lookup {
  Table table;
  std::span<const int64_t> ids;  // [T]
};
void embed(Context& context, std::span<const Lookup> lookups, size_t T, size_t D, float scale,
           float* out);

void layer_norm(Context& context, const float* x, size_t T, size_t D, const float* weight,
                const float* bias, float eps, float* out);
// residual [T, D] is added; null: none
void rms_norm(Context& context, const float* x, size_t T, size_t D, const float* weight, float eps,
              const float* residual, float* out);
// x [count] = cap·tanh(x/cap)
void soft_cap(Context& context, float* x, size_t count, float cap);

// Causal attention of packed sequences. qkv [T, (H + 2·Hkv)·Dh]: queries, keys, values. Sequence i
// has lengths[i] new rows, which follow what caches[i] already holds; queries and keys are first
// normed and turned as `shape` says; keys and values are appended to the cache (its length moves
// only by KVCache::advance) and then attended to as stored, within the window that the cache has
// for this layer.
struct AttentionShape {
  size_t layer = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0;
  float scale = 1;
  float softcap = 0;                  // 0: none
  const float* rotations = nullptr;   // [T, 2·half]: cosines, sines; null: none
  size_t half = 0;                    // pairs of a head that are turned
  const float* query_norm = nullptr;  // [Dh] RMS norm of each head; null: none
  const float* key_norm = nullptr;
  float norm_eps = 0;
};
void attend(Context& context, const AttentionShape& shape, const float* qkv,
            std::span<KVCache* const> caches, std::span<const size_t> lengths, float* out);

// Attention of packed sequences in which every token sees all of its own sequence.
// qkv [T, 3·H·Dh]: queries, keys, values → out [T, H·Dh].
void attend_all(Context& context, const float* qkv, size_t n_heads, size_t head_dim, float scale,
                std::span<const size_t> lengths, float* out);

// x [T, D], packed → out [sequences, D]. No sequence may be empty.
void pool(Context& context, const float* x, size_t D, std::span<const size_t> lengths,
          Pooling pooling, float* out);

// Every row of x [T, D] divided by its Euclidean length.
void unit_length(Context& context, const float* x, size_t T, size_t D, float* out);

// Sum of `count` 64-bit words, split over the threads in long runs: a read of memory, no more.
uint64_t sum_words(Context& context, const uint64_t* words, size_t count);

// Multiply-adds a second that all threads make together, on registers alone; 0 where there is no
// such instruction.
double peak_macs(Context& context, Instruction instruction);

}  // namespace lapwing
