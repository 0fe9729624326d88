// Softmax attention of the queries of one token over a cached sequence, values as stored.
// Keys are taken in blocks with fixed absolute borders, so a position sees the same arithmetic
// whether it was computed alone, in a prompt, or in a batch. Queries that share keys and values go
// together: 16-bit ones are widened once for all of them.
#include <new>

#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

static void store_head(const float* x, size_t head_dim, size_t head_stride, DType dtype,
                       void* row) {
  for (size_t i = 0; i < head_stride; i += 8) {
    const size_t count = i >= head_dim ? 0 : head_dim - i;
    const F8 v = count >= 8 ? load(x + i) : load_part(x + i, count);
    if (dtype == DType::f32)
      store(static_cast<float*>(row) + i, v);
    else
      store_half(static_cast<uint16_t*>(row) + i, v);
  }
}

// scores[j] = query · key j for j in [first, last), one chain of additions each.
template <class From>
static void dot_keys(const float* query, const typename From::Element* keys, size_t stride,
                     size_t first, size_t last, float* scores) {
  size_t j = first;
  for (; j + 8 <= last; j += 8) {
    F8 dots[8];
#pragma GCC unroll 8
    for (F8& dot : dots) dot = zero();
    for (size_t i = 0; i < stride; i += 8) {
      const F8 q = load(query + i);
#pragma GCC unroll 8
      for (size_t r = 0; r < 8; ++r)
        dots[r] = fma(q, From::load8(keys + (j + r) * stride + i), dots[r]);
    }
    store(scores + j, sums(dots));
  }
  for (; j < last; ++j) {
    F8 dot = zero();
    for (size_t i = 0; i < stride; i += 8)
      dot = fma(load(query + i), From::load8(keys + j * stride + i), dot);
    scores[j] = sum(dot);
  }
}

// acc[8·C] += Σ weights[j]·values[j][8·C], j ascending from first to last.
template <class From, size_t C>
static void add_columns(const float* weights, const typename From::Element* values, size_t stride,
                        size_t first, size_t last, float* acc) {
  F8 sums[C];
#pragma GCC unroll 8
  for (size_t c = 0; c < C; ++c) sums[c] = load(acc + 8 * c);
  for (size_t j = first; j < last; ++j) {
    const F8 weight = set1(weights[j]);
#pragma GCC unroll 8
    for (size_t c = 0; c < C; ++c)
      sums[c] = fma(weight, From::load8(values + j * stride + 8 * c), sums[c]);
  }
#pragma GCC unroll 8
  for (size_t c = 0; c < C; ++c) store(acc + 8 * c, sums[c]);
}

template <class From>
static void add_values(const float* weights, const typename From::Element* values, size_t stride,
                       size_t first, size_t last, float* acc) {
  size_t i = 0;
  for (; i + 64 <= stride; i += 64)
    add_columns<From, 8>(weights, values + i, stride, first, last, acc + i);
  for (; i + 32 <= stride; i += 32)
    add_columns<From, 4>(weights, values + i, stride, first, last, acc + i);
  for (; i < stride; i += 8)
    add_columns<From, 1>(weights, values + i, stride, first, last, acc + i);
}

// What one query has seen so far: the largest score, Σ e^(score − largest) (lane i: positions ≡ i
// mod 8), Σ of the values weighted so.
struct RunningSoftmax {
  float largest;
  float normalizer[8];
};

// Scores of one block become weights; what was summed before is shrunk where a larger one came.
static void weigh(float* scores, RunningSoftmax& state, float* acc, size_t stride) {
  F8 most = load(scores);
  for (size_t j = 8; j < kKeyBlock; j += 8) most = max(most, load(scores + j));
  const float new_largest = largest(most);
  F8 normalizer = load(state.normalizer);
  if (new_largest > state.largest) {
    const F8 shrink = exp(set1(state.largest - new_largest));
    normalizer = mul(normalizer, shrink);
    for (size_t i = 0; i < stride; i += 8) store(acc + i, mul(load(acc + i), shrink));
    state.largest = new_largest;
  }
  for (size_t j = 0; j < kKeyBlock; j += 8) {
    const F8 p = exp(sub(load(scores + j), set1(state.largest)));
    normalizer = add(normalizer, p);
    store(scores + j, p);
  }
  store(state.normalizer, normalizer);
}

template <class From>
static void attend_typed(const float* q, size_t heads, size_t head_dim, float scale,
                         const KeyValueView& kv, Seen seen, float softcap, float* out,
                         float* scratch) {
  using Element = typename From::Element;
  const auto* keys = static_cast<const Element*>(kv.keys);
  const auto* values = static_cast<const Element*>(kv.values);
  const size_t stride = kv.head_stride;
  const bool widened = heads > 1 && sizeof(Element) != sizeof(float);
  float* query = scratch;                    // [heads, stride]
  float* acc = query + heads * stride;       // [heads, stride]
  float* scores = acc + heads * stride;      // [heads, kKeyBlock]
  float* wide = scores + heads * kKeyBlock;  // [kKeyBlock, stride]
  auto* states = reinterpret_cast<RunningSoftmax*>(wide + kKeyBlock * stride);  // [heads]
  for (size_t h = 0; h < heads; ++h) {
    for (size_t i = 0; i < stride; i += 8) {
      const size_t count = i >= head_dim ? 0 : head_dim - i;
      const float* from = q + h * head_dim + i;
      store(query + h * stride + i,
            mul(count >= 8 ? load(from) : load_part(from, count), set1(scale)));
      store(acc + h * stride + i, zero());
    }
    new (states + h) RunningSoftmax{-__builtin_inff(), {}};
  }
  for (size_t begin = seen.first / kKeyBlock * kKeyBlock; begin < seen.last; begin += kKeyBlock) {
    const size_t count = seen.last - begin < kKeyBlock ? seen.last - begin : kKeyBlock;
    const size_t skip = begin < seen.first ? seen.first - begin : 0;
    const auto *block_keys = keys + begin * stride, *block_values = values + begin * stride;
    // Scattered by head, so the hardware does not see them coming: fetched while scores are made.
    for (size_t i = skip * stride; i < count * stride; i += 64 / sizeof(Element))
      __builtin_prefetch(block_values + i);
    if (widened)
      widen<From>(block_keys + skip * stride, (count - skip) * stride, wide + skip * stride);
    for (size_t h = 0; h < heads; ++h) {
      float* mine = scores + h * kKeyBlock;
      for (size_t j = 0; j < skip; ++j) mine[j] = -__builtin_inff();
      if (widened)
        dot_keys<FromF32>(query + h * stride, wide, stride, skip, count, mine);
      else
        dot_keys<From>(query + h * stride, block_keys, stride, skip, count, mine);
      if (softcap > 0) soft_cap(mine + skip, count - skip, softcap);
      for (size_t j = count; j < kKeyBlock; ++j) mine[j] = -__builtin_inff();
      weigh(mine, states[h], acc + h * stride, stride);
    }
    if (widened)
      widen<From>(block_values + skip * stride, (count - skip) * stride, wide + skip * stride);
    for (size_t h = 0; h < heads; ++h) {
      if (widened)
        add_values<FromF32>(scores + h * kKeyBlock, wide, stride, skip, count, acc + h * stride);
      else
        add_values<From>(scores + h * kKeyBlock, block_values, stride, skip, count,
                         acc + h * stride);
    }
  }
  for (size_t h = 0; h < heads; ++h) {
    const F8 inverse = set1(1.0f / sum(load(states[h].normalizer)));
    for (size_t i = 0; i < head_dim; i += 8) {
      const F8 v = mul(load(acc + h * stride + i), inverse);
      float* to = out + h * head_dim + i;
      if (head_dim - i >= 8)
        store(to, v);
      else
        store_part(to, v, head_dim - i);
    }
  }
}

static void attend(const float* q, size_t heads, size_t head_dim, float scale,
                   const KeyValueView& kv, Seen seen, float softcap, float* out, float* scratch) {
  if (kv.dtype == DType::f32)
    attend_typed<FromF32>(q, heads, head_dim, scale, kv, seen, softcap, out, scratch);
  else
    attend_typed<FromF16>(q, heads, head_dim, scale, kv, seen, softcap, out, scratch);
}

}  // namespace lapwing::LAPWING_ISA
