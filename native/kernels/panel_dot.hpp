// A panel for dot products of four: per group 8 steps of 4 k, each 16 rows × 4 codes. Its vectors
// are as long as planes_dot.hpp's; panel_avx512.hpp has longer ones, panel_i8mm.hpp another order.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

inline constexpr size_t kManyCodes = 12;    // that of AVX2, where it was measured
inline constexpr size_t kPanelTokens = 4;   // of the largest tile
inline constexpr size_t kPanelVectors = 2;  // that 16 rows take
using PanelInts = Ints;
using PanelFloats = F8;

static inline PanelFloats panel_load(const float* p) { return load(p); }
static inline PanelFloats panel_set1(float v) { return set1(v); }

// One unit's codes of the first or second eight rows.
static inline void put_unit(uint8_t* panel, size_t unit, size_t half, Codes low, Codes high) {
  store_bytes(panel + unit * 4 * kUnitBytes + half * kUnitBytes, low);
  store_bytes(panel + unit * 4 * kUnitBytes + (2 + half) * kUnitBytes, high);
}

// One group's sums of 16 rows × T tokens, given the group's activations of each.
template <bool Both, size_t T>
static inline __attribute__((always_inline)) void panel_sums(const uint8_t* panel,
                                                             const int8_t* const (&x)[T],
                                                             PanelInts (&sums)[T][kPanelVectors]) {
#pragma GCC unroll 8
  for (size_t i = 0; i < T; ++i) sums[i][0] = sums[i][1] = first_sum<Both>(x[i]);
#pragma GCC unroll 8
  for (size_t step = 0; step < kGroup / 4; ++step) {
    const Codes w0 = load_nibbles(panel + step * 2 * kUnitBytes);
    const Codes w1 = load_nibbles(panel + (step * 2 + 1) * kUnitBytes);
#pragma GCC unroll 8
    for (size_t i = 0; i < T; ++i) {
      const Four v = broadcast4(x[i] + step * 4);
      sums[i][0] = dot(sums[i][0], w0, v);
      sums[i][1] = dot(sums[i][1], w1, v);
    }
    asm volatile("" ::: "memory");  // no step's loads ahead of their turn: registers are few
  }
}

}  // namespace lapwing::LAPWING_ISA
