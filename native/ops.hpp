// The fused operations, split over threads. No Python here: bindings.cpp checks shapes and calls.
#pragma once

#include <mutex>
#include <span>
#include <string>

#include "encode.hpp"
#include "kernels.hpp"
#include "kv_cache.hpp"
#include "memory.hpp"
#include "thread_pool.hpp"

namespace lapwing {

// Threads, kernels and scratch memory of one loaded model. One operation at a time: take the lock.
class Context {
 public:
  Context(size_t threads, const std::string& isa);

  const Kernels& kernels;
  ThreadPool pool;
  std::mutex mutex;

  // Reused between operations, grown on demand, 64-byte aligned.
  uint8_t* scratch(size_t nbytes);
  uint8_t* worker_scratch(size_t nbytes_each);  // one piece a thread, each a multiple of 64

 private:
  Region scratch_, worker_scratch_;
};

// out [T, N] = activation(x [T, K] · wᵀ + bias) + residual
void linear(Context& context, const DenseView& w, const float* x, size_t T, const Epilogue& e,
            float* out);
void linear(Context& context, const PlaneView& w, Precision precision, const float* x, size_t T,
            const Epilogue& e, float* out);

// out [T, D] = table[ids] (+ positions_table[positions]). Planes: both planes where both are held.
struct EmbedSource {
  const DenseView* dense = nullptr;
  const PlaneView* planes = nullptr;
};
void embed(Context& context, const EmbedSource& table, std::span<const int64_t> ids,
           const DenseView* position_table, std::span<const int64_t> positions, size_t D,
           float* out);

void layer_norm(Context& context, const float* x, size_t T, size_t D, const float* weight,
                const float* bias, float eps, float* out);

// Causal attention of packed sequences. queries, keys, values are rows of `stride` floats in
// x [T, stride] at the given column offsets: H heads, then Hkv heads each. Sequence i has
// lengths[i] new rows, which follow what caches[i] already holds; they are appended to the cache
// (its length moves only by KVCache::advance) and then attended to as stored.
struct AttentionShape {
  size_t layer, n_heads, n_kv_heads, head_dim;
  float scale;
};
void attend(Context& context, const AttentionShape& shape, const float* x, size_t stride,
            size_t query_offset, size_t key_offset, size_t value_offset,
            std::span<KVCache* const> caches, std::span<const size_t> lengths, float* out);

// Sum of `count` 64-bit words, split over the threads in long runs: a read of memory, no more.
uint64_t sum_words(Context& context, const uint64_t* words, size_t count);

}  // namespace lapwing
