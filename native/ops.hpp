// The fused operations, split over threads. No Python here: bindings.cpp checks shapes and calls.
#pragma once

#include <mutex>
#include <span>
#include <string>
#include <variant>

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

// out [T, D] = Σ table[ids] over the lookups, in their order. Planes: both where both are held.
struct Lookup {
  std::variant<DenseView, PlaneView> table;
  std::span<const int64_t> ids;  // [T]
};
void embed(Context& context, std::span<const Lookup> lookups, size_t T, size_t D, float* out);

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

}  // namespace lapwing
