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

// A sum stays the chain of additions it is written as, in one register: GCC would turn several into
// a tree, with more halves to remember than there are registers.
static inline void keep(__m256i& sum) { asm("" : "+x"(sum)); }

// A finished row group: Σ s_code·v and Σ m_code·Σx, times the factors they share.
template <bool Both>
static inline F8 join(F8 scaled, F8 centred, const float* factors) {
  const float scale_factor = Both ? factors[0] * (1.0f / 16) : factors[0];
  return fma(centred, set1(factors[1]), mul(scaled, set1(scale_factor)));
}

// v of a group: the integer sums in units of the activations; see planes_plain.hpp.
template <bool Both>
static inline F8 group_value(__m256i total, F8 scale, F8 sum) {
  const F8 v = mul(_mm256_cvtepi32_ps(total), scale);
  return Both ? fma(set1(-7.5f), sum, v) : v;
}

static inline F8 centre_codes(const uint8_t* p) {
  return load_codes(reinterpret_cast<const int8_t*>(p));
}

// R row groups, `apart` from one another, × T tokens, nibbles straight from the planes. Row groups
// share the broadcasts of a token, two tokens the split nibbles of a row group. Row groups that lie
// far apart are streams of their own: memory and its prefetchers serve several long runs faster
// than one, and much faster than short ones side by side (benchmarks/NOTES.md).
template <bool Both, size_t R, size_t T>
static void direct_tile(const PlaneView& w, const QuantizedRows& x, size_t t, size_t rg,
                        size_t apart, const Epilogue& e, float* out) {
  static_assert(R * T <= 2);
  constexpr size_t kPlanes = Both ? 2 : 1, kAhead = 1024;  // bytes, of each stream
  const size_t groups = group_count(w.K);
  const size_t base_bytes = apart * base_stride(w.K), refine_bytes = apart * refine_stride(w.K);
  const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  const __m256i sixteens = _mm256_set1_epi16(16);
  const uint8_t* base = w.base + rg * base_stride(w.K);
  const uint8_t* refine = Both ? w.refine + rg * refine_stride(w.K) : nullptr;
  const int8_t* codes = x.codes + t * groups * kGroup;
  const float *scale = x.scale + t * groups, *sum = x.sum + t * groups;
  F8 scaled[R][T], centred[R][T];
#pragma GCC unroll 4
  for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i) scaled[r][i] = centred[r][i] = zero();

  for (size_t first = 0; first < groups; first += kBlockGroups) {
    const size_t count = groups - first < kBlockGroups ? groups - first : kBlockGroups;
    const auto prefetch = [](const uint8_t* p) { __builtin_prefetch(p + kAhead, 0, 2); };
#pragma GCC unroll 4
    for (size_t r = 0; r < R; ++r) prefetch(base + r * base_bytes);
    for (size_t g = 0; g < count; ++g) {
#pragma GCC unroll 4
      for (size_t r = 0; r < R; ++r) {
        const uint8_t* line = base + r * base_bytes + g * kGroupNibbleBytes;
        prefetch(line + 64);
        prefetch(line + 128);
        if (Both) {
          line = refine + r * refine_bytes + g * kGroupNibbleBytes;
          prefetch(line);
          prefetch(line + 64);
        }
      }
      __m256i sums[kPlanes][R][T];
#pragma GCC unroll 4
      for (size_t u = 0; u < kGroupUnits; ++u) {
        const size_t at = g * kGroupNibbleBytes + u * kUnitBytes;
        __m256i x_low[T], x_high[T];
#pragma GCC unroll 4
        for (size_t i = 0; i < T; ++i) {
          x_low[i] = broadcast4(codes + i * groups * kGroup + u * 8);
          x_high[i] = broadcast4(codes + i * groups * kGroup + u * 8 + 4);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 4
          for (size_t p = 0; p < kPlanes; ++p) {
            const __m256i both =
                load_bytes(p == 0 ? base + r * base_bytes + offsetof(BaseBlock, nibbles) + at
                                  : refine + r * refine_bytes + at);
            const __m256i low = _mm256_and_si256(both, mask);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
#pragma GCC unroll 4
            for (size_t i = 0; i < T; ++i) {
              const __m256i a = _mm256_maddubs_epi16(low, x_low[i]);
              const __m256i b = _mm256_maddubs_epi16(high, x_high[i]);
              sums[p][r][i] = _mm256_add_epi16(u == 0 ? a : _mm256_add_epi16(sums[p][r][i], a), b);
              keep(sums[p][r][i]);
            }
          }
      }
#pragma GCC unroll 4
      for (size_t r = 0; r < R; ++r) {
        const F8 s = load_codes(base + r * base_bytes + g * kRows);
        const F8 m = centre_codes(base + r * base_bytes + offsetof(BaseBlock, centre) + g * kRows);
#pragma GCC unroll 4
        for (size_t i = 0; i < T; ++i) {
          __m256i total = _mm256_madd_epi16(sums[0][r][i], Both ? sixteens : ones);
          if (Both)
            total = _mm256_add_epi32(total, _mm256_madd_epi16(sums[kPlanes - 1][r][i], ones));
          const F8 x_sum = set1(sum[i * groups + first + g]);
          const F8 x_scale = set1(scale[i * groups + first + g]);
          scaled[r][i] = fma(s, group_value<Both>(total, x_scale, x_sum), scaled[r][i]);
          centred[r][i] = fma(m, x_sum, centred[r][i]);
        }
      }
      codes += kGroup;
    }
    base += sizeof(BaseBlock);
    if (Both) refine += sizeof(RefineBlock);
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < R; ++r) {
    const size_t group = rg + r * apart, n = group * kRows;
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i)
      finish(join<Both>(scaled[r][i], centred[r][i], w.factors + group * 2), e, t + i, n, w.N - n,
             out);
  }
}

// One row group × T tokens, nibbles straight from the planes, split once for all of them: one plane
// after the other, so that only T sums are open at a time.
template <bool Both, size_t T>
static __attribute__((noinline)) void shared_tile(const PlaneView& w, const QuantizedRows& x,
                                                  size_t t, size_t rg, const Epilogue& e,
                                                  float* out) {
  const size_t groups = group_count(w.K);
  const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  const uint8_t* base = w.base + rg * base_stride(w.K);
  const uint8_t* refine = Both ? w.refine + rg * refine_stride(w.K) : nullptr;
  const int8_t* codes[T];
  const float *scale[T], *sum[T];
  F8 scaled[T], centred[T];
#pragma GCC unroll 4
  for (size_t i = 0; i < T; ++i) {
    codes[i] = x.codes + (t + i) * groups * kGroup;
    scale[i] = x.scale + (t + i) * groups;
    sum[i] = x.sum + (t + i) * groups;
    scaled[i] = centred[i] = zero();
  }
  for (size_t g = 0; g < groups; ++g) {
    const auto plane_sums = [&](const uint8_t* nibbles, __m256i(&sums)[T]) {
#pragma GCC unroll 4
      for (size_t u = 0; u < kGroupUnits; ++u) {
        const __m256i both = load_bytes(nibbles + u * kUnitBytes);
        const __m256i low = _mm256_and_si256(both, mask);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
#pragma GCC unroll 4
        for (size_t i = 0; i < T; ++i) {
          const int8_t* at = codes[i] + g * kGroup + u * 8;
          const __m256i a = _mm256_maddubs_epi16(low, broadcast4(at));
          const __m256i b = _mm256_maddubs_epi16(high, broadcast4(at + 4));
          sums[i] = _mm256_add_epi16(u == 0 ? a : _mm256_add_epi16(sums[i], a), b);
          keep(sums[i]);
        }
      }
    };
    __m256i sums[T], totals[T];
    plane_sums(base + base_nibble_offset(g), sums);
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i)
      totals[i] = _mm256_madd_epi16(sums[i], Both ? _mm256_set1_epi16(16) : ones);
    if (Both) {
      plane_sums(refine + refine_nibble_offset(g), sums);
#pragma GCC unroll 4
      for (size_t i = 0; i < T; ++i)
        totals[i] = _mm256_add_epi32(totals[i], _mm256_madd_epi16(sums[i], ones));
    }
    const F8 s = load_codes(base + scale_offset(g)), m = centre_codes(base + centre_offset(g));
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i) {
      const F8 x_sum = set1(sum[i][g]);
      scaled[i] = fma(s, group_value<Both>(totals[i], set1(scale[i][g]), x_sum), scaled[i]);
      centred[i] = fma(m, x_sum, centred[i]);
    }
  }
  const size_t n = rg * kRows;
#pragma GCC unroll 4
  for (size_t i = 0; i < T; ++i)
    finish(join<Both>(scaled[i], centred[i], w.factors + rg * 2), e, t + i, n, w.N - n, out);
}

// Two row groups unpacked: per group and plane 8 steps of 4 k × 16 rows × 1 byte, then the codes of
// s and m as floats.
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
    for (size_t g = 0; g < groups; ++g) {
      split_nibbles(base + base_nibble_offset(g), half, panel.high + g * kPanelGroupBytes);
      if (Both)
        split_nibbles(refine + refine_nibble_offset(g), half, panel.low + g * kPanelGroupBytes);
      store(panel.s + (g * 2 + half) * 8, load_codes(base + scale_offset(g)));
      store(panel.m + (g * 2 + half) * 8, centre_codes(base + centre_offset(g)));
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

// Σ m_code·Σx of 16 rows × T tokens: a small product of its own, in registers.
template <size_t T>
static inline void panel_centres(const Panel& panel, const float* const (&sum)[4], size_t groups,
                                 F8 (&centred)[T][2]) {
#pragma GCC unroll 4
  for (size_t i = 0; i < T; ++i) centred[i][0] = centred[i][1] = zero();
  for (size_t g = 0; g < groups; ++g) {
    const F8 m0 = load(panel.m + g * 16), m1 = load(panel.m + g * 16 + 8);
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i) {
      const F8 v = set1(sum[i][g]);
      centred[i][0] = fma(m0, v, centred[i][0]);
      centred[i][1] = fma(m1, v, centred[i][1]);
    }
  }
}

template <bool Both, size_t T>
static __attribute__((noinline)) void panel_tile(const PlaneView& w, const Panel& panel,
                                                 const QuantizedRows& x, size_t t, size_t rg,
                                                 size_t row_groups, const Epilogue& e, float* out) {
  const size_t groups = group_count(w.K);
  const __m256i ones = _mm256_set1_epi16(1), sixteens = _mm256_set1_epi16(16);
  const int8_t* codes[4];
  const float *scale[4], *sum[4];
  alignas(32) float scaled[4][2][8];  // in memory: the integer sums take the registers
  for (size_t i = 0; i < T; ++i) {
    codes[i] = x.codes + (t + i) * groups * kGroup;
    scale[i] = x.scale + (t + i) * groups;
    sum[i] = x.sum + (t + i) * groups;
    store(scaled[i][0], zero());
    store(scaled[i][1], zero());
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
      const F8 s = load(panel.s + (g * 2 + half) * 8);
#pragma GCC unroll 4
      for (size_t i = 0; i < T; ++i) {
        __m256i total = _mm256_madd_epi16(a[i][half], ones);
        if (Both)
          total = _mm256_add_epi32(
              total, _mm256_load_si256(reinterpret_cast<const __m256i*>(high[i][half])));
        const F8 v = group_value<Both>(total, set1(scale[i][g]), set1(sum[i][g]));
        store(scaled[i][half], fma(s, v, load(scaled[i][half])));
      }
    }
  }
  F8 centred[T][2];
  panel_centres<T>(panel, sum, groups, centred);
  for (size_t i = 0; i < T; ++i)
    for (size_t half = 0; half < row_groups; ++half) {
      const size_t n = (rg + half) * kRows;
      const float* factors = w.factors + (rg + half) * 2;
      finish(join<Both>(load(scaled[i][half]), centred[i][half], factors), e, t + i, n, w.N - n,
             out);
    }
}
#undef LAPWING_PIN

template <bool Both>
static void plane_linear_at(const PlaneView& w, const QuantizedRows& x, size_t T, size_t first,
                            size_t last, const Epilogue& e, float* out, uint8_t* scratch) {
  if (T == 1) {
    constexpr size_t kStreams = 2;  // of each plane
    const size_t apart = (last - first) / kStreams;
    for (size_t rg = first; rg < first + apart; ++rg)
      direct_tile<Both, kStreams, 1>(w, x, 0, rg, apart, e, out);
    for (size_t rg = first + kStreams * apart; rg < last; ++rg)
      direct_tile<Both, 1, 1>(w, x, 0, rg, 1, e, out);
    return;
  }
  constexpr size_t kDirectTokens = 12;  // below this, splitting nibbles per tile costs less
  if (T < kDirectTokens) {
    for (size_t rg = first; rg < last; ++rg) {
      size_t t = 0;
      for (; t + 4 <= T; t += 4) shared_tile<Both, 4>(w, x, t, rg, e, out);
      if (t + 3 == T) shared_tile<Both, 3>(w, x, t, rg, e, out);
      if (t + 2 == T) direct_tile<Both, 1, 2>(w, x, t, rg, 1, e, out);
      if (t + 1 == T) direct_tile<Both, 1, 1>(w, x, t, rg, 1, e, out);
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
    for (; t + 4 <= T; t += 4) panel_tile<Both, 4>(w, panel, x, t, rg, row_groups, e, out);
    for (; t + 2 <= T; t += 2) panel_tile<Both, 2>(w, panel, x, t, rg, row_groups, e, out);
    for (; t < T; ++t) panel_tile<Both, 1>(w, panel, x, t, rg, row_groups, e, out);
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
