// A panel for usmmla, which multiplies 2 rows × 8 k by 8 k × 2 tokens: per group 4 steps of 8 k,
// each 8 pairs of rows. A pair of rows and a pair of tokens make four sums, which take rows in
// lanes again at the end of a group.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

inline constexpr size_t kManyCodes = 12;  // that of AVX2, where it was measured
inline constexpr size_t kPanelTokens = 4;
inline constexpr size_t kPanelVectors = 2;
using PanelInts = Ints;
using PanelFloats = F8;

static inline PanelFloats panel_load(const float* p) { return load(p); }
static inline PanelFloats panel_set1(float v) { return set1(v); }

static inline void put_unit(uint8_t* panel, size_t unit, size_t half, Codes low, Codes high) {
  uint8_t* to = panel + unit * 4 * kUnitBytes + half * 2 * kUnitBytes;
  const auto zip = [&](uint8x16_t a, uint8x16_t b) {  // 4 rows × k, 4 rows × k + 4 → rows × 8 k
    const uint32x4_t first = vreinterpretq_u32_u8(a), second = vreinterpretq_u32_u8(b);
    vst1q_u8(to, vreinterpretq_u8_u32(vzip1q_u32(first, second)));
    vst1q_u8(to + 16, vreinterpretq_u8_u32(vzip2q_u32(first, second)));
    to += 32;
  };
  zip(low.low, high.low);
  zip(low.high, high.high);
}

// Row pairs (01, 23) of tokens (a, b) → four rows of one token.
static inline int32x4_t of_first(int32x4_t rows01, int32x4_t rows23) {
  return vuzp1q_s32(rows01, rows23);
}
static inline int32x4_t of_second(int32x4_t rows01, int32x4_t rows23) {
  return vuzp2q_s32(rows01, rows23);
}

template <bool Both, size_t T>
static inline __attribute__((always_inline)) void panel_sums(const uint8_t* panel,
                                                             const int8_t* const (&x)[T],
                                                             PanelInts (&sums)[T][kPanelVectors]) {
  constexpr size_t kPairs = (T + 1) / 2;  // a last token alone stands in both places
  int32x4_t tiles[kPairs][kPanelRows / 2];
#pragma GCC unroll 8
  for (size_t p = 0; p < kPairs; ++p)
#pragma GCC unroll 8
    for (int32x4_t& tile : tiles[p]) tile = vdupq_n_s32(0);
#pragma GCC unroll 4
  for (size_t unit = 0; unit < kGroupUnits; ++unit) {
    int8x16_t tokens[kPairs];
#pragma GCC unroll 8
    for (size_t p = 0; p < kPairs; ++p)
      tokens[p] = vcombine_s8(vld1_s8(x[2 * p] + unit * 8),
                              vld1_s8(x[2 * p + 1 < T ? 2 * p + 1 : 2 * p] + unit * 8));
#pragma GCC unroll 8
    for (size_t r = 0; r < kPanelRows / 2; ++r) {
      const uint8x16_t rows = vld1q_u8(panel + unit * 4 * kUnitBytes + r * 16);
#pragma GCC unroll 8
      for (size_t p = 0; p < kPairs; ++p) tiles[p][r] = vusmmlaq_s32(tiles[p][r], rows, tokens[p]);
    }
  }
#pragma GCC unroll 8
  for (size_t p = 0; p < kPairs; ++p)
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const int32x4_t* t = tiles[p] + half * 4;
      sums[2 * p][half] = {of_first(t[0], t[1]), of_first(t[2], t[3])};
      if (2 * p + 1 < T) sums[2 * p + 1][half] = {of_second(t[0], t[1]), of_second(t[2], t[3])};
    }
}

}  // namespace lapwing::LAPWING_ISA
