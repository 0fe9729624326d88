// Many tokens times float weights: sixteen outputs side by side in a panel of float32, made once
// for all tokens of a block. A token's inputs are broadcast, so nothing is summed across lanes.
//
// An output has as many chains as its layout has in dense.hpp, input k in chain k mod C, k
// ascending: the bits of one token alone. All tokens pass one chain of a panel, which stays in L1,
// before they pass the next; to that end tokens are packed by chain, too, and sums rest in memory.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// The sixteen outputs of a panel's row.
#if defined(__AVX512F__)
using Row16 = __m512;
constexpr size_t kTileTokens = 12;  // × 16 outputs: what L1 holds the inputs of
inline Row16 zero16() { return _mm512_setzero_ps(); }
inline Row16 load16(const float* p) { return _mm512_loadu_ps(p); }
inline void store16(float* p, Row16 a) { _mm512_storeu_ps(p, a); }
inline Row16 fma16(float x, Row16 w, Row16 sum) {
  return _mm512_fmadd_ps(_mm512_set1_ps(x), w, sum);
}
#else
struct Row16 {
  F8 low, high;
};
constexpr size_t kTileTokens = 6;  // × 16 outputs: what registers hold
inline Row16 zero16() { return {zero(), zero()}; }
inline Row16 load16(const float* p) { return {load(p), load(p + 8)}; }
inline void store16(float* p, Row16 a) {
  store(p, a.low);
  store(p + 8, a.high);
}
inline Row16 fma16(float x, Row16 w, Row16 sum) {
  const F8 v = set1(x);
  return {fma(v, w.low, sum.low), fma(v, w.high, sum.high)};
}
#endif

// Tokens are packed, and blocks of them multiplied, in whole tiles.
static_assert(kPackedTogether % kTileTokens == 0 && kPanelTokens % kPackedTogether == 0);

template <Layout layout>
constexpr size_t kChains = layout == Layout::nk ? 8 : 1;

// Floats of a panel from one chain to the next: one line more than its steps need, or eight chains
// of a power of two would be rivals for the same lines of the cache.
constexpr size_t chain_stride(size_t count, size_t chains) {
  return (ceil_div(count, chains) + 1) * kPanelRows;
}

// Inputs [0, count) of 16 rows as a panel [chain][step][16]; zeros where there is no weight.
// w: the first weight of the stretch; stride: elements from one row (nk) or input (kn) to the next.
template <class From>
static void pack_rows(const typename From::Element* w, size_t stride, size_t rows, size_t count,
                      float* panel) {
  const size_t chain = chain_stride(count, 8);
  const auto eight = [&](size_t r, size_t i, const auto& load_row) {
    F8 v[8];
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; ++j) v[j] = load_row(w + (r + j) * stride + i * 8, r + j);
    transpose(v);
#pragma GCC unroll 8
    for (size_t c = 0; c < 8; ++c) store(panel + c * chain + i * kPanelRows + r, v[c]);
  };
  size_t i = 0;
  // A cache line of each row at a time: rows a multiple of a page apart have the same few places in
  // L1.
  constexpr size_t kLine = 64 / sizeof(typename From::Element) / 8;
  if (rows == kPanelRows)
    for (; i + kLine <= count / 8; i += kLine)
      for (size_t r = 0; r < kPanelRows; r += 8)
        for (size_t j = 0; j < kLine; ++j)
          eight(r, i + j, [](const auto* at, size_t) { return From::load8(at); });
  for (; i * 8 < count; ++i)
    for (size_t r = 0; r < kPanelRows; r += 8)
      eight(r, i, [&](const auto* at, size_t row) {
        const size_t rest = count - i * 8;
        return row < rows ? load8_part<From>(at, rest < 8 ? rest : 8) : zero();
      });
}

template <class From>
static void pack_columns(const typename From::Element* w, size_t stride, size_t columns,
                         size_t count, float* panel) {
  for (size_t k = 0; k < count; ++k) {
    const auto* at = w + k * stride;
    if (k + 16 < count) __builtin_prefetch(at + 16 * stride);
    for (size_t r = 0; r < kPanelRows; r += 8) {
      const size_t rest = columns > r ? columns - r : 0;
      store(panel + k * kPanelRows + r,
            rest >= 8 ? From::load8(at + r) : load8_part<From>(at + r, rest));
    }
  }
}

// Calls tile(T, t) for tokens [begin, end) in tiles of at most kTileTokens; T: a constant.
template <class Tile>
static inline void in_tiles(size_t begin, size_t end, const Tile& tile) {
  size_t t = begin;
  const auto tiles_of = [&](auto size, size_t count) {
    for (; t + size() <= begin + count; t += size()) tile(size, t);
  };
  const size_t count = end - begin, whole = count / kPackedTogether * kPackedTogether;
  tiles_of(std::integral_constant<size_t, kTileTokens>{}, whole);
  // Two tokens alone would wait for their own sums: eight go as four and four.
  if (count - whole != 8) tiles_of(std::integral_constant<size_t, 6>{}, count);
  tiles_of(std::integral_constant<size_t, 4>{}, count);
  tiles_of(std::integral_constant<size_t, 2>{}, count);
  tiles_of(std::integral_constant<size_t, 1>{}, count);
}

// x [T, K] → [chain][step][T], of one tile.
template <size_t T, size_t C>
static inline void pack_tile(const float* x, size_t K, float* out) {
  constexpr size_t kVectors = ceil_div(T, 8), kSpilled = ceil_div(8, T);
  const size_t steps = ceil_div(K, C);
  for (size_t k = 0; k < K; k += 8) {
    const size_t rest = K - k < 8 ? K - k : 8;
    F8 v[kVectors][8];
#pragma GCC unroll 16
    for (size_t t = 0; t < kVectors * 8; ++t)
      v[t / 8][t % 8] = t >= T      ? zero()
                        : rest == 8 ? load(x + t * K + k)
                                    : load_part(x + t * K + k, rest);
#pragma GCC unroll 2
    for (auto& tokens : v) transpose(tokens);
    // What a whole vector writes beyond its tokens the next steps overwrite, where there are any.
    const bool whole = k + (kSpilled + 1) * 8 <= K;
    for (size_t c = 0; c < rest; ++c) {
      float* to = out + (C == 1 ? k + c : c * steps + k / 8) * T;
#pragma GCC unroll 2
      for (size_t i = 0; i < kVectors; ++i)
        whole || T - 8 * i >= 8 ? store(to + 8 * i, v[i][c])
                                : store_part(to + 8 * i, v[i][c], T - 8 * i);
    }
  }
}
static void pack_tokens(Layout layout, const float* x, size_t T, size_t K, float* out) {
  const size_t row = packed_row(layout, K);
  in_tiles(0, T, [&](auto size, size_t t) {
    if (layout == Layout::nk)
      pack_tile<size(), kChains<Layout::nk>>(x + t * K, K, out + t * row);
    else
      pack_tile<size(), kChains<Layout::kn>>(x + t * K, K, out + t * row);
  });
}

// One chain of T tokens: `steps` of x [steps][T], on top of `sums` [T][16].
template <size_t T>
static inline void panel_tile(const float* panel, const float* x, size_t steps, bool first,
                              float* sums) {
  Row16 acc[T];
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) acc[t] = first ? zero16() : load16(sums + t * kPanelRows);
#pragma GCC unroll 4
  for (size_t i = 0; i < steps; ++i) {
    const Row16 w = load16(panel + i * kPanelRows);
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t) acc[t] = fma16(x[i * T + t], w, acc[t]);
  }
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) store16(sums + t * kPanelRows, acc[t]);
}

// Chains [C], `apart` floats from one to the next → their sum, in the order of `sum` of eight
// lanes.
template <size_t C>
static inline F8 joined(const float* sums, size_t apart, size_t K) {
  if constexpr (C == 1) return load(sums);
  // Lanes beyond the last input have had a zero added.
  const auto lane = [&](size_t c) {
    const F8 v = load(sums + c * apart);
    return K % C == 0 || c < K % C ? v : add(v, zero());
  };
  return add(add(add(lane(0), lane(4)), add(lane(2), lane(6))),
             add(add(lane(1), lane(5)), add(lane(3), lane(7))));
}

// Weights that the next panel is made of, asked for while tokens pass this one: they come from
// memory, in stretches too short for the hardware to see the next one coming.
struct Ahead {
  const char* run;              // the next one's first byte
  size_t stride, lines, count;  // bytes from one run to the next; cache lines of each; runs
  size_t line = 0;
  void fetch(size_t most) {
    for (; most > 0 && count > 0; --most) {
      __builtin_prefetch(run + line * 64, 0, 2);
      if (++line < lines) continue;
      line = 0, --count, run += stride;
    }
  }
};

// The panel of outputs from n on and inputs from k on; none beyond the matrix.
static Ahead ahead_of(const DenseView& w, size_t n, size_t k, size_t stretch) {
  const size_t size = size_of(w.dtype), rest = w.K - k;
  const size_t inputs = rest < stretch ? rest : stretch;
  const size_t rows = n >= w.N ? 0 : w.N - n < kPanelRows ? w.N - n : kPanelRows;
  const auto* data = static_cast<const char*>(w.data);
  if (w.layout == Layout::nk)
    return {data + (n * w.K + k) * size, w.K * size, ceil_div(inputs * size, 64), rows};
  return {data + (k * w.N + n) * size, w.N * size, 1, rows == 0 ? 0 : inputs};
}

// So many at a time that `count` goes in shares of at most `most`, all but alike, of whole steps.
static size_t even_share(size_t count, size_t most, size_t step) {
  const size_t shares = count == 0 ? 1 : ceil_div(count, most);
  return ceil_div(ceil_div(count, shares), step) * step + (count == 0 ? step : 0);
}

// Outputs [first, last) of all tokens; x as pack_tokens makes it.
template <class From, Layout layout>
static void linear_panels(const DenseView& w, const float* x, size_t T, size_t first, size_t last,
                          const Epilogue& e, float* out, float* scratch) {
  constexpr size_t C = kChains<layout>;
  const auto* data = static_cast<const typename From::Element*>(w.data);
  const size_t K = w.K, chain_steps = ceil_div(K, C), row = packed_row(layout, K);
  float *const panel = scratch, *const sums = scratch + (kPanelInputs + 8) * kPanelRows;
  const size_t most = even_share(T, kPanelTokens, kPackedTogether);
  const size_t stretch = even_share(K, kChainInputs * C, 8);
  for (size_t begin = 0; begin < T; begin += most)
    for (size_t n = first; n < last; n += kPanelRows) {
      const size_t rows = last - n < kPanelRows ? last - n : kPanelRows;
      const size_t end = T - begin < most ? T : begin + most;
      for (size_t k = 0; k < K || k == 0; k += stretch) {
        const size_t count = K - k < stretch ? K - k : stretch;
        const bool further = k + stretch < K;
        Ahead ahead = ahead_of(w, further ? n : n + kPanelRows, further ? k + stretch : 0, stretch);
        const size_t lines =
            ceil_div(ahead.count * ahead.lines, ceil_div(end - begin, kTileTokens) * C);
        if constexpr (layout == Layout::nk)
          pack_rows<From>(data + n * K + k, K, rows, count, panel);
        else
          pack_columns<From>(data + k * w.N + n, w.N, rows, count, panel);
        for (size_t c = 0; c < C; ++c) {
          const float* chain = panel + c * chain_stride(count, C);
          const size_t steps = count > c ? ceil_div(count - c, C) : 0;
          in_tiles(begin, end, [&](auto size, size_t t) {
            ahead.fetch(lines);
            if (c + 1 == C && !further)  // where these tokens' outputs go: a line each, far apart
              for (size_t i = 0; i < size(); ++i)
                __builtin_prefetch(out + (t + i) * e.stride + n, 1);
            panel_tile<size()>(chain, x + t * row + (c * chain_steps + k / C) * size(), steps,
                               k == 0, sums + ((t - begin) * C + c * size()) * kPanelRows);
          });
        }
      }
      in_tiles(begin, end, [&](auto size, size_t t) {
        const float* tile = sums + (t - begin) * C * kPanelRows;
        for (size_t i = 0; i < size(); ++i) {
          const float* at = tile + i * kPanelRows;
          finish(joined<C>(at, size() * kPanelRows, K), joined<C>(at + 8, size() * kPanelRows, K),
                 e, t + i, n, rows, out);
        }
      });
    }
}

}  // namespace lapwing::LAPWING_ISA
