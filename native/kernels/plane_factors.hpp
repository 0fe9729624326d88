// What products of planes share: how the codes of s and m enter, and how two sums become an output.
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

}  // namespace lapwing::LAPWING_ISA
