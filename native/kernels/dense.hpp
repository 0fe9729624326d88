// Linears on float weights in place: f32, f16 or bf16, row-major [N, K] or Conv1D's [K, N].
// Sums are float32. nk: eight partial sums per output, k ascending in each, one fixed reduction.
// kn: one sum per output, k ascending. One token and many tokens go through the same chains.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

constexpr size_t kTileRows = 8;  // rows whose sums are finished together
// Tokens that pass all rows before the next ones come: their activations stay in half of L2.
constexpr size_t kMostTokens = 96, kLeastTokens = 24, kTokenBytes = 256 << 10;

// R rows × T tokens of an [N, K] matrix → sums [T][kTileRows], eight parts of each.
// Streamed: the matrix comes from memory, and what lies behind the tile is fetched meanwhile.
template <class From, size_t R, size_t T, bool Streamed>
static inline void dot_tile(const typename From::Element* w, const float* x, size_t K, F8* sums) {
  F8 acc[R][T];
#pragma GCC unroll 16
  for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t) acc[r][t] = zero();
  size_t k = 0;
  for (; k + 8 <= K; k += 8) {
    F8 v[T];
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t) v[t] = load(x + t * K + k);
#pragma GCC unroll 16
    for (size_t r = 0; r < R; ++r) {
      const F8 row = From::load8(w + r * K + k);
      if (Streamed) __builtin_prefetch(w + (R + r) * K + k, 0, 2);
#pragma GCC unroll 16
      for (size_t t = 0; t < T; ++t) acc[r][t] = fma(row, v[t], acc[r][t]);
    }
  }
  if (k < K) {
    for (size_t r = 0; r < R; ++r) {
      const F8 row = load8_part<From>(w + r * K + k, K - k);
      for (size_t t = 0; t < T; ++t)
        acc[r][t] = fma(row, load_part(x + t * K + k, K - k), acc[r][t]);
    }
  }
#pragma GCC unroll 16
  for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t) sums[t * kTileRows + r] = acc[r][t];
}

// Up to kTileRows rows from row n on × T tokens from token t on.
template <class From, size_t T, bool Streamed>
static inline void dot_rows(const typename From::Element* w, size_t rows, const float* x, size_t K,
                            size_t t, size_t n, const Epilogue& e, float* out) {
  F8 sums[T][kTileRows];
  size_t r = 0;
  for (; r + 4 <= rows; r += 4)
    dot_tile<From, 4, T, Streamed>(w + r * K, x + t * K, K, sums[0] + r);
  for (; r < rows; ++r) dot_tile<From, 1, T, Streamed>(w + r * K, x + t * K, K, sums[0] + r);
  for (; r < kTileRows; ++r)
    for (size_t i = 0; i < T; ++i) sums[i][r] = zero();
  for (size_t i = 0; i < T; ++i) finish(LAPWING_ISA::sums(sums[i]), e, t + i, n, rows, out);
}

// Tokens [t, last) against rows, three at a time. Eight rows stay in L1 while the tokens, which are
// in L2, pass them; the first tokens bring the rows. 16-bit rows are widened as they are read:
// conversions fit between multiply-adds.
template <class From>
static void dot_block(const typename From::Element* w, size_t rows, const float* x, size_t t,
                      size_t last, size_t K, size_t n, const Epilogue& e, float* out) {
  const auto tokens = [&](auto count, auto streamed, size_t at) {
    dot_rows<From, decltype(count)::value, decltype(streamed)::value>(w, rows, x, K, at, n, e, out);
  };
  constexpr std::integral_constant<size_t, 3> three{};
  constexpr std::integral_constant<size_t, 2> two{};
  constexpr std::integral_constant<size_t, 1> one{};
  if (t == 0) {
    constexpr std::true_type streamed{};
    if (last == 1) return tokens(one, streamed, 0);
    if (last == 2 || last == 4)
      tokens(two, streamed, 0), t = 2;
    else
      tokens(three, streamed, 0), t = 3;
  }
  constexpr std::false_type again{};
  for (; t + 3 <= last && t + 4 != last; t += 3) tokens(three, again, t);
  for (; t + 2 <= last; t += 2) tokens(two, again, t);
  if (t < last) tokens(one, again, t);
}

// One token: four rows at a time that lie far apart. Several long runs through memory are read
// faster than short ones side by side.
template <class From>
static void dot_streams(const DenseView& w, const float* x, size_t first, size_t last,
                        const Epilogue& e, float* out) {
  constexpr size_t kStreams = 4;
  constexpr size_t kAhead = 1024 / sizeof(typename From::Element);
  const auto* data = static_cast<const typename From::Element*>(w.data);
  const size_t K = w.K, whole = K / 8 * 8, apart = (last - first) / kStreams;
  for (size_t n = first; n < first + apart; n += 8) {
    const size_t count = first + apart - n < 8 ? first + apart - n : 8;
    float totals[kStreams][8] = {};  // of eight rows of each: outputs are finished together
    for (size_t i = 0; i < count; ++i) {
      const auto* rows = data + (n + i) * K;
      F8 acc[kStreams];
#pragma GCC unroll 4
      for (F8& a : acc) a = zero();
      for (size_t k = 0; k < whole; k += 8) {
        const F8 v = load(x + k);
#pragma GCC unroll 4
        for (size_t r = 0; r < kStreams; ++r) {
          const auto* row = rows + r * apart * K + k;
          __builtin_prefetch(row + kAhead, 0, 2);
          acc[r] = fma(From::load8(row), v, acc[r]);
        }
      }
      for (size_t r = 0; r < kStreams; ++r) {
        if (whole < K)
          acc[r] = fma(load8_part<From>(rows + r * apart * K + whole, K - whole),
                       load_part(x + whole, K - whole), acc[r]);
        totals[r][i] = sum(acc[r]);
      }
    }
    for (size_t r = 0; r < kStreams; ++r) finish(load(totals[r]), e, 0, n + r * apart, count, out);
  }
  for (size_t n = first + kStreams * apart; n < last; ++n)
    dot_block<From>(data + n * K, 1, x, 0, 1, K, n, e, out);
}

template <class From>
static void linear_nk(const DenseView& w, const float* x, size_t T, size_t first, size_t last,
                      const Epilogue& e, float* out) {
  if (T == 1) return dot_streams<From>(w, x, first, last, e, out);
  const auto* data = static_cast<const typename From::Element*>(w.data);
  size_t most = kTokenBytes / sizeof(float) / (w.K == 0 ? 1 : w.K) / 3 * 3;
  most = most < kLeastTokens ? kLeastTokens : most > kMostTokens ? kMostTokens : most;
  for (size_t t = 0; t < T; t += most)
    for (size_t n = first; n < last; n += kTileRows)
      dot_block<From>(data + n * w.K, last - n < kTileRows ? last - n : kTileRows, x, t,
                      T - t < most ? T : t + most, w.K, n, e, out);
}

// Few tokens: rows of the matrix stream by, the sums of a stretch of outputs stay in cache. Rows
// lie too far apart for the hardware to see the next ones coming: they are prefetched, into L2,
// which leaves the few line buffers of L1 to the loads.
template <class From, size_t T>
static void linear_kn_stream(const DenseView& w, const float* x, size_t first, size_t last,
                             const Epilogue& e, float* out) {
  constexpr size_t kStretch = 4096, kDepth = 4;
  constexpr size_t kLine = 64 / sizeof(typename From::Element);
  const auto* data = static_cast<const typename From::Element*>(w.data);
  alignas(32) float sums[T][kStretch];
  for (size_t n = first; n < last; n += kStretch) {
    const size_t count = last - n < kStretch ? last - n : kStretch;
    const size_t whole = count / 8 * 8;
    for (size_t t = 0; t < T; ++t)
      for (size_t i = 0; i < count; i += 8) store(sums[t] + i, zero());
    size_t k = 0;
    for (; k + kDepth <= w.K; k += kDepth) {
      const auto* rows = data + k * w.N + n;
      const bool more = k + 2 * kDepth <= w.K;
      F8 v[T][kDepth];
#pragma GCC unroll 8
      for (size_t t = 0; t < T; ++t)
#pragma GCC unroll 8
        for (size_t d = 0; d < kDepth; ++d) v[t][d] = set1(x[t * w.K + k + d]);
      const auto columns = [&](size_t i) {
        F8 row[kDepth];
#pragma GCC unroll 8
        for (size_t d = 0; d < kDepth; ++d) row[d] = From::load8(rows + d * w.N + i);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          F8 s = load(sums[t] + i);
#pragma GCC unroll 8
          for (size_t d = 0; d < kDepth; ++d) s = fma(v[t][d], row[d], s);
          store(sums[t] + i, s);
        }
      };
      size_t i = 0;
      for (; i + kLine <= whole; i += kLine) {
        if (more)
#pragma GCC unroll 8
          for (size_t d = 0; d < kDepth; ++d)
            __builtin_prefetch(rows + (kDepth + d) * w.N + i, 0, 2);
#pragma GCC unroll 8
        for (size_t j = 0; j < kLine; j += 8) columns(i + j);
      }
      for (; i < whole; i += 8) columns(i);
      if (whole < count)
        for (size_t t = 0; t < T; ++t) {
          F8 s = load(sums[t] + whole);
          for (size_t d = 0; d < kDepth; ++d)
            s = fma(v[t][d], load8_part<From>(rows + d * w.N + whole, count - whole), s);
          store(sums[t] + whole, s);
        }
    }
    for (; k < w.K; ++k) {
      const auto* row = data + k * w.N + n;
      for (size_t t = 0; t < T; ++t) {
        const F8 v = set1(x[t * w.K + k]);
        for (size_t i = 0; i < whole; i += 8)
          store(sums[t] + i, fma(v, From::load8(row + i), load(sums[t] + i)));
        if (whole < count)
          store(sums[t] + whole,
                fma(v, load8_part<From>(row + whole, count - whole), load(sums[t] + whole)));
      }
    }
    for (size_t t = 0; t < T; ++t)
      for (size_t i = 0; i < count; i += 8) finish(load(sums[t] + i), e, t, n + i, count - i, out);
  }
}

template <class From>
static void linear_typed(const DenseView& w, const FloatRows& x, size_t T, size_t first,
                         size_t last, const Epilogue& e, float* out, float* panel) {
  const bool rows = w.layout == Layout::nk;
  if (packs_tokens(w.layout, T))
    rows ? linear_panels<From, Layout::nk>(w, x.packed, T, first, last, e, out, panel)
         : linear_panels<From, Layout::kn>(w, x.packed, T, first, last, e, out, panel);
  else if (rows)
    linear_nk<From>(w, x.rows, T, first, last, e, out);
  else if (T == 1)
    linear_kn_stream<From, 1>(w, x.rows, first, last, e, out);
  else
    linear_kn_stream<From, 2>(w, x.rows, first, last, e, out);
}

static void dense_linear(const DenseView& w, const FloatRows& x, size_t T, size_t first,
                         size_t last, const Epilogue& e, float* out, uint8_t* scratch) {
  float* panel = reinterpret_cast<float*>(scratch);
  switch (w.dtype) {
    case DType::f32:
      return linear_typed<FromF32>(w, x, T, first, last, e, out, panel);
    case DType::f16:
      return linear_typed<FromF16>(w, x, T, first, last, e, out, panel);
    case DType::bf16:
      return linear_typed<FromBF16>(w, x, T, first, last, e, out, panel);
  }
}

}  // namespace lapwing::LAPWING_ISA
