#include "planes.hpp"

#include <cmath>

namespace lapwing {

void decode_row(const PlaneView& planes, Precision precision, size_t row, float* out) {
  const size_t row_group = row / kRows, lane = row % kRows;
  const uint8_t* base = planes.base + row_group * base_stride(planes.K);
  const uint8_t* refine =
      precision == Precision::int8 ? planes.refine + row_group * refine_stride(planes.K) : nullptr;
  const float scale_factor = planes.factors[row_group * 2];
  const float centre_factor = planes.factors[row_group * 2 + 1];
  for (size_t g = 0; g < group_count(planes.K); ++g) {
    const float s = static_cast<float>(base[scale_offset(g) + lane]) * scale_factor;
    const float m =
        static_cast<float>(static_cast<int8_t>(base[centre_offset(g) + lane])) * centre_factor;
    const size_t k_end = planes.K - g * kGroup < kGroup ? planes.K - g * kGroup : kGroup;
    for (size_t k = 0; k < k_end; ++k) {
      const unsigned hi = nibble_at(base + base_nibble_offset(g), lane, k);
      float& w = out[g * kGroup + k];
      if (refine == nullptr) {
        w = std::fma(s, static_cast<float>(hi), m);
      } else {
        const unsigned lo = nibble_at(refine + refine_nibble_offset(g), lane, k);
        w = std::fma(s / 16, static_cast<float>(16 * hi + lo) - 7.5f, m);
      }
    }
  }
}

}  // namespace lapwing
