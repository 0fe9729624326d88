#include "kv_cache.hpp"

#include <algorithm>
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

KVCache::KVCache(size_t layers, size_t kv_heads, size_t head_dim, size_t capacity, DType dtype,
                 std::vector<size_t> windows)
    : layers_(layers),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      head_stride_(ceil_div(head_dim, 8) * 8),
      capacity_(capacity),
      dtype_(dtype),
      windows_(std::move(windows)),
      forgotten_(windows_.size(), 0),
      data_(checked_bytes(layers, kv_heads, head_stride_, capacity, dtype)) {
  if (dtype == DType::bf16) throw std::invalid_argument("a KV cache is f32 or f16, not bf16");
  if (!windows_.empty() && windows_.size() != layers)
    throw std::invalid_argument("a KV cache needs one window a layer, or none at all");
}

size_t KVCache::used_bytes() const {
  size_t positions = layers_ * length_;
  for (const size_t forgotten : forgotten_) positions -= forgotten;
  return positions * 2 * kv_heads_ * row_bytes();
}

size_t KVCache::shortest() const {
  size_t shortest = 0;
  for (size_t layer = 0; layer < forgotten_.size(); ++layer)
    if (forgotten_[layer] != 0)  // the next token sees window − 1 positions before itself
      shortest = std::max(shortest, forgotten_[layer] + windows_[layer] - 1);
  return shortest;
}

void KVCache::truncate(size_t length) {
  if (length > length_)
    throw std::out_of_range("cannot truncate to " + std::to_string(length) +
                            " positions: the cache holds " + std::to_string(length_));
  if (length != 0 && length < shortest() && length < length_)
    throw std::out_of_range("cannot truncate to " + std::to_string(length) +
                            " positions: windows have given back what they would see; " +
                            std::to_string(shortest()) + " or 0 can be");
  for (size_t line = 0; line < layers_ * 2 * kv_heads_; ++line) {
    const size_t begin = line * capacity_ * row_bytes();
    data_.discard(begin + length * row_bytes(), begin + length_ * row_bytes());
  }
  length_ = length;
  if (length == 0) std::fill(forgotten_.begin(), forgotten_.end(), 0);
}

void KVCache::advance(size_t count) {
  if (count > capacity_ - length_) throw std::out_of_range("the KV cache is full");
  length_ += count;
  forget();
}

void KVCache::forget() {
  constexpr size_t kAtLeast = 256;  // positions: a system call a line is worth so many
  for (size_t layer = 0; layer < forgotten_.size(); ++layer) {
    const size_t window = windows_[layer];
    if (window == 0 || length_ < window) continue;
    const size_t behind = length_ - window;
    if (behind < forgotten_[layer] + std::max(kAtLeast, window / 2)) continue;
    for (size_t line = layer * 2 * kv_heads_; line < (layer + 1) * 2 * kv_heads_; ++line) {
      const size_t begin = line * capacity_ * row_bytes();
      data_.discard(begin, begin + behind * row_bytes());  // with the page the last time left
    }
    forgotten_[layer] = behind;
  }
}

KVCache KVCache::fork() const {
  KVCache copy(layers_, kv_heads_, head_dim_, capacity_, dtype_, windows_);
  for (size_t line = 0; line < layers_ * 2 * kv_heads_; ++line) {
    const size_t gone = forgotten_.empty() ? 0 : forgotten_[line / (2 * kv_heads_)];
    const size_t begin = line * capacity_ * row_bytes() + gone * row_bytes();
    std::memcpy(copy.data_.data() + begin, data_.data() + begin, (length_ - gone) * row_bytes());
  }
  copy.length_ = length_;
  copy.forgotten_ = forgotten_;
  return copy;
}

}  // namespace lapwing
