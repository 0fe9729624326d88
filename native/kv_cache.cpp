#include "kv_cache.hpp"

#include <cstring>
#include <new>
#include <stdexcept>

namespace lapwing {

static size_t checked_bytes(size_t layers, size_t kv_heads, size_t stride, size_t capacity,
                            DType dtype) {
  size_t bytes = 2 * size_of(dtype);
  for (size_t factor : {layers, kv_heads, stride, capacity})
    if (__builtin_mul_overflow(bytes, factor, &bytes)) throw std::bad_alloc();
  return bytes;
}

KVCache::KVCache(size_t layers, size_t kv_heads, size_t head_dim, size_t capacity, DType dtype)
    : layers_(layers),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      head_stride_(ceil_div(head_dim, 8) * 8),
      capacity_(capacity),
      dtype_(dtype),
      data_(checked_bytes(layers, kv_heads, head_stride_, capacity, dtype)) {
  if (dtype == DType::bf16) throw std::invalid_argument("a KV cache is f32 or f16, not bf16");
}

void KVCache::truncate(size_t length) {
  if (length > length_)
    throw std::out_of_range("cannot truncate to " + std::to_string(length) +
                            " positions: the cache holds " + std::to_string(length_));
  for (size_t line = 0; line < layers_ * 2 * kv_heads_; ++line) {
    const size_t begin = line * capacity_ * row_bytes();
    data_.discard(begin + length * row_bytes(), begin + length_ * row_bytes());
  }
  length_ = length;
}

void KVCache::advance(size_t count) {
  if (count > capacity_ - length_) throw std::out_of_range("the KV cache is full");
  length_ += count;
}

KVCache KVCache::fork() const {
  KVCache copy(layers_, kv_heads_, head_dim_, capacity_, dtype_);
  for (size_t line = 0; line < layers_ * 2 * kv_heads_; ++line) {
    const size_t begin = line * capacity_ * row_bytes();
    std::memcpy(copy.data_.data() + begin, data_.data() + begin, length_ * row_bytes());
  }
  copy.length_ = length_;
  return copy;
}

}  // namespace lapwing
