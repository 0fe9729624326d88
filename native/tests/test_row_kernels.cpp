// Every kernel over rows of activations (norms, attention, pooling) equals the generic one, bit for
// bit.
#include <algorithm>

#include "check.hpp"
#include "kernels.hpp"
#include "kernels/vec_generic.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

void test_store_head(const Kernels& fast) {
  const Kernels& plain = generic_kernels();
  // Random bits: every exponent, subnormal halves and overflow among them.
  Random random(3);
  for (const size_t head_dim : {1, 7, 8, 12, 33, 64, 80}) {
    const size_t stride = ceil_div(head_dim, 8) * 8;
    for (const DType dtype : {DType::f32, DType::f16})
      for (int round = 0; round < 50; ++round) {
        Guarded<float> x(head_dim);
        for (size_t i = 0; i < head_dim; ++i) {
          const auto exponent = static_cast<uint32_t>(95 + random.next() % 50);  // 2^-32 … 2^17
          x[i] = std::bit_cast<float>(static_cast<uint32_t>(random.next() & 0x807fffffu) |
                                      exponent << 23);
        }
        Guarded<uint8_t> a(stride * size_of(dtype)), b(stride * size_of(dtype));
        plain.store_head(x.data(), head_dim, stride, dtype, a.data());
        fast.store_head(x.data(), head_dim, stride, dtype, b.data());
        CHECK_AS(a.same_bytes(b) && a.tail_untouched() && b.tail_untouched(),
                 at(name_of(dtype), head_dim));
        for (size_t i = head_dim * size_of(dtype); i < a.size(); ++i) CHECK(a[i] == 0);
      }
  }
}

void test_layer_norm(const Kernels& fast) {
  for (const size_t D : {1, 2, 7, 8, 9, 12, 33, 64, 100}) {
    Random random(D);
    const auto x = random_floats(random, D), weight = random_floats(random, D);
    const auto bias = random_floats(random, D);
    Guarded<float> a(D), b(D);
    generic_kernels().layer_norm(x.data(), D, weight.data(), bias.data(), 1e-5f, a.data());
    fast.layer_norm(x.data(), D, weight.data(), bias.data(), 1e-5f, b.data());
    CHECK_AS(a.same_bytes(b) && a.tail_untouched() && b.tail_untouched(), at("D", D));
    double mean = 0, variance = 0;
    for (size_t i = 0; i < D; ++i) mean += x[i] / static_cast<double>(D);
    for (size_t i = 0; i < D; ++i) variance += (x[i] - mean) * (x[i] - mean) / D;
    for (size_t i = 0; i < D; ++i) {
      const double want = (x[i] - mean) / std::sqrt(variance + 1e-5) * weight[i] + bias[i];
      CHECK_AS(std::fabs(a[i] - want) <= 1e-4, at("D", D, i));
    }
    Guarded<float> sum_a(D), sum_b(D);
    std::memcpy(sum_a.data(), x.data(), D * 4), std::memcpy(sum_b.data(), x.data(), D * 4);
    generic_kernels().add_to(sum_a.data(), bias.data(), D);
    fast.add_to(sum_b.data(), bias.data(), D);
    CHECK_AS(sum_a.same_bytes(sum_b) && sum_b.tail_untouched(), at("add_to", D));
    for (size_t i = 0; i < D; ++i) CHECK(sum_a[i] == x[i] + bias[i]);
  }
}

void test_attend(const Kernels& fast) {
  const Kernels& plain = generic_kernels();
  for (const DType dtype : {DType::f32, DType::f16})
    for (const size_t head_dim : {1, 2, 7, 8, 12, 64, 80, 512})
      for (const Seen seen : {Seen{0, 1},
                              {0, 2},
                              {0, 7},
                              {0, 63},
                              {0, 64},
                              {0, 65},
                              {0, 130},
                              {1, 2},
                              {5, 64},
                              {63, 70},
                              {64, 65},
                              {70, 130},
                              {129, 130}})
        for (const float softcap : {0.0f, 1.5f}) {
          const size_t S = seen.last;
          const size_t stride = ceil_div(head_dim, 8) * 8, row = stride * size_of(dtype);
          Random random(head_dim * 1000 + S);
          Guarded<uint8_t> keys(S * row), values(S * row);
          std::memset(keys.data(), 0xff, S * row);  // NaN: what is not seen is not read
          std::memset(values.data(), 0xff, S * row);
          std::vector<float> wide_keys(S * head_dim), wide_values(S * head_dim);
          for (size_t s = seen.first; s < S; ++s)
            for (const bool value : {false, true}) {
              const auto x = random_floats(random, head_dim, 2);
              uint8_t* to = (value ? values : keys).data() + s * row;
              plain.store_head(x.data(), head_dim, stride, dtype, to);
              auto& wide = value ? wide_values : wide_keys;
              plain.to_float(dtype, to, head_dim, wide.data() + s * head_dim);
            }
          const auto q = random_floats(random, head_dim, 2);
          const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
          const KeyValueView kv{keys.data(), values.data(), dtype, stride};
          Guarded<float> a(head_dim), b(head_dim);
          const Guarded<float> scratch(attend_scratch_bytes(9, head_dim) / sizeof(float));
          const auto alone = [&](float* out) {
            return QueryBlock{q.data(), 0, out, 0, 1, 1, head_dim};
          };
          plain.attend(alone(a.data()), scale, kv, &seen, softcap, scratch.data());
          fast.attend(alone(b.data()), scale, kv, &seen, softcap, scratch.data());
          // Alone, or among queries of the same keys, of tokens that see less of them.
          const size_t row_width = 3 * head_dim, mine = row_width + head_dim;
          auto nine = random_floats(random, 3 * row_width, 2);
          std::copy_n(q.data(), head_dim, nine.data() + mine);
          const Seen each[] = {{seen.first, std::max(seen.first + 1, S / 2)}, seen, {S - 1, S}};
          for (const Kernels* kernels : {&plain, &fast}) {
            Guarded<float> c(3 * row_width);
            kernels->attend({nine.data(), row_width, c.data(), row_width, 3, 3, head_dim}, scale,
                            kv, each, softcap, scratch.data());
            CHECK(std::memcmp(c.data() + mine, a.data(), head_dim * sizeof(float)) == 0);
            CHECK(c.tail_untouched() && scratch.tail_untouched());
          }
          const std::string where = at(name_of(dtype), head_dim, seen.first, S);
          CHECK_AS(a.same_bytes(b) && a.tail_untouched() && b.tail_untouched(), where);

          std::vector<double> scores(S);
          double largest = -1e300, total = 0;
          for (size_t s = seen.first; s < S; ++s) {
            for (size_t i = 0; i < head_dim; ++i)
              scores[s] += static_cast<double>(q[i]) * scale * wide_keys[s * head_dim + i];
            if (softcap > 0) scores[s] = softcap * std::tanh(scores[s] / softcap);
            largest = std::fmax(largest, scores[s]);
          }
          for (size_t s = seen.first; s < S; ++s)
            total += scores[s] = std::exp(scores[s] - largest);
          for (size_t i = 0; i < head_dim; ++i) {
            double want = 0;
            for (size_t s = seen.first; s < S; ++s)
              want += scores[s] / total * wide_values[s * head_dim + i];
            CHECK_AS(std::fabs(a[i] - want) <= 2e-5, where);
          }
        }
}

// Norm, turn, gate, cap and scale of rows, against double precision and on every instruction set.
void test_rows(const Kernels& fast) {
  const Kernels& plain = generic_kernels();
  for (const size_t D : {2, 6, 8, 10, 16, 34}) {
    Random random(D);
    const auto x = random_floats(random, D, 3), y = random_floats(random, D);
    Guarded<float> a(D), b(D);
    const auto compare = [&](const auto& run, const auto& want, double bound) {
      for (Guarded<float>* out : {&a, &b}) std::memcpy(out->data(), x.data(), D * sizeof(float));
      run(plain, a.data()), run(fast, b.data());
      CHECK_AS(a.same_bytes(b) && a.tail_untouched() && b.tail_untouched(), at("rows", D));
      for (size_t i = 0; i < D; ++i) CHECK_AS(std::fabs(a[i] - want(i)) <= bound, at("rows", D, i));
    };
    double squares = 0;
    for (size_t i = 0; i < D; ++i) squares += static_cast<double>(x[i]) * x[i];
    const double norm = std::sqrt(squares / static_cast<double>(D) + 0.01);
    compare([&](const Kernels& k, float* out) { k.rms_norm(x.data(), D, y.data(), 0.01f, out); },
            [&](size_t i) { return x[i] / norm * y[i]; }, 1e-5);
    const size_t half = D / 2;
    std::vector<float> cosines(half), sines(half);
    for (size_t i = 0; i < half; ++i) cosines[i] = std::cos(y[i]), sines[i] = std::sin(y[i]);
    compare(
        [&](const Kernels& k, float* out) { k.rotate(out, half, cosines.data(), sines.data()); },
        [&](size_t i) -> double {
          const size_t pair = i % half;
          const float u = x[pair], v = x[pair + half];
          return i < half ? u * cosines[pair] - v * sines[pair]
                          : v * cosines[pair] + u * sines[pair];
        },
        1e-5);
    compare(
        [&](const Kernels& k, float* out) { k.gate(x.data(), y.data(), D, Activation::silu, out); },
        [&](size_t i) { return x[i] / (1 + std::exp(-static_cast<double>(x[i]))) * y[i]; }, 1e-5);
    compare([&](const Kernels& k, float* out) { k.soft_cap(out, D, 2.5f); },
            [&](size_t i) { return 2.5 * std::tanh(x[i] / 2.5); }, 1e-5);
    compare([&](const Kernels& k, float* out) { k.scale(out, D, 0.75f); },
            [&](size_t i) { return x[i] * 0.75; }, 1e-6);
  }
}

void test_attend_all(const Kernels& fast) {
  const Kernels& plain = generic_kernels();
  for (const size_t head_dim : {1, 2, 7, 8, 12, 32, 40, 64})
    for (const size_t L : {1, 2, 5, 6, 7, 15, 16, 17, 40}) {
      Random random(head_dim * 1000 + L);
      const size_t stride = 3 * head_dim + 5, out_stride = head_dim + 3;
      const auto x = random_floats(random, L * stride, 2);
      const float *q = x.data(), *k = q + head_dim, *v = k + head_dim;
      const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
      const Guarded<float> scratch(attend_all_scratch_bytes(L, head_dim) / sizeof(float));
      Guarded<float> a(L * out_stride), b(L * out_stride);
      plain.attend_all(q, k, v, stride, L, head_dim, scale, a.data(), out_stride, scratch.data());
      fast.attend_all(q, k, v, stride, L, head_dim, scale, b.data(), out_stride, scratch.data());
      const std::string where = at("attend_all", head_dim, L);
      CHECK_AS(a.same_bytes(b) && a.tail_untouched() && b.tail_untouched(), where);
      CHECK_AS(scratch.tail_untouched(), where);

      for (size_t t = 0; t < L; ++t) {
        std::vector<double> scores(L);
        double largest = -1e300, total = 0;
        for (size_t s = 0; s < L; ++s) {
          for (size_t i = 0; i < head_dim; ++i)
            scores[s] += static_cast<double>(q[t * stride + i]) * scale * k[s * stride + i];
          largest = std::fmax(largest, scores[s]);
        }
        for (double& score : scores) total += score = std::exp(score - largest);
        for (size_t i = 0; i < head_dim; ++i) {
          double want = 0;
          for (size_t s = 0; s < L; ++s) want += scores[s] / total * v[s * stride + i];
          CHECK_AS(std::fabs(a[t * out_stride + i] - want) <= 2e-5, where);
        }
        for (size_t i = head_dim; i < out_stride; ++i)  // between the rows nothing is written
          CHECK_AS(std::bit_cast<uint32_t>(a[t * out_stride + i]) == 0x7e7e7e7eu, where);
      }
    }
}

// Rows 0, 1, …, L − 1 plus a column's own number: every pooling is known by hand.
void test_pool(const Kernels& fast) {
  for (const size_t D : {1, 7, 8, 9, 24})
    for (const size_t L : {1, 2, 4, 9}) {
      Guarded<float> x(L * D), out(D), plain(D);
      for (size_t t = 0; t < L; ++t)
        for (size_t i = 0; i < D; ++i) x[t * D + i] = static_cast<float>(t) + 100.0f * i;
      const auto length = static_cast<float>(L), mean = (length - 1) / 2;
      const std::pair<Pooling, float> cases[] = {
          {Pooling::cls, 0},
          {Pooling::lasttoken, length - 1},
          {Pooling::max, length - 1},
          {Pooling::mean, mean},
      };
      for (const auto& [pooling, want] : cases) {
        fast.pool(x.data(), L, D, pooling, out.data());
        generic_kernels().pool(x.data(), L, D, pooling, plain.data());
        CHECK(out.same_bytes(plain) && out.tail_untouched());
        for (size_t i = 0; i < D; ++i) CHECK_AS(out[i] == want + 100.0f * i, at("pool", D, L));
      }
      fast.pool(x.data(), L, D, Pooling::mean_sqrt_len, out.data());
      for (size_t i = 0; i < D; ++i) {
        const float want = (mean + 100.0f * i) * length / std::sqrt(length);
        CHECK_AS(std::fabs(out[i] - want) <= 1e-6f * want, at("mean_sqrt_len", D, L));
      }
    }
}

void test_unit_length(const Kernels& fast) {
  for (const size_t D : {1, 2, 8, 9, 31}) {
    Random random(D);
    const auto x = random_floats(random, D, 3);
    Guarded<float> out(D), plain(D), zeros(D);
    fast.unit_length(x.data(), D, out.data());
    generic_kernels().unit_length(x.data(), D, plain.data());
    CHECK(out.same_bytes(plain) && out.tail_untouched());
    double squares = 0;
    for (size_t i = 0; i < D; ++i) squares += static_cast<double>(x[i]) * x[i];
    for (size_t i = 0; i < D; ++i) CHECK(std::fabs(out[i] - x[i] / std::sqrt(squares)) <= 1e-6);
    for (size_t i = 0; i < D; ++i) zeros[i] = 0;
    fast.unit_length(zeros.data(), D, out.data());
    for (size_t i = 0; i < D; ++i) CHECK(out[i] == 0);
  }
}

void test_sum_words(const Kernels& fast) {
  Random random(2);
  for (const size_t count : {0, 1, 31, 32, 33, 100}) {
    Guarded<uint64_t> words(count);
    uint64_t want = 0;
    for (size_t i = 0; i < count; ++i) want += words[i] = random.next();
    CHECK(generic_kernels().sum_words(words.data(), count) == want);
    CHECK(fast.sum_words(words.data(), count) == want);
  }
}

}  // namespace

int main() {
  std::vector<const Kernels*> all = fast_kernels();
  all.push_back(&generic_kernels());  // against itself: guards and batch invariance
  for (const Kernels* kernels : all) {
    test_store_head(*kernels);
    test_layer_norm(*kernels);
    test_attend(*kernels);
    test_attend_all(*kernels);
    test_rows(*kernels);
    test_pool(*kernels);
    test_unit_length(*kernels);
    test_sum_words(*kernels);
  }
  return report("row_kernels");
}
