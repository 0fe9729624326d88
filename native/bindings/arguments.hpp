// What Python hands over, as ops.hpp takes it: arrays checked for shape, names parsed.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "encode.hpp"
#include "ops.hpp"

namespace lapwing {

namespace nb = nanobind;

using FloatMatrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using FloatVector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using IdVector = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using NewMatrix = nb::ndarray<nb::numpy, float, nb::ndim<2>>;
using NewBytes = nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>;

[[noreturn]] inline void mismatch(const std::string& what, size_t expected, size_t got) {
  throw std::invalid_argument(what + ": expected " + std::to_string(expected) + ", got " +
                              std::to_string(got));
}
inline void check(const std::string& what, size_t expected, size_t got) {
  if (expected != got) mismatch(what, expected, got);
}

inline NewMatrix new_matrix(size_t rows, size_t columns) {
  auto data = std::make_unique_for_overwrite<float[]>(rows * columns);
  float* p = data.get();
  nb::capsule owner(data.release(), [](void* q) noexcept { delete[] static_cast<float*>(q); });
  return NewMatrix(p, {rows, columns}, owner);
}

inline DType parse_dtype(const std::string& name) {
  if (name == "f32") return DType::f32;
  if (name == "f16") return DType::f16;
  if (name == "bf16") return DType::bf16;
  throw std::invalid_argument("dtype: expected f32, f16 or bf16, got '" + name + "'");
}
inline Layout parse_layout(const std::string& name) {
  if (name == "nk") return Layout::nk;
  if (name == "kn") return Layout::kn;
  throw std::invalid_argument("layout: expected nk or kn, got '" + name + "'");
}
inline Precision parse_precision(const std::string& name) {
  if (name == "int4") return Precision::int4;
  if (name == "int8") return Precision::int8;
  throw std::invalid_argument("precision: expected int4 or int8, got '" + name + "'");
}
inline Activation parse_activation(const std::optional<std::string>& name) {
  if (!name) return Activation::none;
  if (*name == "relu") return Activation::relu;
  if (*name == "silu") return Activation::silu;
  if (*name == "tanh") return Activation::tanh;
  if (*name == "gelu") return Activation::gelu;
  if (*name == "gelu_tanh") return Activation::gelu_tanh;
  throw std::invalid_argument("activation: expected relu, silu, tanh, gelu or gelu_tanh, got '" +
                              *name + "'");
}

// Float weights that stay where they are; holds a reference to their memory.
struct Dense {
  Bytes data;
  DenseView view;

  Dense(Bytes bytes, const std::string& dtype, const std::string& layout, size_t N, size_t K)
      : data(std::move(bytes)), view{parse_dtype(dtype), parse_layout(layout), N, K, data.data()} {
    check("bytes of the matrix", N * K * size_of(view.dtype), data.size());
  }
};

// Planes that lie in a file's mapping; holds references to it.
struct KeptPlanes : Planes {
  Bytes base_bytes_, factor_bytes_;
  std::optional<Bytes> refine_bytes_;

  KeptPlanes(size_t N, size_t K, Bytes base, Bytes factors, std::optional<Bytes> refine)
      : Planes(PlaneView{N, K, base.data(), refine ? refine->data() : nullptr,
                         reinterpret_cast<const float*>(factors.data())}),
        base_bytes_(std::move(base)),
        factor_bytes_(std::move(factors)),
        refine_bytes_(std::move(refine)) {
    check("bytes of the base plane", row_group_count(N) * base_stride(K), base_bytes_.size());
    check("bytes of the factors", row_group_count(N) * 2 * sizeof(float), factor_bytes_.size());
    if (refine_bytes_)
      check("bytes of the refine plane", row_group_count(N) * refine_stride(K),
            refine_bytes_->size());
    if (reinterpret_cast<uintptr_t>(factor_bytes_.data()) % alignof(float) != 0)
      throw std::invalid_argument("the factors are not aligned to 4 bytes");
  }
};

inline PlaneView readable(const Planes& planes, Precision precision) {
  if (precision == Precision::int8 && !planes.has_refine())
    throw std::invalid_argument("int8 needs both planes; only the base plane is held");
  return planes.view();
}

inline Pooling parse_pooling(const std::string& name) {
  if (name == "cls") return Pooling::cls;
  if (name == "max") return Pooling::max;
  if (name == "mean") return Pooling::mean;
  if (name == "mean_sqrt_len") return Pooling::mean_sqrt_len;
  if (name == "lasttoken") return Pooling::lasttoken;
  throw std::invalid_argument(
      "pooling: expected cls, max, mean, mean_sqrt_len or lasttoken, got '" + name + "'");
}

// What an operation's closure points into: kept alive by a program.
struct Kept {
  std::vector<nb::object> weights;
  std::vector<FloatVector> vectors;

  template <class Matrix>
  void matrix(const Matrix* held) {
    weights.push_back(nb::find(held));
  }
  // → its numbers; null for none
  const float* vector(const std::optional<FloatVector>& held) {
    if (!held) return nullptr;
    vectors.push_back(*held);
    return held->data();
  }
};

using Biases = std::vector<std::optional<FloatVector>>;

// Matrices side by side, their biases, and what all of them add: shapes checked, N summed.
template <class View>
struct Joined {
  std::vector<Part<View>> parts;
  Epilogue epilogue;
  size_t T = 0;

  Joined(std::vector<View> views, const Biases& biases, const FloatMatrix& x,
         const std::optional<std::string>& activation, const std::optional<FloatMatrix>& residual,
         Kept& kept)
      : T(x.shape(0)) {
    if (views.empty()) throw std::invalid_argument("a linear needs a matrix");
    check("one bias a matrix", views.size(), biases.size());
    for (size_t i = 0; i < views.size(); ++i) {
      check("columns of x", views[i].K, x.shape(1));
      if (biases[i]) check("bias", views[i].N, biases[i]->shape(0));
      parts.push_back({views[i], kept.vector(biases[i])});
      epilogue.stride += views[i].N;
    }
    if (residual) {
      check("residual rows", T, residual->shape(0));
      check("residual columns", epilogue.stride, residual->shape(1));
      epilogue.residual = residual->data();
    }
    epilogue.activation = parse_activation(activation);
  }
};

}  // namespace lapwing
