// Softmax attention of one query over a cached sequence, values as stored.
// Keys are taken in blocks with fixed absolute borders, so a position sees the same arithmetic
// whether it was computed alone, in a prompt, or in a batch.
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

template <class From>
static void attend_typed(const float* q, size_t head_dim, float scale, const KeyValueView& kv,
                         Seen seen, float softcap, float* out) {
  constexpr size_t kBlock = 64, kMaxHead = 512;
  const auto* keys = static_cast<const typename From::Element*>(kv.keys);
  const auto* values = static_cast<const typename From::Element*>(kv.values);
  const size_t stride = kv.head_stride;
  alignas(32) float query[kMaxHead], acc[kMaxHead], scores[kBlock];
  for (size_t i = 0; i < stride; i += 8) {
    const size_t count = i >= head_dim ? 0 : head_dim - i;
    store(query + i, mul(count >= 8 ? load(q + i) : load_part(q + i, count), set1(scale)));
    store(acc + i, zero());
  }
  float running_max = -__builtin_inff();
  F8 normalizer = zero();  // lane i sums the positions ≡ i (mod 8)
  for (size_t begin = seen.first / kBlock * kBlock; begin < seen.last; begin += kBlock) {
    const size_t count = seen.last - begin < kBlock ? seen.last - begin : kBlock;
    const size_t skip = begin < seen.first ? seen.first - begin : 0;
    const auto* key = keys + (begin + skip) * stride;
    for (size_t j = 0; j < skip; ++j) scores[j] = -__builtin_inff();
    for (size_t j = skip; j < count; ++j, key += stride) {
      __builtin_prefetch(values + (begin + j) * stride);  // scattered by head: fetched meanwhile
      F8 dot = zero();
      for (size_t i = 0; i < stride; i += 8) dot = fma(load(query + i), From::load8(key + i), dot);
      scores[j] = sum(dot);
    }
    if (softcap > 0) soft_cap(scores + skip, count - skip, softcap);
    for (size_t j = count; j < kBlock; ++j) scores[j] = -__builtin_inff();
    F8 block_max = load(scores);
    for (size_t j = 8; j < kBlock; j += 8) block_max = max(block_max, load(scores + j));
    const float new_max = largest(block_max);
    if (new_max > running_max) {
      const F8 shrink = exp(set1(running_max - new_max));
      normalizer = mul(normalizer, shrink);
      for (size_t i = 0; i < stride; i += 8) store(acc + i, mul(load(acc + i), shrink));
      running_max = new_max;
    }
    for (size_t j = 0; j < kBlock; j += 8) {
      const F8 p = exp(sub(load(scores + j), set1(running_max)));
      normalizer = add(normalizer, p);
      store(scores + j, p);
    }
    const auto* value = values + begin * stride;
    for (size_t i = 0; i < stride; i += 8) {
      F8 a = load(acc + i);
      for (size_t j = skip; j < count; ++j)
        a = fma(set1(scores[j]), From::load8(value + j * stride + i), a);
      store(acc + i, a);
    }
  }
  const F8 inverse = set1(1.0f / sum(normalizer));
  for (size_t i = 0; i < head_dim; i += 8) {
    const F8 v = mul(load(acc + i), inverse);
    if (head_dim - i >= 8)
      store(out + i, v);
    else
      store_part(out + i, v, head_dim - i);
  }
}

static void attend(const float* q, size_t head_dim, float scale, const KeyValueView& kv, Seen seen,
                   float softcap, float* out) {
  if (kv.dtype == DType::f32)
    attend_typed<FromF32>(q, head_dim, scale, kv, seen, softcap, out);
  else
    attend_typed<FromF16>(q, head_dim, scale, kv, seen, softcap, out);
}

}  // namespace lapwing::LAPWING_ISA
