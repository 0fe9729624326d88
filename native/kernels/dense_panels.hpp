// Many tokens times float weights: sixteen outputs side by side in a panel of float32, made once
// for all tokens of a block. A token's inputs are broadcast, so nothing is summed across lanes.
//
// An output has as many chains as its layout has in dense.hpp, input k in chain k mod C, k
// ascending: the bits of one token alone. Chains rest in memory while others have the registers.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

constexpr size_t kTileTokens = 6;  // × 16 outputs: what registers hold

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
  if (rows == kPanelRows)
    for (; i < count / 8; ++i)
      for (size_t r = 0; r < kPanelRows; r += 8)
        eight(r, i, [](const auto* at, size_t) { return From::load8(at); });
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

// One chain of T tokens: `steps` inputs, C apart, on top of `sums` [T][16].
template <size_t T, size_t C>
static inline void panel_tile(const float* panel, const float* x, size_t K, size_t steps,
                              bool first, float* sums) {
  F8 acc[T][2];
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) {
    acc[t][0] = first ? zero() : load(sums + t * kPanelRows);
    acc[t][1] = first ? zero() : load(sums + t * kPanelRows + 8);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < steps; ++i) {
    const F8 w0 = load(panel + i * kPanelRows), w1 = load(panel + i * kPanelRows + 8);
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t) {
      const F8 v = set1(x[t * K + i * C]);
      acc[t][0] = fma(v, w0, acc[t][0]);
      acc[t][1] = fma(v, w1, acc[t][1]);
    }
  }
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) {
    store(sums + t * kPanelRows, acc[t][0]);
    store(sums + t * kPanelRows + 8, acc[t][1]);
  }
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
  const void* first;
  size_t stride, lines, count;  // bytes from one run to the next; cache lines of each; runs
  size_t next = 0;
  void fetch(size_t most) {
    for (; most > 0 && next < count * lines; --most, ++next)
      __builtin_prefetch(
          static_cast<const char*>(first) + next / lines * stride + next % lines * 64, 0, 2);
  }
};

// What a tile of tokens takes from the stretch [k, k + count) of inputs.
struct Stretch {
  size_t k, count;
};

template <size_t T, size_t C>
static inline void tile_tokens(const float* panel, const float* x, size_t K, Stretch s, size_t t,
                               size_t n, size_t rows, const Epilogue& e, float* out, float* sums) {
  const float* inputs = x + t * K + s.k;
  for (size_t c = 0; c < C; ++c)
    panel_tile<T, C>(panel + c * chain_stride(s.count, C), inputs + c, K,
                     s.count > c ? ceil_div(s.count - c, C) : 0, s.k == 0,
                     sums + c * T * kPanelRows);
  if (s.k + s.count < K) return;
  for (size_t i = 0; i < T; ++i)
    for (size_t r = 0; r < rows; r += 8)
      finish(joined<C>(sums + i * kPanelRows + r, T * kPanelRows, K), e, t + i, n + r, rows - r,
             out);
}

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

// Outputs [first, last) of all tokens.
template <class From, Layout layout>
static void linear_panels(const DenseView& w, const float* x, size_t T, size_t first, size_t last,
                          const Epilogue& e, float* out, float* scratch) {
  constexpr size_t C = kChains<layout>;
  const auto* data = static_cast<const typename From::Element*>(w.data);
  const size_t K = w.K;
  float *const panel = scratch, *const sums = scratch + (kPanelInputs + 8) * kPanelRows;
  const size_t most = even_share(T, kPanelTokens, kTileTokens);
  const size_t stretch = even_share(K, kPanelInputs, 8);
  for (size_t begin = 0; begin < T; begin += most)
    for (size_t n = first; n < last; n += kPanelRows) {
      const size_t rows = last - n < kPanelRows ? last - n : kPanelRows;
      const size_t end = T - begin < most ? T : begin + most;
      for (size_t k = 0; k < K || k == 0; k += stretch) {
        const Stretch s{k, K - k < stretch ? K - k : stretch};
        const bool further = k + stretch < K;
        Ahead ahead = ahead_of(w, further ? n : n + kPanelRows, further ? k + stretch : 0, stretch);
        const size_t lines =
            ceil_div(ahead.count * ahead.lines, ceil_div(end - begin, kTileTokens));
        if constexpr (layout == Layout::nk)
          pack_rows<From>(data + n * K + k, K, rows, s.count, panel);
        else
          pack_columns<From>(data + k * w.N + n, w.N, rows, s.count, panel);
        size_t t = begin;
        const auto tiles = [&](auto size) {
          constexpr size_t count = decltype(size)::value;
          for (; t + count <= end; t += count) {
            ahead.fetch(lines);
            tile_tokens<count, C>(panel, x, K, s, t, n, rows, e, out,
                                  sums + (t - begin) * C * kPanelRows);
          }
        };
        tiles(std::integral_constant<size_t, kTileTokens>{});
        tiles(std::integral_constant<size_t, 4>{});
        tiles(std::integral_constant<size_t, 2>{});
        tiles(std::integral_constant<size_t, 1>{});
      }
    }
}

}  // namespace lapwing::LAPWING_ISA
