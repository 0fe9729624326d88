// The integer linear on planes in plain C++: the definition that faster versions must equal.
//
// Per row and group, with the integer sum S over the codes of both operands and d, Σx of the token:
//   int4  v = d·S_hi                              int8  v = d·(16·S_hi + S_lo) − 7.5·Σx
// and over the groups, k ascending, with the factors that 8 rows share:
//   int4  f_m·Σ m_code·Σx + f_s·Σ s_code·v        int8  the same with f_s/16
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

static void plane_linear(const PlaneView& w, Precision precision, const QuantizedRows& x, size_t T,
                         size_t first, size_t last, const Epilogue& e, float* out, uint8_t*) {
  const size_t groups = group_count(w.K);
  const bool both = precision == Precision::int8;
  for (size_t rg = first; rg < last; ++rg) {
    const uint8_t* base = w.base + rg * base_stride(w.K);
    const uint8_t* refine = both ? w.refine + rg * refine_stride(w.K) : nullptr;
    const float* factors = w.factors + rg * 2;
    const float scale_factor = both ? factors[0] * (1.0f / 16) : factors[0];
    const size_t n = rg * kRows, count = w.N - n;
    for (size_t t = 0; t < T; ++t) {
      F8 scaled = zero(), centred = zero();
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
        const F8 s = load_codes(base + scale_offset(g));
        const F8 m = load_codes(reinterpret_cast<const int8_t*>(base + centre_offset(g)));
        const F8 x_sum = set1(x.sum[t * groups + g]);
        F8 v = mul(load(sums), set1(x.scale[t * groups + g]));
        if (both) v = fma(set1(-7.5f), x_sum, v);
        scaled = fma(s, v, scaled);
        centred = fma(m, x_sum, centred);
      }
      const F8 result = fma(centred, set1(factors[1]), mul(scaled, set1(scale_factor)));
      finish(result, e, t, n, count, out);
    }
  }
}

}  // namespace lapwing::LAPWING_ISA
