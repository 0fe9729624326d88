// The integer linear on planes for AVX2: rows in lanes, activations broadcast, u4 × s8 by
// vpmaddubsw. A group of 32 stays exact in int16 (8 additions of at most 2·15·127 < 2^15) and is
// widened once. Few tokens read nibbles straight from the planes; many tokens share a panel of 16
// rows whose nibbles were split once.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

static inline __m256i load_bytes(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
static inline __m256i broadcast4(const int8_t* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}

struct GroupScales {
  F8 s, m;
};

// s and m of 8 rows for one group, as the formula of the precision wants them.
template <bool Both>
static inline GroupScales group_scales(const uint8_t* base, size_t g, F8 scale_factor,
                                       F8 centre_factor) {
  F8 s = mul(load_codes(base + scale_offset(g)), scale_factor);
  F8 m = mul(load_codes(reinterpret_cast<const int8_t*>(base + centre_offset(g))), centre_factor);
  if (Both) {
    m = fma(s, set1(-7.5f / 16), m);
    s = mul(s, set1(1.0f / 16));
  }
  return {s, m};
}

// Asks for the cache lines of one group in the next tile, into L2: a row group is too short for the
// hardware to see where the next one begins.
static inline void prefetch_group(const uint8_t* p) {
  for (size_t line = 0; line < kGroupNibbleBytes + 16; line += 64)
    __builtin_prefetch(p + line, 0, 2);
}

// Σ nibble·code over a group, R row groups × T tokens, as pairs in int16 lanes.
template <size_t R, size_t T>
static inline __attribute__((always_inline)) void nibble_sums(const uint8_t* const (&nibbles)[R],
                                                              size_t offset,
                                                              const int8_t* const (&codes)[T],
                                                              __m256i (&sums)[R][T]) {
  const __m256i mask = _mm256_set1_epi8(15);
#pragma GCC unroll 4
  for (size_t i = 0; i < kGroupUnits; ++i) {
    __m256i low[R], high[R];
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r) {
      const __m256i both = load_bytes(nibbles[r] + offset + i * kUnitBytes);
      low[r] = _mm256_and_si256(both, mask);
      high[r] = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
    }
#pragma GCC unroll 2
    for (size_t t = 0; t < T; ++t) {
      const __m256i x_low = broadcast4(codes[t] + i * 8), x_high = broadcast4(codes[t] + i * 8 + 4);
#pragma GCC unroll 2
      for (size_t r = 0; r < R; ++r) {
        const __m256i a = _mm256_maddubs_epi16(low[r], x_low);
        const __m256i b = _mm256_maddubs_epi16(high[r], x_high);
        sums[r][t] =
            i == 0 ? _mm256_add_epi16(a, b) : _mm256_add_epi16(_mm256_add_epi16(sums[r][t], a), b);
      }
    }
  }
}

// R consecutive row groups × T tokens, nibbles straight from the planes. Two row groups share the
// broadcasts of one token, two tokens share the split nibbles of one row group.
template <bool Both, size_t R, size_t T>
static inline void direct_tile(const PlaneView& w, const QuantizedRows& x, size_t t, size_t rg,
                               const Epilogue& e, float* out) {
  static_assert(R * T <= 2);
  const size_t groups = group_count(w.K);
  const __m256i ones = _mm256_set1_epi16(1), sixteens = _mm256_set1_epi16(16);
  const uint8_t *base[R], *refine[R];
  F8 scale_factor[R], centre_factor[R], acc[R][T];
#pragma GCC unroll 2
  for (size_t r = 0; r < R; ++r) {
    base[r] = w.base + (rg + r) * base_stride(w.K);
    refine[r] = Both ? w.refine + (rg + r) * refine_stride(w.K) : nullptr;
    scale_factor[r] = set1(w.factors[(rg + r) * 2]);
    centre_factor[r] = set1(w.factors[(rg + r) * 2 + 1]);
#pragma GCC unroll 2
    for (size_t i = 0; i < T; ++i) acc[r][i] = zero();
  }
  for (size_t g = 0; g < groups; ++g) {
    const int8_t* codes[T];
#pragma GCC unroll 2
    for (size_t i = 0; i < T; ++i) codes[i] = x.codes + ((t + i) * groups + g) * kGroup;
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r) {
      prefetch_group(base[r] + base_nibble_offset(g) + R * base_stride(w.K));
      if (Both) prefetch_group(refine[r] + refine_nibble_offset(g) + R * refine_stride(w.K));
    }
    __m256i hi[R][T], lo[R][T];
    nibble_sums<R, T>(base, base_nibble_offset(g), codes, hi);
    if (Both) nibble_sums<R, T>(refine, refine_nibble_offset(g), codes, lo);
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r) {
      const GroupScales group = group_scales<Both>(base[r], g, scale_factor[r], centre_factor[r]);
#pragma GCC unroll 2
      for (size_t i = 0; i < T; ++i) {
        __m256i total = _mm256_madd_epi16(hi[r][i], Both ? sixteens : ones);
        if (Both) total = _mm256_add_epi32(total, _mm256_madd_epi16(lo[r][i], ones));
        const size_t at = (t + i) * groups + g;
        acc[r][i] = fma(group.m, set1(x.sum[at]), acc[r][i]);
        acc[r][i] = fma(mul(_mm256_cvtepi32_ps(total), set1(x.scale[at])), group.s, acc[r][i]);
      }
    }
  }
#pragma GCC unroll 2
  for (size_t r = 0; r < R; ++r) {
    const size_t n = (rg + r) * kRows;
#pragma GCC unroll 2
    for (size_t i = 0; i < T; ++i) finish(acc[r][i], e, w.N, t + i, n, w.N - n, out);
  }
}

// Two row groups unpacked: per group and plane 8 steps of 4 k × 16 rows × 1 byte, then s and m.
struct Panel {
  uint8_t *high, *low;  // [groups][8][2][32]
  float *s, *m;         // [groups][2][8]
};
constexpr size_t kPanelGroupBytes = kPanelRows * kGroup;

static inline void split_nibbles(const uint8_t* nibbles, size_t half, uint8_t* panel) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (size_t i = 0; i < kGroupUnits; ++i) {
    const __m256i both = load_bytes(nibbles + i * kUnitBytes);
    auto* to = reinterpret_cast<__m256i*>(panel + (2 * i * 2 + half) * kUnitBytes);
    _mm256_store_si256(to, _mm256_and_si256(both, mask));
    _mm256_store_si256(to + 2, _mm256_and_si256(_mm256_srli_epi16(both, 4), mask));
  }
}

template <bool Both>
static void fill_panel(const PlaneView& w, size_t rg, size_t row_groups, Panel& panel) {
  const size_t groups = group_count(w.K);
  for (size_t half = 0; half < 2; ++half) {
    // The second half of an odd last panel repeats the first; its results are not written.
    const size_t from = rg + (half < row_groups ? half : 0);
    const uint8_t* base = w.base + from * base_stride(w.K);
    const uint8_t* refine = Both ? w.refine + from * refine_stride(w.K) : nullptr;
    const F8 scale_factor = set1(w.factors[from * 2]);
    const F8 centre_factor = set1(w.factors[from * 2 + 1]);
    for (size_t g = 0; g < groups; ++g) {
      split_nibbles(base + base_nibble_offset(g), half, panel.high + g * kPanelGroupBytes);
      if (Both)
        split_nibbles(refine + refine_nibble_offset(g), half, panel.low + g * kPanelGroupBytes);
      const GroupScales scales = group_scales<Both>(base, g, scale_factor, centre_factor);
      store(panel.s + (g * 2 + half) * 8, scales.s);
      store(panel.m + (g * 2 + half) * 8, scales.m);
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

// int16 sums of one group: 16 rows × T tokens (T ≤ 4; arrays are sized 4 for the pin).
template <size_t T>
static inline __attribute__((always_inline)) void panel_sums(const uint8_t* panel,
                                                             const int8_t* const (&codes)[4],
                                                             size_t offset, __m256i (&a)[4][2]) {
#pragma GCC unroll 8
  for (size_t k4 = 0; k4 < kGroup / 4; ++k4) {
    const __m256i w0 = load_bytes(panel + k4 * 64), w1 = load_bytes(panel + k4 * 64 + 32);
#pragma GCC unroll 4
    for (size_t t = 0; t < T; ++t) {
      const __m256i v = broadcast4(codes[t] + offset + k4 * 4);
      if (k4 == 0) {
        a[t][0] = _mm256_maddubs_epi16(w0, v);
        a[t][1] = _mm256_maddubs_epi16(w1, v);
      } else {
        a[t][0] = _mm256_add_epi16(a[t][0], _mm256_maddubs_epi16(w0, v));
        a[t][1] = _mm256_add_epi16(a[t][1], _mm256_maddubs_epi16(w1, v));
      }
    }
    if (T == 4) LAPWING_PIN(a);
  }
}

template <bool Both, size_t T>
static __attribute__((noinline)) void panel_tile4(const Panel& panel, const QuantizedRows& x,
                                                  size_t t, size_t groups, float (&acc)[4][2][8]) {
  const __m256i ones = _mm256_set1_epi16(1), sixteens = _mm256_set1_epi16(16);
  const int8_t* codes[4];
  const float *scale[4], *sum[4];
  for (size_t i = 0; i < T; ++i) {
    codes[i] = x.codes + (t + i) * groups * kGroup;
    scale[i] = x.scale + (t + i) * groups;
    sum[i] = x.sum + (t + i) * groups;
    store(acc[i][0], zero());
    store(acc[i][1], zero());
  }
  for (size_t g = 0; g < groups; ++g) {
    __m256i a[4][2];
    alignas(32) int32_t high[4][2][8];
    panel_sums<T>(panel.high + g * kPanelGroupBytes, codes, g * kGroup, a);
    if (Both) {
      for (size_t i = 0; i < T; ++i)
        for (size_t half = 0; half < 2; ++half)
          _mm256_store_si256(reinterpret_cast<__m256i*>(high[i][half]),
                             _mm256_madd_epi16(a[i][half], sixteens));
      asm volatile("" ::: "memory");  // keeps the stored sums out of the registers of the next pass
      panel_sums<T>(panel.low + g * kPanelGroupBytes, codes, g * kGroup, a);
    }
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const F8 s = load(panel.s + (g * 2 + half) * 8), m = load(panel.m + (g * 2 + half) * 8);
#pragma GCC unroll 4
      for (size_t i = 0; i < T; ++i) {
        __m256i total = _mm256_madd_epi16(a[i][half], ones);
        if (Both)
          total = _mm256_add_epi32(
              total, _mm256_load_si256(reinterpret_cast<const __m256i*>(high[i][half])));
        F8 v = fma(m, set1(sum[i][g]), load(acc[i][half]));
        v = fma(mul(_mm256_cvtepi32_ps(total), set1(scale[i][g])), s, v);
        store(acc[i][half], v);
      }
    }
  }
}
#undef LAPWING_PIN

template <bool Both, size_t T>
static inline void panel_tokens(const PlaneView& w, const Panel& panel, const QuantizedRows& x,
                                size_t t, size_t rg, size_t row_groups, const Epilogue& e,
                                float* out) {
  alignas(32) float acc[4][2][8];
  panel_tile4<Both, T>(panel, x, t, group_count(w.K), acc);
  for (size_t i = 0; i < T; ++i)
    for (size_t half = 0; half < row_groups; ++half) {
      const size_t n = (rg + half) * kRows;
      finish(load(acc[i][half]), e, w.N, t + i, n, w.N - n, out);
    }
}

template <bool Both>
static void plane_linear_at(const PlaneView& w, const QuantizedRows& x, size_t T, size_t first,
                            size_t last, const Epilogue& e, float* out, uint8_t* scratch) {
  constexpr size_t kDirectTokens = 6;  // below this, splitting nibbles per tile costs less
  if (T < kDirectTokens) {
    size_t t = 0;
    for (; t + 2 <= T; t += 2)
      for (size_t rg = first; rg < last; ++rg) direct_tile<Both, 1, 2>(w, x, t, rg, e, out);
    if (t < T) {
      size_t rg = first;
      for (; rg + 2 <= last; rg += 2) direct_tile<Both, 2, 1>(w, x, t, rg, e, out);
      for (; rg < last; ++rg) direct_tile<Both, 1, 1>(w, x, t, rg, e, out);
    }
    return;
  }
  const size_t groups = group_count(w.K), bytes = groups * kPanelGroupBytes;
  Panel panel;
  panel.high = scratch;
  panel.low = scratch + bytes;
  panel.s = reinterpret_cast<float*>(scratch + 2 * bytes);
  panel.m = panel.s + groups * kPanelRows;
  for (size_t rg = first; rg < last; rg += 2) {
    const size_t row_groups = last - rg < 2 ? 1 : 2;
    fill_panel<Both>(w, rg, row_groups, panel);
    size_t t = 0;
    for (; t + 4 <= T; t += 4) panel_tokens<Both, 4>(w, panel, x, t, rg, row_groups, e, out);
    for (; t + 2 <= T; t += 2) panel_tokens<Both, 2>(w, panel, x, t, rg, row_groups, e, out);
    for (; t < T; ++t) panel_tokens<Both, 1>(w, panel, x, t, rg, row_groups, e, out);
  }
}

static void plane_linear(const PlaneView& w, Precision precision, const QuantizedRows& x, size_t T,
                         size_t first, size_t last, const Epilogue& e, float* out,
                         uint8_t* scratch) {
  if (precision == Precision::int8)
    plane_linear_at<true>(w, x, T, first, last, e, out, scratch);
  else
    plane_linear_at<false>(w, x, T, first, last, e, out, scratch);
}

}  // namespace lapwing::LAPWING_ISA
