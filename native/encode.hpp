// Weights → planes, once, at load.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>

#include "kernels.hpp"
#include "memory.hpp"
#include "thread_pool.hpp"

namespace lapwing {

// A quantized matrix that owns its planes. The refine plane is a mapping of its own.
class Planes {
 public:
  Planes(size_t N, size_t K, bool refine);

  size_t N() const { return N_; }
  size_t K() const { return K_; }
  bool has_refine() const { return refine_.data() != nullptr; }
  size_t base_bytes() const { return base_.nbytes(); }
  size_t refine_bytes() const { return refine_.nbytes(); }
  size_t factor_bytes() const { return factors_.nbytes(); }
  uint8_t* base() const { return base_.data(); }
  uint8_t* refine() const { return refine_.data(); }
  float* factors() const { return reinterpret_cast<float*>(factors_.data()); }
  PlaneView view() const { return {N_, K_, base(), refine(), factors()}; }

 private:
  size_t N_, K_;
  Region base_, refine_, factors_;
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
