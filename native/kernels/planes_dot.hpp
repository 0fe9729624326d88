// The integer linear on planes where four bytes of one row are multiplied and added into int32 at
// once: rows in lanes, activations broadcast, both planes joined to whole bytes. Written on the
// vocabulary of bytes_*.hpp and panel_*.hpp. Few tokens read nibbles straight from the planes, many
// share a panel of 16 rows. Sums are exact, floats in the order of planes_plain.hpp.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

constexpr size_t kWordsFrom = SIZE_MAX;

// R row groups, `apart` from one another, × T tokens, nibbles straight from the planes. Row groups
// that lie far apart are streams of their own.
template <bool Both, size_t R, size_t T>
static __attribute__((noinline)) void direct_tile(const PlaneView& w, const QuantizedRows& x,
                                                  size_t t, size_t rg, size_t apart,
                                                  const Epilogue& e, float* out) {
  constexpr size_t kAhead = 1024;  // bytes, of each stream
  const size_t groups = group_count(w.K);
  const uint8_t *base[R], *refine[R];
  const int8_t* codes[T];
  const float *scale[T], *sum[T];
  F8 scaled[R][T], centred[R][T];
#pragma GCC unroll 4
  for (size_t r = 0; r < R; ++r) {
    base[r] = w.base + (rg + r * apart) * base_stride(w.K);
    refine[r] = Both ? w.refine + (rg + r * apart) * refine_stride(w.K) : nullptr;
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i) scaled[r][i] = centred[r][i] = zero();
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < T; ++i) {
    codes[i] = x.codes + (t + i) * groups * kGroup;
    scale[i] = x.scale + (t + i) * groups;
    sum[i] = x.sum + (t + i) * groups;
  }
  for (size_t g = 0; g < groups; ++g) {
    Ints sums[R][T];
#pragma GCC unroll 4
    for (size_t r = 0; r < R; ++r) {
      const uint8_t* line = base[r] + base_nibble_offset(g) + kAhead;
      __builtin_prefetch(line, 0, 2);
      __builtin_prefetch(line + 64, 0, 2);
      if (Both) {
        line = refine[r] + refine_nibble_offset(g) + kAhead;
        __builtin_prefetch(line, 0, 2);
        __builtin_prefetch(line + 64, 0, 2);
      }
#pragma GCC unroll 4
      for (size_t i = 0; i < T; ++i) sums[r][i] = first_sum<Both>(codes[i] + g * kGroup);
    }
#pragma GCC unroll 4
    for (size_t u = 0; u < kGroupUnits; ++u) {
#pragma GCC unroll 4
      for (size_t r = 0; r < R; ++r) {
        const Codes high = load_nibbles(base[r] + base_nibble_offset(g) + u * kUnitBytes);
        Codes first = low_codes(high), second = high_codes(high);
        if (Both) {
          const Codes low = load_nibbles(refine[r] + refine_nibble_offset(g) + u * kUnitBytes);
          first = low_codes(high, low), second = high_codes(high, low);
        }
#pragma GCC unroll 4
        for (size_t i = 0; i < T; ++i) {
          const int8_t* at = codes[i] + g * kGroup + u * 8;
          sums[r][i] = dot(sums[r][i], first, broadcast4(at));
          sums[r][i] = dot(sums[r][i], second, broadcast4(at + 4));
        }
      }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < R; ++r) {
      const uint8_t *s_codes = base[r] + scale_offset(g), *m_codes = base[r] + centre_offset(g);
      const F8 s = load_codes(s_codes);
      const F8 m = centres<Both>(s_codes, m_codes, w.factors + (rg + r * apart) * 2);
#pragma GCC unroll 4
      for (size_t i = 0; i < T; ++i) {
        const F8 v = mul(s, to_floats(sums[r][i]));
        scaled[r][i] = fma(v, set1(scale[i][g]), scaled[r][i]);
        centred[r][i] = fma(m, set1(sum[i][g]), centred[r][i]);
      }
    }
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

// Two row groups unpacked: the codes of each group as put_unit orders them, then those of s and m.
struct Panel {
  uint8_t* codes;  // [groups][512]
  float *s, *m;    // [groups][16]
};
constexpr size_t kPanelGroupBytes = kPanelRows * kGroup;

template <bool Both>
static void fill_panel(const PlaneView& w, size_t rg, size_t row_groups, const Panel& panel) {
  const size_t groups = group_count(w.K);
  for (size_t half = 0; half < 2; ++half) {
    // The second half of an odd last panel repeats the first; its results are not written.
    const size_t from = rg + (half < row_groups ? half : 0);
    const uint8_t* base = w.base + from * base_stride(w.K);
    const uint8_t* refine = Both ? w.refine + from * refine_stride(w.K) : nullptr;
    for (size_t g = 0; g < groups; ++g) {
      uint8_t* to = panel.codes + g * kPanelGroupBytes;
      for (size_t u = 0; u < kGroupUnits; ++u) {
        const Codes high = load_nibbles(base + base_nibble_offset(g) + u * kUnitBytes);
        if (Both) {
          const Codes low = load_nibbles(refine + refine_nibble_offset(g) + u * kUnitBytes);
          put_unit(to, u, half, low_codes(high, low), high_codes(high, low));
        } else {
          put_unit(to, u, half, low_codes(high), high_codes(high));
        }
      }
      const uint8_t *s_codes = base + scale_offset(g), *m_codes = base + centre_offset(g);
      store(panel.s + g * kPanelRows + half * kRows, load_codes(s_codes));
      store(panel.m + g * kPanelRows + half * kRows,
            centres<Both>(s_codes, m_codes, w.factors + from * 2));
    }
  }
}

// Σ m·Σx of 16 rows × T tokens: a small product of its own, in registers → out [T][16].
template <size_t T>
static inline void panel_centres(const Panel& panel, const float* const (&sum)[T], size_t groups,
                                 float (&out)[T][kPanelRows]) {
  constexpr size_t kLanes = kPanelRows / kPanelVectors;
  PanelFloats centred[T][kPanelVectors];
#pragma GCC unroll 8
  for (size_t i = 0; i < T; ++i)
#pragma GCC unroll 2
    for (size_t v = 0; v < kPanelVectors; ++v) centred[i][v] = panel_set1(0);
  for (size_t g = 0; g < groups; ++g)
#pragma GCC unroll 2
    for (size_t v = 0; v < kPanelVectors; ++v) {
      const PanelFloats m = panel_load(panel.m + g * kPanelRows + v * kLanes);
#pragma GCC unroll 8
      for (size_t i = 0; i < T; ++i) centred[i][v] = fma(m, panel_set1(sum[i][g]), centred[i][v]);
    }
#pragma GCC unroll 8
  for (size_t i = 0; i < T; ++i)
#pragma GCC unroll 2
    for (size_t v = 0; v < kPanelVectors; ++v) store(out[i] + v * kLanes, centred[i][v]);
}

template <bool Both, size_t T>
static __attribute__((noinline)) void panel_tile(const PlaneView& w, const Panel& panel,
                                                 const QuantizedRows& x, size_t t, size_t rg,
                                                 size_t row_groups, const Epilogue& e, float* out) {
  constexpr size_t kLanes = kPanelRows / kPanelVectors;
  const size_t groups = group_count(w.K);
  const int8_t* codes[T];
  const float *scale[T], *sum[T];
  alignas(64) float scaled[T][kPanelRows], centred[T][kPanelRows];
  for (size_t i = 0; i < T; ++i) {
    codes[i] = x.codes + (t + i) * groups * kGroup;
    scale[i] = x.scale + (t + i) * groups;
    sum[i] = x.sum + (t + i) * groups;
    // In memory: the integer sums take the registers.
    for (float& each : scaled[i]) each = 0;
  }
  for (size_t g = 0; g < groups; ++g) {
    PanelInts sums[T][kPanelVectors];
    panel_sums<Both, T>(panel.codes + g * kPanelGroupBytes, codes, sums);
#pragma GCC unroll 2
    for (size_t v = 0; v < kPanelVectors; ++v) {
      const PanelFloats s = panel_load(panel.s + g * kPanelRows + v * kLanes);
#pragma GCC unroll 8
      for (size_t i = 0; i < T; ++i) {
        float* at = scaled[i] + v * kLanes;
        store(at, fma(mul(s, to_floats(sums[i][v])), panel_set1(scale[i][g]), panel_load(at)));
      }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < T; ++i) codes[i] += kGroup;
  }
  panel_centres<T>(panel, sum, groups, centred);
  const size_t n = rg * kRows, rest = w.N - n;
  const size_t count = row_groups < 2 && rest > kRows ? kRows : rest;
  const float *first = w.factors + rg * 2, *second = first + (row_groups - 1) * 2;
  for (size_t i = 0; i < T; ++i)
    finish(join<Both>(load(scaled[i]), load(centred[i]), first),
           join<Both>(load(scaled[i] + kRows), load(centred[i] + kRows), second), e, t + i, n,
           count, out);
}

// All tokens from `t` on, in tiles of S, then of half as many, down to one.
template <bool Both, size_t S>
static inline void panel_tiles(const PlaneView& w, const Panel& panel, const QuantizedRows& x,
                               size_t t, size_t T, size_t rg, size_t row_groups, const Epilogue& e,
                               float* out, PlanesAhead& ahead) {
  for (; t + S <= T; t += S) {
    ahead.fetch();
    panel_tile<Both, S>(w, panel, x, t, rg, row_groups, e, out);
  }
  if constexpr (S > 1) panel_tiles<Both, S / 2>(w, panel, x, t, T, rg, row_groups, e, out, ahead);
}

// Two tokens and more.
template <bool Both>
static void several_tokens(const PlaneView& w, const QuantizedRows& x, size_t T, size_t first,
                           size_t last, const Epilogue& e, float* out, uint8_t* scratch) {
  if (T < kManyCodes) {
    for (size_t rg = first; rg < last; ++rg) {
      size_t t = 0;
      for (; t + 4 <= T; t += 4) direct_tile<Both, 1, 4>(w, x, t, rg, 1, e, out);
      if (t + 3 == T) direct_tile<Both, 1, 3>(w, x, t, rg, 1, e, out);
      if (t + 2 == T) direct_tile<Both, 1, 2>(w, x, t, rg, 1, e, out);
      if (t + 1 == T) direct_tile<Both, 1, 1>(w, x, t, rg, 1, e, out);
    }
    return;
  }
  const size_t groups = group_count(w.K);
  Panel panel;
  panel.codes = scratch;
  panel.s = reinterpret_cast<float*>(scratch + groups * kPanelGroupBytes);
  panel.m = panel.s + groups * kPanelRows;
  for (size_t rg = first; rg < last; rg += 2) {
    const size_t row_groups = last - rg < 2 ? 1 : 2;
    fill_panel<Both>(w, rg, row_groups, panel);
    PlanesAhead ahead(w, Both, rg + 2, 2, ceil_div(T, kPanelTokens));
    panel_tiles<Both, kPanelTokens>(w, panel, x, 0, T, rg, row_groups, e, out, ahead);
  }
}

}  // namespace lapwing::LAPWING_ISA
