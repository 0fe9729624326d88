// What tests of linears multiply: quantized activations, planes, all in guarded memory.
#pragma once

#include <algorithm>

#include "check.hpp"

namespace lapwing::test {

inline constexpr CodeRange kCodeRanges[] = {CodeRange::full, CodeRange::narrow};
inline constexpr Activation kActivations[] = {Activation::none, Activation::relu,
                                              Activation::silu, Activation::tanh,
                                              Activation::gelu, Activation::gelu_tanh};

struct Activations {
  Guarded<int8_t> codes;
  Guarded<int16_t> words;
  Guarded<float> scale, sum;
  QuantizedRows rows(size_t t, size_t K) const {
    const size_t groups = group_count(K);
    const size_t at = t * groups * kGroup;
    return {codes.data() + at, words.data() + at, scale.data() + t * groups,
            sum.data() + t * groups, range};
  }
  CodeRange range;
};

inline Activations quantized(const Kernels& kernels, const Guarded<float>& x, size_t T, size_t K,
                             CodeRange range = CodeRange::full) {
  const size_t groups = group_count(K);
  Activations q{Guarded<int8_t>(T * groups * kGroup), Guarded<int16_t>(T * groups * kGroup),
                Guarded<float>(T * groups), Guarded<float>(T * groups), range};
  for (size_t t = 0; t < T; ++t)
    kernels.quantize_row(x.data() + t * K, K, range, q.codes.data() + t * groups * kGroup,
                         q.scale.data() + t * groups, q.sum.data() + t * groups);
  std::copy_n(q.codes.data(), T * groups * kGroup, q.words.data());
  return q;
}

// x [T, K] with all tokens as they are, and packed if so many are.
struct FloatActivations {
  Guarded<float> packed;
  const float* x;
  FloatRows rows() const { return {x, packed.data()}; }
};
inline FloatActivations packed(const Kernels& kernels, const DenseView& w, const float* x,
                               size_t T) {
  const bool wanted = packs_tokens(w.layout, T);
  FloatActivations made{Guarded<float>(wanted ? T * packed_row(w.layout, w.K) : 0), x};
  // In two pieces, as an operation cuts them for threads.
  const size_t cut = T / 2 / kPackedTogether * kPackedTogether;
  const size_t row = packed_row(w.layout, w.K);
  if (wanted) {
    if (cut > 0) kernels.pack_tokens(w.layout, x, cut, w.K, made.packed.data());
    kernels.pack_tokens(w.layout, x + cut * w.K, T - cut, w.K, made.packed.data() + cut * row);
  }
  return made;
}

inline Guarded<uint8_t> scratch_of(size_t nbytes) {
  return Guarded<uint8_t>(ceil_div(nbytes, 64) * 64);
}

// The planes of a random matrix in guarded memory.
struct GuardedPlanes {
  size_t N, K;
  Guarded<uint8_t> base, refine;
  Guarded<float> factors;
  PlaneView view(bool both) const {
    return {N, K, base.data(), both ? refine.data() : nullptr, factors.data()};
  }
};
inline GuardedPlanes random_planes(uint64_t seed, size_t N, size_t K, bool extreme) {
  Random random(seed);
  const size_t row_groups = row_group_count(N);
  GuardedPlanes p{N, K, Guarded<uint8_t>(row_groups * base_stride(K)),
                  Guarded<uint8_t>(row_groups * refine_stride(K)), Guarded<float>(row_groups * 2)};
  for (size_t i = 0; i < p.base.size(); ++i)
    p.base[i] = extreme ? 0xff : static_cast<uint8_t>(random.next());
  for (size_t i = 0; i < p.refine.size(); ++i)
    p.refine[i] = extreme ? 0xff : static_cast<uint8_t>(random.next());
  for (size_t i = 0; i < p.factors.size(); ++i) p.factors[i] = 1e-3f * (1 + (i % 3));
  return p;
}

}  // namespace lapwing::test
