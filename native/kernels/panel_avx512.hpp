// A panel whose 16 rows are one 512-bit vector: per group 8 steps of 4 k, 64 bytes each. The order
// is that of panel_dot.hpp; activations are broadcast by the multiplication that reads them.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

inline constexpr size_t kManyCodes = 8;  // fewer tokens read nibbles straight from the planes
inline constexpr size_t kPanelTokens = 8;
inline constexpr size_t kPanelVectors = 1;
using PanelInts = __m512i;
using PanelFloats = __m512;

static inline PanelFloats panel_load(const float* p) { return _mm512_loadu_ps(p); }
static inline PanelFloats panel_set1(float v) { return _mm512_set1_ps(v); }
static inline void store(float* p, PanelFloats a) { _mm512_storeu_ps(p, a); }
static inline PanelFloats mul(PanelFloats a, PanelFloats b) { return _mm512_mul_ps(a, b); }
static inline PanelFloats fma(PanelFloats a, PanelFloats b, PanelFloats c) {
  return _mm512_fmadd_ps(a, b, c);
}
static inline PanelFloats to_floats(PanelInts a) { return _mm512_cvtepi32_ps(a); }

static inline void put_unit(uint8_t* panel, size_t unit, size_t half, Codes low, Codes high) {
  store_bytes(panel + unit * 4 * kUnitBytes + half * kUnitBytes, low);
  store_bytes(panel + unit * 4 * kUnitBytes + (2 + half) * kUnitBytes, high);
}

template <bool Both, size_t T>
static inline __attribute__((always_inline)) void panel_sums(const uint8_t* panel,
                                                             const int8_t* const (&x)[T],
                                                             PanelInts (&sums)[T][kPanelVectors]) {
#pragma GCC unroll 8
  for (size_t i = 0; i < T; ++i) sums[i][0] = _mm512_setzero_si512();
#pragma GCC unroll 8
  for (size_t step = 0; step < kGroup / 4; ++step) {
    const PanelInts codes = _mm512_loadu_si512(panel + step * 2 * kUnitBytes);
#pragma GCC unroll 8
    for (size_t i = 0; i < T; ++i) {
      int32_t four;
      __builtin_memcpy(&four, x[i] + step * 4, 4);
      sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], codes, _mm512_set1_epi32(four));
    }
  }
}

}  // namespace lapwing::LAPWING_ISA
