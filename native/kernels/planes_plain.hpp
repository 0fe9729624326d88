// The integer linear on planes in plain C++: the definition that faster versions must equal.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

static void plane_linear(const PlaneView& w, Precision precision, const QuantizedRows& x, size_t T,
                         size_t first, size_t last, const Epilogue& e, float* out, uint8_t*) {
  const size_t groups = group_count(w.K);
  const bool both = precision == Precision::int8;
  for (size_t rg = first; rg < last; ++rg) {
    const uint8_t* base = w.base + rg * base_stride(w.K);
    const uint8_t* refine = both ? w.refine + rg * refine_stride(w.K) : nullptr;
    const F8 scale_factor = set1(w.factors[rg * 2]), centre_factor = set1(w.factors[rg * 2 + 1]);
    const size_t n = rg * kRows, count = w.N - n;
    for (size_t t = 0; t < T; ++t) {
      F8 acc = zero();
      for (size_t g = 0; g < groups; ++g) {
        const int8_t* codes = x.codes + (t * groups + g) * kGroup;
        const uint8_t* high = base + base_nibble_offset(g);
        const uint8_t* low = both ? refine + refine_nibble_offset(g) : nullptr;
        float sums[kRows];
        for (size_t row = 0; row < kRows; ++row) {
          int32_t s_hi = 0, s_lo = 0;
          for (size_t k = 0; k < kGroup; ++k) {
            s_hi += static_cast<int32_t>(nibble_at(high, row, k)) * codes[k];
            if (both) s_lo += static_cast<int32_t>(nibble_at(low, row, k)) * codes[k];
          }
          sums[row] = static_cast<float>(both ? 16 * s_hi + s_lo : s_hi);
        }
        F8 s = mul(load_codes(base + scale_offset(g)), scale_factor);
        F8 m = mul(load_codes(reinterpret_cast<const int8_t*>(base + centre_offset(g))),
                   centre_factor);
        if (both) {
          m = fma(s, set1(-7.5f / 16), m);
          s = mul(s, set1(1.0f / 16));
        }
        acc = fma(m, set1(x.sum[t * groups + g]), acc);
        acc = fma(mul(load(sums), set1(x.scale[t * groups + g])), s, acc);
      }
      finish(acc, e, w.N, t, n, count, out);
    }
  }
}

}  // namespace lapwing::LAPWING_ISA
