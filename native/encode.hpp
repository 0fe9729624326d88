// Weights → planes, once, at load.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>

#include "kernels.hpp"
#include "memory.hpp"
#include "thread_pool.hpp"

namespace lapwing {

// A quantized matrix. Its planes are its own, each in memory of its own, or lie in memory that its
// maker keeps.
class Planes {
 public:
  Planes(size_t N, size_t K, bool refine);
  explicit Planes(const PlaneView& kept) : view_(kept) {}
  Planes(Planes&&) = default;

  const PlaneView& view() const { return view_; }
  bool has_refine() const { return view_.refine != nullptr; }
  size_t base_bytes() const { return row_group_count(view_.N) * base_stride(view_.K); }
  size_t refine_bytes() const {
    return has_refine() ? row_group_count(view_.N) * refine_stride(view_.K) : 0;
  }
  size_t factor_bytes() const { return row_group_count(view_.N) * 2 * sizeof(float); }
  // Of its own; null where its planes are kept elsewhere.
  uint8_t* base() const { return base_.data(); }
  uint8_t* refine() const { return refine_.data(); }
  float* factors() const { return reinterpret_cast<float*>(factors_.data()); }

 private:
  Region base_, refine_, factors_;
  PlaneView view_;
};

// A weight that no plane can hold: not finite, or too large for squared errors in float32.
struct BadWeight {
  size_t row, column;  // of the matrix as stored
  float value;
};
inline constexpr float kLargestWeight = 1e18f;

// Quantizes `w` (any float dtype, either layout). Returns the first bad weight, if there is one.
std::optional<BadWeight> encode(ThreadPool& pool, const Kernels& kernels, const DenseView& w,
                                Planes& planes);

// Index of the first value that is not finite.
std::optional<size_t> first_nonfinite(ThreadPool& pool, DType dtype, const void* data,
                                      size_t count);

}  // namespace lapwing
