// What products of planes share: how the codes of s and m enter, how two sums become an output, and
// what is asked for ahead.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// What a group's Σx is multiplied with: m for int8 and its code for int4; see planes_plain.hpp.
template <bool Both>
static inline F8 centres(const uint8_t* scales, const uint8_t* centre_codes, const float* factors) {
  const F8 m = load_codes(reinterpret_cast<const int8_t*>(centre_codes));
  if (!Both) return m;
  return fma(load_codes(scales), set1(factors[0] * kHalfCell), mul(m, set1(factors[1])));
}

// A finished row group: the two sums, with the factors that 8 rows share.
template <bool Both>
static inline F8 join(F8 scaled, F8 centred, const float* factors) {
  if (Both) return fma(scaled, set1(factors[0] * (1.0f / 16)), centred);
  return fma(centred, set1(factors[1]), mul(scaled, set1(factors[0])));
}

// The planes of the next panel, asked for into L2 in equal shares while tokens pass this one: all
// at once would take the line buffers that this panel's own planes are read through.
class PlanesAhead {
 public:
  // Row groups [first, first + count) as far as there are such; shares: calls of `fetch`.
  PlanesAhead(const PlaneView& w, bool both, size_t first, size_t count, size_t shares) {
    const size_t all = row_group_count(w.N);
    count = first < all ? (all - first < count ? all - first : count) : 0;
    next_[0] = w.base + first * base_stride(w.K);
    lines_[0] = count * base_stride(w.K) / 64;
    if (both) {
      next_[1] = w.refine + first * refine_stride(w.K);
      lines_[1] = count * refine_stride(w.K) / 64;
    }
    share_ = ceil_div(lines_[0] + lines_[1], shares);
  }
  void fetch() {
    size_t most = share_;
    for (size_t plane = 0; plane < 2; ++plane) {
      const size_t count = most < lines_[plane] ? most : lines_[plane];
      for (size_t i = 0; i < count; ++i) __builtin_prefetch(next_[plane] + i * 64, 0, 2);
      next_[plane] += count * 64, lines_[plane] -= count, most -= count;
    }
  }

 private:
  const uint8_t* next_[2] = {};
  size_t lines_[2] = {}, share_;
};

}  // namespace lapwing::LAPWING_ISA
