// Softmax attention of the queries of a few tokens over a cached sequence, values as stored.
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
static void attend_typed(const QueryBlock& block, float scale, const KeyValueView& kv,
                         const Seen* seen, float softcap, float* scratch) {
  using Element = typename From::Element;
  const auto* keys = static_cast<const Element*>(kv.keys);
  const auto* values = static_cast<const Element*>(kv.values);
  const size_t stride = kv.head_stride, head_dim = block.head_dim;
  const size_t queries = block.tokens * block.heads;
  const bool widened = queries > 1 && sizeof(Element) != sizeof(float);
  float* query = scratch;                      // [queries, stride]
  float* acc = query + queries * stride;       // [queries, stride]
  float* scores = acc + queries * stride;      // [queries, kKeyBlock]
  float* wide = scores + queries * kKeyBlock;  // [kKeyBlock, stride]
  auto* states = reinterpret_cast<RunningSoftmax*>(wide + kKeyBlock * stride);  // [queries]
  for (size_t i = 0; i < queries; ++i) {
    const float* from = block.q + i / block.heads * block.stride + i % block.heads * head_dim;
    for (size_t d = 0; d < stride; d += 8) {
      const size_t count = d >= head_dim ? 0 : head_dim - d;
      store(query + i * stride + d,
            mul(count >= 8 ? load(from + d) : load_part(from + d, count), set1(scale)));
      store(acc + i * stride + d, zero());
    }
    new (states + i) RunningSoftmax{-__builtin_inff(), {}};
  }
  size_t begin = seen[0].first, end = seen[0].last;  // what any of them sees
  for (size_t t = 1; t < block.tokens; ++t) {
    begin = seen[t].first < begin ? seen[t].first : begin;
    end = seen[t].last > end ? seen[t].last : end;
  }
  for (begin = begin / kKeyBlock * kKeyBlock; begin < end; begin += kKeyBlock) {
    // What a query sees of this block: [first, last) of its positions; nothing: last is 0.
    const auto of = [&](Seen all) -> Seen {
      const size_t last = all.last <= begin ? 0 : all.last - begin;
      const size_t first = all.first <= begin ? 0 : all.first - begin;
      return {first, first >= kKeyBlock ? 0 : last < kKeyBlock ? last : kKeyBlock};
    };
    const auto each_query = [&](const auto& work) {
      for (size_t t = 0, i = 0; t < block.tokens; ++t) {
        const Seen s = of(seen[t]);
        for (size_t h = 0; h < block.heads; ++h, ++i)
          if (s.last > 0) work(i, s.first, s.last);
      }
    };
    Seen any{kKeyBlock, 0};
    each_query([&](size_t, size_t first, size_t last) {
      any = {first < any.first ? first : any.first, last > any.last ? last : any.last};
    });
    if (any.last == 0) continue;
    const auto *block_keys = keys + begin * stride, *block_values = values + begin * stride;
    const size_t skipped = any.first * stride, count = any.last * stride - skipped;
    // Scattered by head, so the hardware does not see them coming: fetched while scores are made.
    for (size_t i = 0; i < count; i += 64 / sizeof(Element))
      __builtin_prefetch(block_values + skipped + i);
    if (widened) widen<From>(block_keys + skipped, count, wide + skipped);
    each_query([&](size_t i, size_t first, size_t last) {
      float* mine = scores + i * kKeyBlock;
      for (size_t j = 0; j < first; ++j) mine[j] = -__builtin_inff();
      if (widened)
        dot_keys<FromF32>(query + i * stride, wide, stride, first, last, mine);
      else
        dot_keys<From>(query + i * stride, block_keys, stride, first, last, mine);
      if (softcap > 0) soft_cap(mine + first, last - first, softcap);
      for (size_t j = last; j < kKeyBlock; ++j) mine[j] = -__builtin_inff();
      weigh(mine, states[i], acc + i * stride, stride);
    });
    if (widened) widen<From>(block_values + skipped, count, wide + skipped);
    each_query([&](size_t i, size_t first, size_t last) {
      const float* mine = scores + i * kKeyBlock;
      if (widened)
        add_values<FromF32>(mine, wide, stride, first, last, acc + i * stride);
      else
        add_values<From>(mine, block_values, stride, first, last, acc + i * stride);
    });
  }
  for (size_t i = 0; i < queries; ++i) {
    const F8 inverse = set1(1.0f / sum(load(states[i].normalizer)));
    float* to = block.out + i / block.heads * block.out_stride + i % block.heads * head_dim;
    for (size_t d = 0; d < head_dim; d += 8) {
      const F8 v = mul(load(acc + i * stride + d), inverse);
      if (head_dim - d >= 8)
        store(to + d, v);
      else
        store_part(to + d, v, head_dim - d);
    }
  }
}

static void attend(const QueryBlock& block, float scale, const KeyValueView& kv, const Seen* seen,
                   float softcap, float* scratch) {
  if (kv.dtype == DType::f32)
    attend_typed<FromF32>(block, scale, kv, seen, softcap, scratch);
  else
    attend_typed<FromF16>(block, scale, kv, seen, softcap, scratch);
}

}  // namespace lapwing::LAPWING_ISA
