// Operations on whole rows: norms, sums, pooling. One fixed order of additions each.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// f(vector or its first `count` lanes) for each stretch of 8 of a row.
template <class Body>
static inline void over_lanes(size_t D, const Body& body) {
  for (size_t i = 0; i < D; i += 8) body(i, D - i < 8 ? D - i : 8);
}
static inline F8 load_upto(const float* p, size_t count) {
  return count == 8 ? load(p) : load_part(p, count);
}
static inline void store_upto(float* p, F8 a, size_t count) {
  if (count == 8)
    store(p, a);
  else
    store_part(p, a, count);
}

static void layer_norm(const float* x, size_t D, const float* weight, const float* bias, float eps,
                       float* out) {
  const size_t whole = D / 8 * 8, rest = D - whole;
  F8 total = zero();
  for (size_t i = 0; i < whole; i += 8) total = add(total, load(x + i));
  if (rest != 0) total = add(total, load_part(x + whole, rest));
  const F8 mean = set1(sum(total) / static_cast<float>(D));
  F8 squares = zero();
  for (size_t i = 0; i < whole; i += 8) {
    const F8 d = sub(load(x + i), mean);
    squares = fma(d, d, squares);
  }
  if (rest != 0) {
    float v[8] = {};
    for (size_t i = 0; i < rest; ++i) v[i] = x[whole + i] - (sum(total) / static_cast<float>(D));
    squares = fma(load(v), load(v), squares);
  }
  const F8 inverse = set1(1.0f / __builtin_sqrtf(sum(squares) / static_cast<float>(D) + eps));
  for (size_t i = 0; i < whole; i += 8)
    store(out + i, fma(mul(sub(load(x + i), mean), inverse), load(weight + i), load(bias + i)));
  if (rest != 0)
    store_part(out + whole,
               fma(mul(sub(load_part(x + whole, rest), mean), inverse),
                   load_part(weight + whole, rest), load_part(bias + whole, rest)),
               rest);
}

static void rms_norm(const float* x, size_t D, const float* weight, float eps, float* out) {
  F8 squares = zero();
  over_lanes(D, [&](size_t i, size_t count) {
    const F8 v = load_upto(x + i, count);
    squares = fma(v, v, squares);
  });
  const F8 inverse = set1(1.0f / __builtin_sqrtf(sum(squares) / static_cast<float>(D) + eps));
  over_lanes(D, [&](size_t i, size_t count) {
    store_upto(out + i, mul(mul(load_upto(x + i, count), inverse), load_upto(weight + i, count)),
               count);
  });
}

static void rotate(float* x, size_t half, const float* cosines, const float* sines) {
  over_lanes(half, [&](size_t i, size_t count) {
    const F8 a = load_upto(x + i, count), b = load_upto(x + half + i, count);
    const F8 c = load_upto(cosines + i, count), s = load_upto(sines + i, count);
    store_upto(x + i, sub(mul(a, c), mul(b, s)), count);
    store_upto(x + half + i, add(mul(b, c), mul(a, s)), count);
  });
}

static void gate(const float* gates, const float* up, size_t count, Activation activation,
                 float* out) {
  over_lanes(count, [&](size_t i, size_t lanes) {
    const F8 g = activate(load_upto(gates + i, lanes), activation);
    store_upto(out + i, mul(g, load_upto(up + i, lanes)), lanes);
  });
}

static inline F8 capped(F8 x, float cap) {
  return mul(set1(cap), activate(mul(x, set1(1.0f / cap)), Activation::tanh));
}
static void soft_cap(float* x, size_t count, float cap) {
  over_lanes(count, [&](size_t i, size_t lanes) {
    store_upto(x + i, capped(load_upto(x + i, lanes), cap), lanes);
  });
}
static void scale_row(float* x, size_t count, float factor) {
  over_lanes(count, [&](size_t i, size_t lanes) {
    store_upto(x + i, mul(load_upto(x + i, lanes), set1(factor)), lanes);
  });
}

static void add_to(float* x, const float* y, size_t count) {
  const size_t whole = count / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) store(x + i, add(load(x + i), load(y + i)));
  for (size_t i = whole; i < count; ++i) x[i] += y[i];
}

static void pool(const float* x, size_t L, size_t D, Pooling pooling, float* out) {
  const auto length = static_cast<float>(L);
  const float divisor = pooling == Pooling::mean            ? length
                        : pooling == Pooling::mean_sqrt_len ? __builtin_sqrtf(length)
                                                            : 1.0f;
  const float* only = pooling == Pooling::lasttoken ? x + (L - 1) * D : x;
  over_lanes(D, [&](size_t i, size_t count) {
    F8 v = load_upto(only + i, count);
    if (pooling != Pooling::cls && pooling != Pooling::lasttoken) {
      for (size_t t = 1; t < L; ++t) {
        const F8 row = load_upto(x + t * D + i, count);
        v = pooling == Pooling::max ? max(v, row) : add(v, row);
      }
      v = div(v, set1(divisor));
    }
    store_upto(out + i, v, count);
  });
}

static void unit_length(const float* x, size_t D, float* out) {
  F8 squares = zero();
  over_lanes(D, [&](size_t i, size_t count) {
    const F8 v = load_upto(x + i, count);
    squares = fma(v, v, squares);
  });
  const float norm = __builtin_sqrtf(sum(squares));
  const F8 divisor = set1(norm > 1e-12f ? norm : 1e-12f);
  over_lanes(D, [&](size_t i, size_t count) {
    store_upto(out + i, div(load_upto(x + i, count), divisor), count);
  });
}

static uint64_t sum_words(const uint64_t* words, size_t count) {
  W4 total[8] = {};  // enough sums in flight to hide the latency of an addition
  size_t i = 0;
  for (; i + 32 <= count; i += 32)
    for (size_t j = 0; j < 8; ++j) total[j] = add_words(total[j], load_words(words + i + 4 * j));
  uint64_t sum = 0;
  for (; i < count; ++i) sum += words[i];
  for (const W4& part : total) sum += sum_lanes(part);
  return sum;
}

}  // namespace lapwing::LAPWING_ISA
