// The integer linear on planes for AVX2 and many tokens: 16 rows are unpacked once, to a panel that
// all tokens share. int4 as nibbles in bytes, u4 × s8 by vpmaddubsw, in int16 as in
// planes_avx2.hpp. int8 as 16-bit words, u8 × s8 by vpmaddwd, in int32: with AVX2's instructions
// that costs as much as two passes over nibbles, and needs no second pass (72 to 66 GMAC/s,
// benchmarks/NOTES.md). Where activations have narrow codes, int8 as bytes, u8 × s8 by vpmaddubsw:
// two products fit 16 bits, and are widened together.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// Below so many tokens, splitting nibbles for each tile costs less.
constexpr size_t kManyCodes = 12, kManyNarrowCodes = 6;
constexpr size_t kWordsFrom = kManyCodes;
constexpr size_t kHalves = 2;  // row groups of a panel
constexpr size_t kHalfBytes = 32;

// nibbles, bytes: codes [groups][8][2][8 rows][4 k] bytes, scales [groups][2][8][2] 16-bit codes
//                 of s
// words: codes [groups][16][2][8 rows][2 k] words, scales [groups][2][8] codes of s as floats
enum class Form { nibbles, words, bytes };
template <Form F>
constexpr bool kBothPlanes = F != Form::nibbles;

struct Panel {
  uint8_t* codes;
  uint8_t* scales;
  float* centres;  // [groups][2][8]
};
template <Form F>
constexpr size_t kPanelGroupBytes = (F == Form::words ? 2 : 1) * kPanelRows * kGroup;

static inline void store_bytes(uint8_t* p, __m256i a) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(p), a);
}

// One unit of a row group: bytes of 4 k of 8 rows → 2 × words of 2 k of 8 rows.
static inline void store_words(uint8_t* to, __m256i bytes) {
  const __m256i first = _mm256_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1,
                                         0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1);
  const __m256i second = _mm256_add_epi8(
      first, _mm256_and_si256(_mm256_cmpgt_epi8(first, _mm256_set1_epi8(-1)), _mm256_set1_epi8(2)));
  store_bytes(to, _mm256_shuffle_epi8(bytes, first));
  store_bytes(to + kHalves * kHalfBytes, _mm256_shuffle_epi8(bytes, second));
}

template <Form F>
static inline void unpack_group(const uint8_t* high, const uint8_t* low, uint8_t* to) {
  const __m256i mask = _mm256_set1_epi8(15), upper = _mm256_set1_epi8(-16);
  const auto put = [&](__m256i bytes) {
    F == Form::words ? store_words(to, bytes) : store_bytes(to, bytes);
    to += (F == Form::words ? 2 : 1) * kHalves * kHalfBytes;
  };
#pragma GCC unroll 4
  for (size_t i = 0; i < kGroupUnits; ++i) {
    const __m256i hi = load_bytes(high + i * kUnitBytes);
    if (kBothPlanes<F>) {
      const __m256i lo = load_bytes(low + i * kUnitBytes);
      put(_mm256_or_si256(_mm256_and_si256(_mm256_slli_epi16(hi, 4), upper),
                          _mm256_and_si256(lo, mask)));
      put(_mm256_or_si256(_mm256_and_si256(hi, upper),
                          _mm256_and_si256(_mm256_srli_epi16(lo, 4), mask)));
    } else {
      put(_mm256_and_si256(hi, mask));
      put(_mm256_and_si256(_mm256_srli_epi16(hi, 4), mask));
    }
  }
}

template <Form F>
static void fill_panel(const PlaneView& w, size_t rg, size_t row_groups, const Panel& panel) {
  constexpr bool kBoth = kBothPlanes<F>;
  const size_t groups = group_count(w.K);
  for (size_t half = 0; half < kHalves; ++half) {
    // The second half of an odd last panel repeats the first; its results are not written.
    const size_t from = rg + (half < row_groups ? half : 0);
    const uint8_t* base = w.base + from * base_stride(w.K);
    const uint8_t* refine = kBoth ? w.refine + from * refine_stride(w.K) : nullptr;
    for (size_t g = 0; g < groups; ++g) {
      unpack_group<F>(base + base_nibble_offset(g),
                      kBoth ? refine + refine_nibble_offset(g) : nullptr,
                      panel.codes + g * kPanelGroupBytes<F> + half * kHalfBytes);
      const uint8_t *s = base + scale_offset(g), *m = base + centre_offset(g);
      uint8_t* scales = panel.scales + (g * kHalves + half) * kHalfBytes;
      if (F == Form::words)
        store(reinterpret_cast<float*>(scales), load_codes(s));
      else
        store_bytes(scales, scale_pairs(s));
      store(panel.centres + (g * kHalves + half) * kRows,
            centres<kBoth>(s, m, w.factors + from * 2));
    }
  }
}

// GCC 12 spills the eight sums of a tile unless each step pins them to registers.
#if defined(__GNUC__) && !defined(__clang__)
#define LAPWING_PIN(a)                                                                      \
  asm volatile(""                                                                           \
               : "+x"(a[0][0]), "+x"(a[0][1]), "+x"(a[1][0]), "+x"(a[1][1]), "+x"(a[2][0]), \
                 "+x"(a[2][1]), "+x"(a[3][0]), "+x"(a[3][1]))
#else
#define LAPWING_PIN(a) (void)0
#endif

// Sums of one group in 16 or 32 bits: 16 rows × T tokens (T ≤ 4; arrays are sized 4 for the pin).
// A step takes 4 bytes of each row and token: 4 k, or 2 as words.
template <Form F, size_t T>
static inline __attribute__((always_inline)) void panel_sums(const uint8_t* panel,
                                                             const uint8_t* const (&codes)[4],
                                                             __m256i (&a)[4][2]) {
  constexpr bool kWords = F == Form::words;
  constexpr size_t kSteps = kGroup / (kWords ? 2 : 4);
#pragma GCC unroll 16
  for (size_t step = 0; step < kSteps; ++step) {
    const uint8_t* at = panel + step * kHalves * kHalfBytes;
    const __m256i w0 = load_bytes(at), w1 = load_bytes(at + kHalfBytes);
#pragma GCC unroll 4
    for (size_t t = 0; t < T; ++t) {
      const __m256i v = broadcast4(codes[t] + step * 4);
      const auto add_product = [&](__m256i& sum, __m256i weights) {
        const __m256i product =
            kWords ? _mm256_madd_epi16(weights, v) : _mm256_maddubs_epi16(weights, v);
        if (step == 0)
          sum = product;
        else
          sum = kWords ? _mm256_add_epi32(sum, product) : _mm256_add_epi16(sum, product);
      };
      add_product(a[t][0], w0);
      add_product(a[t][1], w1);
    }
    if (T == 4) LAPWING_PIN(a);
  }
}

// Sums of one group of narrow codes, times the codes of s: 16 rows × T tokens. A step takes 8 k,
// which 16 bits hold four by four.
template <size_t T>
static inline __attribute__((always_inline)) void narrow_sums(const uint8_t* panel,
                                                              const uint8_t* scales,
                                                              const uint8_t* const (&codes)[4],
                                                              __m256i (&a)[4][2]) {
#pragma GCC unroll 4
  for (size_t step = 0; step < kGroup / 8; ++step) {
    const uint8_t* at = panel + step * 2 * kHalves * kHalfBytes;
    __m256i w[2][kHalves];
#pragma GCC unroll 2
    for (size_t part = 0; part < 2; ++part)
#pragma GCC unroll 2
      for (size_t half = 0; half < kHalves; ++half)
        w[part][half] = load_bytes(at + (part * kHalves + half) * kHalfBytes);
#pragma GCC unroll 4
    for (size_t t = 0; t < T; ++t) {
      const __m256i low = broadcast4(codes[t] + step * 8);
      const __m256i high = broadcast4(codes[t] + step * 8 + 4);
#pragma GCC unroll 2
      for (size_t half = 0; half < kHalves; ++half) {
        const __m256i four = _mm256_add_epi16(_mm256_maddubs_epi16(w[0][half], low),
                                              _mm256_maddubs_epi16(w[1][half], high));
        const __m256i product = _mm256_madd_epi16(four, load_bytes(scales + half * kHalfBytes));
        a[t][half] = step == 0 ? product : _mm256_add_epi32(a[t][half], product);
      }
    }
    if (T == 4) LAPWING_PIN(a);
  }
}

// Σ m·Σx of 16 rows × T tokens: a small product of its own, in registers.
template <size_t T>
static inline void panel_centres(const Panel& panel, const float* const (&sum)[4], size_t groups,
                                 F8 (&centred)[T][2]) {
#pragma GCC unroll 4
  for (size_t i = 0; i < T; ++i) centred[i][0] = centred[i][1] = zero();
  for (size_t g = 0; g < groups; ++g) {
    const F8 m0 = load(panel.centres + g * 16), m1 = load(panel.centres + g * 16 + 8);
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i) {
      const F8 v = set1(sum[i][g]);
      centred[i][0] = fma(m0, v, centred[i][0]);
      centred[i][1] = fma(m1, v, centred[i][1]);
    }
  }
}

template <Form F, size_t T>
static __attribute__((noinline)) void panel_tile(const PlaneView& w, const Panel& panel,
                                                 const QuantizedRows& x, size_t t, size_t rg,
                                                 size_t row_groups, const Epilogue& e, float* out) {
  const size_t groups = group_count(w.K);
  const uint8_t* codes[4];
  const float *scale[4], *sum[4];
  alignas(32) float scaled[4][2][8];  // in memory: the integer sums take the registers
  for (size_t i = 0; i < T; ++i) {
    const size_t row = (t + i) * groups;
    codes[i] = F == Form::words ? reinterpret_cast<const uint8_t*>(x.words + row * kGroup)
                                : reinterpret_cast<const uint8_t*>(x.codes + row * kGroup);
    scale[i] = x.scale + row;
    sum[i] = x.sum + row;
    store(scaled[i][0], zero());
    store(scaled[i][1], zero());
  }
  for (size_t g = 0; g < groups; ++g) {
    __m256i a[4][2];
    const uint8_t* group = panel.codes + g * kPanelGroupBytes<F>;
    const uint8_t* scales = panel.scales + g * kHalves * kHalfBytes;
    if constexpr (F == Form::bytes)
      narrow_sums<T>(group, scales, codes, a);
    else
      panel_sums<F, T>(group, codes, a);
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i) {
      codes[i] += kGroup * (F == Form::words ? 2 : 1);
      const F8 x_scale = set1(scale[i][g]);
#pragma GCC unroll 2
      for (size_t half = 0; half < kHalves; ++half) {
        const uint8_t* s = scales + half * kHalfBytes;
        const F8 total =
            F == Form::bytes ? _mm256_cvtepi32_ps(a[i][half])
            : F == Form::words
                ? mul(_mm256_cvtepi32_ps(a[i][half]), load(reinterpret_cast<const float*>(s)))
                : _mm256_cvtepi32_ps(_mm256_madd_epi16(a[i][half], load_bytes(s)));
        store(scaled[i][half], fma(total, x_scale, load(scaled[i][half])));
      }
    }
  }
  F8 centred[T][2];
  panel_centres<T>(panel, sum, groups, centred);
  const size_t n = rg * kRows, rest = w.N - n;
  const size_t count = row_groups < kHalves && rest > kRows ? kRows : rest;
  const float *first = w.factors + rg * 2, *second = first + (row_groups - 1) * 2;
  for (size_t i = 0; i < T; ++i)
    finish(join<kBothPlanes<F>>(load(scaled[i][0]), centred[i][0], first),
           join<kBothPlanes<F>>(load(scaled[i][1]), centred[i][1], second), e, t + i, n, count,
           out);
}
#undef LAPWING_PIN

template <Form F>
static void panel_linear(const PlaneView& w, const QuantizedRows& x, size_t T, size_t first,
                         size_t last, const Epilogue& e, float* out, uint8_t* scratch) {
  const size_t groups = group_count(w.K);
  Panel panel;
  panel.codes = scratch;
  panel.scales = scratch + groups * kPanelGroupBytes<F>;
  panel.centres = reinterpret_cast<float*>(panel.scales + groups * kHalves * kHalfBytes);
  for (size_t rg = first; rg < last; rg += kHalves) {
    const size_t row_groups = last - rg < kHalves ? 1 : kHalves;
    fill_panel<F>(w, rg, row_groups, panel);
    PlanesAhead ahead(w, kBothPlanes<F>, rg + kHalves, kHalves, ceil_div(T, 4));
    size_t t = 0;
    for (; t + 4 <= T; t += 4) {
      ahead.fetch();
      panel_tile<F, 4>(w, panel, x, t, rg, row_groups, e, out);
    }
    if (t < T) ahead.fetch();
    if (t + 3 == T) panel_tile<F, 3>(w, panel, x, t, rg, row_groups, e, out);
    if (t + 2 == T) panel_tile<F, 2>(w, panel, x, t, rg, row_groups, e, out);
    if (t + 1 == T) panel_tile<F, 1>(w, panel, x, t, rg, row_groups, e, out);
  }
}

}  // namespace lapwing::LAPWING_ISA
