// Softmax attention of all tokens of a sequence to all of them, one head at a time: two small
// products with positions in lanes for the scores and values in lanes for the result. Every query
// has chains of its own, so neither its tile nor its company changes a bit.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// What one head is unpacked to. Lanes and widths are padded with zeros.
struct HeadPanel {
  size_t L, head_dim, lanes, width;  // lanes and width: L and head_dim up to 8
  float *keys, *values;              // [head_dim, lanes], [L, width]
  float *queries, *scores;           // [kQueries, head_dim], [kQueries, lanes]
};

static HeadPanel unpack_head(const float* k, const float* v, size_t stride, size_t L,
                             size_t head_dim, float* scratch) {
  HeadPanel p{L,       head_dim, ceil_div(L, 8) * 8, ceil_div(head_dim, 8) * 8, nullptr, nullptr,
              nullptr, nullptr};
  p.keys = scratch;
  p.values = p.keys + head_dim * p.lanes;
  p.scores = p.values + L * p.width;
  p.queries = p.scores + kQueries * p.lanes;
  for (size_t j = 0; j < p.lanes; j += 8)
    for (size_t d = 0; d < head_dim; d += 8) {
      const size_t count = head_dim - d < 8 ? head_dim - d : 8;
      F8 key[8];
#pragma GCC unroll 8
      for (size_t r = 0; r < 8; ++r)
        key[r] = j + r < L ? load_upto(k + (j + r) * stride + d, count) : zero();
      transpose(key);
#pragma GCC unroll 8
      for (size_t c = 0; c < 8; ++c)
        if (c < count) store(p.keys + (d + c) * p.lanes + j, key[c]);
    }
  for (size_t j = 0; j < L; ++j)
    for (size_t i = 0; i < p.width; i += 8) {
      const size_t count = head_dim - i < 8 ? head_dim - i : 8;
      store(p.values + j * p.width + i, load_upto(v + j * stride + i, count));
    }
  return p;
}

// Scores of T queries with V vectors of 8 positions, from j on.
template <size_t T, size_t V>
static inline void score_lanes(const HeadPanel& p, size_t j) {
  F8 acc[T][V];
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t)
#pragma GCC unroll 2
    for (size_t c = 0; c < V; ++c) acc[t][c] = zero();
  for (size_t d = 0; d < p.head_dim; ++d) {
    F8 key[V];
#pragma GCC unroll 2
    for (size_t c = 0; c < V; ++c) key[c] = load(p.keys + d * p.lanes + j + 8 * c);
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) {
      const F8 q = set1(p.queries[t * p.head_dim + d]);
#pragma GCC unroll 2
      for (size_t c = 0; c < V; ++c) acc[t][c] = fma(q, key[c], acc[t][c]);
    }
  }
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t)
#pragma GCC unroll 2
    for (size_t c = 0; c < V; ++c) store(p.scores + t * p.lanes + j + 8 * c, acc[t][c]);
}

// scores [T, lanes]: -inf beyond L.
template <size_t T>
static inline void score_tile(const HeadPanel& p) {
  size_t j = 0;
  for (; j + 16 <= p.lanes; j += 16) score_lanes<T, 2>(p, j);
  if (j < p.lanes) score_lanes<T, 1>(p, j);
  for (size_t t = 0; t < T; ++t)
    for (j = p.L; j < p.lanes; ++j) p.scores[t * p.lanes + j] = -__builtin_inff();
}

// Scores of one query → e^(score − largest); returns one over their sum.
static inline float softmax_row(float* scores, size_t lanes) {
  F8 most = load(scores);
  for (size_t j = 8; j < lanes; j += 8) most = max(most, load(scores + j));
  const F8 shift = set1(largest(most));
  F8 total = zero();
  for (size_t j = 0; j < lanes; j += 8) {
    const F8 e = exp(sub(load(scores + j), shift));
    total = add(total, e);
    store(scores + j, e);
  }
  return 1.0f / sum(total);
}

// out[t] = Σ_j scores[t, j]·values[j] / Σ_j scores[t, j], V vectors of 8 at a time.
template <size_t T, size_t V>
static inline void value_tile(const HeadPanel& p, size_t i, const float (&inverse)[kQueries],
                              float* out, size_t out_stride) {
  F8 acc[T][V];
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (size_t c = 0; c < V; ++c) acc[t][c] = zero();
  for (size_t j = 0; j < p.L; ++j) {
    F8 value[V];
#pragma GCC unroll 8
    for (size_t c = 0; c < V; ++c) value[c] = load(p.values + j * p.width + i + 8 * c);
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) {
      const F8 weight = set1(p.scores[t * p.lanes + j]);
#pragma GCC unroll 8
      for (size_t c = 0; c < V; ++c) acc[t][c] = fma(weight, value[c], acc[t][c]);
    }
  }
  for (size_t t = 0; t < T; ++t)
    for (size_t c = 0; c < V; ++c) {
      const size_t from = i + 8 * c, rest = p.head_dim - from;
      store_upto(out + t * out_stride + from, mul(acc[t][c], set1(inverse[t])),
                 rest < 8 ? rest : 8);
    }
}

// T queries, and what is left of the sequence behind them.
template <size_t T>
static void query_tiles(const HeadPanel& p, const float* q, size_t stride, size_t count,
                        float scale, float* out, size_t out_stride) {
  for (; count >= T; count -= T, q += T * stride, out += T * out_stride) {
    for (size_t t = 0; t < T; ++t)
      for (size_t d = 0; d < p.head_dim; d += 8) {
        const size_t rest = p.head_dim - d < 8 ? p.head_dim - d : 8;
        store_upto(p.queries + t * p.head_dim + d,
                   mul(load_upto(q + t * stride + d, rest), set1(scale)), rest);
      }
    score_tile<T>(p);
    float inverse[kQueries];
    for (size_t t = 0; t < T; ++t) inverse[t] = softmax_row(p.scores + t * p.lanes, p.lanes);
    size_t i = 0;
    for (; i + 16 <= p.width; i += 16) value_tile<T, 2>(p, i, inverse, out, out_stride);
    if (i < p.width) value_tile<T, 1>(p, i, inverse, out, out_stride);
  }
  if constexpr (T > 1) query_tiles<T - 1>(p, q, stride, count, scale, out, out_stride);
}

static void attend_all(const float* q, const float* k, const float* v, size_t stride, size_t L,
                       size_t head_dim, float scale, float* out, size_t out_stride,
                       float* scratch) {
  // The next head lies beside this one, a line or two of every token: nothing sees it coming.
  const float* const all[] = {q, k, v};
  for (size_t j = 0; j < L; ++j)
    for (size_t d = head_dim; d < 2 * head_dim; d += 16)
      for (const float* rows : all) __builtin_prefetch(rows + j * stride + d, 0, 2);
  const HeadPanel p = unpack_head(k, v, stride, L, head_dim, scratch);
  query_tiles<kQueries>(p, q, stride, L, scale, out, out_stride);
}

}  // namespace lapwing::LAPWING_ISA
