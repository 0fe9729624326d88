// Keys and values of one sequence, all layers. Address space for the whole context is reserved at
// once; pages are committed as positions are filled.
//
//   [layer][keys | values][kv head][position][head_stride]      head_stride: head_dim up to 8
//
// A layer with a window w sees no farther back than w positions: what lies behind is given back to
// the system now and then, and the cache cannot be truncated to where it would be needed again.
#pragma once

#include <vector>

#include "kernels.hpp"
#include "memory.hpp"

namespace lapwing {

class KVCache {
 public:
  // windows: one a layer, 0 for none; empty: none at all.
  KVCache(size_t layers, size_t kv_heads, size_t head_dim, size_t capacity, DType dtype,
          std::vector<size_t> windows = {});

  size_t layers() const { return layers_; }
  size_t kv_heads() const { return kv_heads_; }
  size_t head_dim() const { return head_dim_; }
  size_t head_stride() const { return head_stride_; }
  size_t capacity() const { return capacity_; }
  size_t length() const { return length_; }
  DType dtype() const { return dtype_; }
  size_t row_bytes() const { return head_stride_ * size_of(dtype_); }
  size_t window(size_t layer) const { return windows_.empty() ? 0 : windows_[layer]; }
  size_t used_bytes() const;

  // Lengths below this, but for 0, need positions that a window has given back.
  size_t shortest() const;
  // Positions [0, length) stay; what lies behind is given up. Throws std::out_of_range for more
  // than there are, and for less than shortest() unless it is 0.
  void truncate(size_t length);
  // `count` more positions now hold every layer's keys and values.
  void advance(size_t count);
  KVCache fork() const;  // an independent copy of what is filled

  uint8_t* row(size_t layer, bool value, size_t head, size_t position) const {
    const size_t line = ((layer * 2 + (value ? 1 : 0)) * kv_heads_ + head) * capacity_ + position;
    return data_.data() + line * row_bytes();
  }
  KeyValueView view(size_t layer, size_t head) const {
    return {row(layer, false, head, 0), row(layer, true, head, 0), dtype_, head_stride_};
  }

 private:
  void forget();  // what no window will see again

  size_t layers_, kv_heads_, head_dim_, head_stride_, capacity_, length_ = 0;
  DType dtype_;
  std::vector<size_t> windows_;
  std::vector<size_t> forgotten_;  // of each layer: positions given back, from the first on
  Region data_;
};

}  // namespace lapwing
