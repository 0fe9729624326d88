// The integer linear on planes in plain C++: the definition that faster versions must equal.
//
// Per row and group, with the integer sum S over the codes of both operands and d, Σx of the token:
//   int4  v = s_code·S_hi          c = m_code
//   int8  v = s_code·(16·S_hi + S_lo)   c = f_m·m_code − 7.5/16·f_s·s_code
// (v in one rounding: instruction sets that multiply integers give the same bits), and over the
// groups, k ascending, with the factors that 8 rows share:
//   int4  f_m·Σ c·Σx + f_s·Σ d·v   int8  Σ c·Σx + f_s/16·Σ d·v
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

constexpr size_t kWordsFrom = SIZE_MAX;

static void plane_linear(const PlaneView& w, Precision precision, const QuantizedRows& x, size_t T,
                         size_t first, size_t last, const Epilogue& e, float* out, uint8_t*) {
  const size_t groups = group_count(w.K);
  const bool both = precision == Precision::int8;
  for (size_t rg = first; rg < last; ++rg) {
    const uint8_t* base = w.base + rg * base_stride(w.K);
    const uint8_t* refine = both ? w.refine + rg * refine_stride(w.K) : nullptr;
    const float* factors = w.factors + rg * 2;
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
        const F8 c = both
                         ? centres<true>(base + scale_offset(g), base + centre_offset(g), factors)
                         : centres<false>(base + scale_offset(g), base + centre_offset(g), factors);
        scaled = fma(mul(s, load(sums)), set1(x.scale[t * groups + g]), scaled);
        centred = fma(c, set1(x.sum[t * groups + g]), centred);
      }
      const F8 result =
          both ? join<true>(scaled, centred, factors) : join<false>(scaled, centred, factors);
      finish(result, e, t, n, count, out);
    }
  }
}

}  // namespace lapwing::LAPWING_ISA
