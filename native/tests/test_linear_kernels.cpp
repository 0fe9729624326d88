// Every kernel of numbers and linears, on every instruction set, equals the generic one, bit for
// bit, at ragged sizes, and gives a token the same bits whatever stands beside it.
#include "check.hpp"
#include "encode.hpp"
#include "kernels/vec_generic.hpp"
#include "linears.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

// Half precision.

void test_halves() {
  using generic::float_to_half, generic::half_to_float;
  for (uint32_t h = 0; h < 65536; ++h) {
    const auto half = static_cast<uint16_t>(h);
    const float f = half_to_float(half);
    const uint32_t exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) {
      CHECK_AS(fraction == 0 ? std::isinf(f) : std::isnan(f), at("half", h));
      CHECK_AS(std::signbit(f) == (h >> 15 == 1), at("half", h));
      if (fraction == 0) CHECK_AS(float_to_half(f) == half, at("half", h));
      continue;
    }
    const double magnitude = exponent == 0
                                 ? std::ldexp(fraction, -24)
                                 : std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
    CHECK_AS(static_cast<double>(f) == (h >> 15 ? -magnitude : magnitude), at("half", h));
    CHECK_AS(std::signbit(f) == (h >> 15 == 1), at("half", h));
    CHECK_AS(float_to_half(f) == half, at("half", h));
    if (h >= 0x8000) continue;
    // Half way to the next: ties go to the even one; anything off the middle goes to the nearer.
    const auto next = static_cast<uint16_t>(h + 1);
    const float above = next == 0x7c00 ? 65536.0f : half_to_float(next);
    const float middle = f + (above - f) / 2;
    const uint16_t even = h % 2 == 0 ? half : next;
    for (const uint16_t sign : {0, 0x8000}) {
      const float s = sign == 0 ? 1.0f : -1.0f;
      CHECK_AS(float_to_half(s * middle) == (even | sign), at("middle", h));
      CHECK_AS(float_to_half(s * std::nextafter(middle, 0.0f)) == (half | sign), at("below", h));
      CHECK_AS(float_to_half(s * std::nextafter(middle, 1e9f)) == (next | sign), at("above", h));
    }
  }
  CHECK(float_to_half(1e30f) == 0x7c00 && float_to_half(-INFINITY) == 0xfc00);
  CHECK((float_to_half(NAN) & 0x7fff) > 0x7c00);
}

void test_conversions(const Kernels& fast) {
  const Kernels& plain = generic_kernels();
  for (const DType dtype : {DType::f16, DType::bf16}) {
    Guarded<uint16_t> bits(65536 + 5);
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
    Guarded<float> a(bits.size()), b(bits.size());
    plain.to_float(dtype, bits.data(), bits.size(), a.data());
    fast.to_float(dtype, bits.data(), bits.size(), b.data());
    for (size_t i = 0; i < bits.size(); ++i)
      CHECK_AS(std::isnan(a[i]) ? std::isnan(b[i])
                                : std::bit_cast<uint32_t>(a[i]) == std::bit_cast<uint32_t>(b[i]),
               at(name_of(dtype), i));
    CHECK(a.tail_untouched() && b.tail_untouched());
  }
  for (size_t count = 0; count < 20; ++count)
    for (const DType dtype : kDTypes) {
      Random random(count);
      const auto in = random_weights(random, dtype, count);
      Guarded<float> a(count), b(count);
      plain.to_float(dtype, in.data(), count, a.data());
      fast.to_float(dtype, in.data(), count, b.data());
      CHECK_AS(a.same_bytes(b) && a.tail_untouched() && b.tail_untouched(), at("count", count));
    }
}

// Integer linears.

void test_quantize_row(const Kernels& fast, CodeRange range) {
  const bool narrow = range == CodeRange::narrow;
  const float steps = narrow ? 126 : 127;
  for (const size_t K : {1, 5, 31, 32, 33, 40, 64, 95, 100}) {
    Random random(K);
    Guarded<float> x = random_floats(random, K);
    for (const float scale : {1.0f, 1e-31f, 1e30f, 0.0f}) {
      for (size_t k = 0; k < K; ++k) x[k] *= scale;
      const Activations a = quantized(generic_kernels(), x, 1, K, range);
      const Activations b = quantized(fast, x, 1, K, range);
      CHECK_AS(
          a.codes.same_bytes(b.codes) && a.scale.same_bytes(b.scale) && a.sum.same_bytes(b.sum),
          at("K", K));
      for (size_t k = K; k < a.codes.size(); ++k) CHECK(a.codes[k] == 0);
      for (size_t g = 0; g < group_count(K); ++g) {
        float amax = 0;
        int total = 0, largest = 0;
        for (size_t k = g * 32; k < g * 32 + 32; ++k) {
          float sum = 0;
          int codes = 0;
          for (const size_t each : {k & ~5, (k & ~5) + 1, (k & ~5) + 4, (k & ~5) + 5}) {
            sum += each < K ? std::fabs(x[each]) : 0.0f;
            codes += std::abs(a.codes[each]);
          }
          largest = std::max(largest, codes);
          if (k >= K) continue;
          amax = std::fmax(amax, narrow ? sum : std::fabs(x[k]));
          total += a.codes[k];
          // Half a step, and the rounding of steps/amax and amax/steps.
          CHECK_AS(std::fabs(x[k] - a.codes[k] * a.scale[g]) <= a.scale[g] * 0.5001f + 1e-30f,
                   at("K", K, k));
        }
        if (amax > 1e-30f) CHECK(std::fabs(a.scale[g] * steps - amax) <= amax * 1e-6f);
        if (narrow) CHECK(largest <= 128);
        CHECK(a.sum[g] == a.scale[g] * static_cast<float>(total));
      }
    }
  }
}

void test_plane_linear(const Kernels& fast, CodeRange range) {
  const Kernels& plain = generic_kernels();
  for (const size_t N : {1, 7, 8, 9, 16, 17, 31, 40})
    for (const size_t K : {1, 8, 31, 32, 33, 65, 128, 160, 200})
      for (const bool extreme : {false, true}) {  // the largest codes against nibbles of 15
        const size_t T = 13;
        Random random(N * 1000 + K);
        const GuardedPlanes planes = random_planes(N + K, N, K, extreme);
        Guarded<float> x = random_floats(random, T * K);
        if (extreme)
          for (size_t i = 0; i < x.size(); ++i) x[i] = (i / K) % 2 == 0 ? 1.0f : -1.0f;
        const Activations q = quantized(plain, x, T, K, range);
        const auto bias = random_floats(random, N), residual = random_floats(random, T * N);
        const Epilogue e{bias.data(), residual.data(), kActivations[(N + K) % 6], N};
        const size_t row_groups = row_group_count(N);
        const auto scratch = scratch_of(plane_scratch_bytes(K));
        for (const Precision precision : {Precision::int4, Precision::int8}) {
          const PlaneView view = planes.view(precision == Precision::int8);
          const std::string where =
              at(precision == Precision::int8 ? "int8" : "int4", N, K, extreme);
          Guarded<float> want(T * N);
          plain.plane_linear(view, precision, q.rows(0, K), T, 0, row_groups, e, want.data(),
                             scratch.data());
          CHECK_AS(want.tail_untouched(), where);
          for (const Kernels* kernels : {&plain, &fast}) {
            for (const size_t tokens : {1, 2, 3, 5, 6, 7, 13}) {  // each cut, all tokens covered
              Guarded<float> got(T * N);
              for (size_t t = 0; t < T; t += tokens) {
                const size_t count = std::min(tokens, T - t);
                Epilogue part = e;
                part.residual += t * N;
                // Row groups in two ranges: an odd first one moves the panels.
                const size_t cut = row_groups / 2;
                kernels->plane_linear(view, precision, q.rows(t, K), count, 0, cut, part,
                                      got.data() + t * N, scratch.data());
                kernels->plane_linear(view, precision, q.rows(t, K), count, cut, row_groups, part,
                                      got.data() + t * N, scratch.data());
              }
              CHECK_AS(want.same_bytes(got) && got.tail_untouched(), where);
            }
          }
        }
      }
}

// The definition in double precision, from decoded weights and activations.
void test_plane_linear_is_the_formula() {
  const size_t N = 11, K = 77, T = 3;
  Random random(8);
  const auto weights = random_weights(random, DType::f32, N * K, 0.2f);
  Planes planes(N, K, true);
  ThreadPool pool(1);
  const DenseView dense{DType::f32, Layout::nk, N, K, weights.data()};
  CHECK(!encode(pool, generic_kernels(), dense, planes));
  const Guarded<float> x = random_floats(random, T * K);
  const Activations q = quantized(generic_kernels(), x, T, K);
  std::vector<float> out(T * N), row(K);
  for (const Precision precision : {Precision::int4, Precision::int8}) {
    generic_kernels().plane_linear(planes.view(), precision, q.rows(0, K), T, 0, row_group_count(N),
                                   {.stride = N}, out.data(), nullptr);
    for (size_t n = 0; n < N; ++n) {
      decode_row(planes.view(), precision, n, row.data());
      for (size_t t = 0; t < T; ++t) {
        double sum = 0, size = 0;
        for (size_t k = 0; k < K; ++k) {
          const double term =
              static_cast<double>(row[k]) * q.codes[t * 96 + k] * q.scale[t * 3 + k / 32];
          sum += term;
          size += std::fabs(term);
        }
        CHECK_AS(std::fabs(out[t * N + n] - sum) <= 1e-5 * size, at("formula", n, t));
      }
    }
  }
}

void test_encode_group(const Kernels& fast) {
  Random random(21);
  for (int round = 0; round < 200; ++round) {
    Guarded<float> w(kGroup * kRows);
    float lo = 0, hi = 0;
    for (size_t i = 0; i < w.size(); ++i) {
      const size_t row = i % kRows;
      const float outlier = row == 3 && i / kRows == 9 ? 12.0f : 1.0f;
      w[i] = row == 5 ? 0.0f : row == 6 ? 0.7f : random.normal() * outlier * (row + 1.0f);
      lo = std::fmin(lo, w[i]), hi = std::fmax(hi, w[i]);
    }
    GroupCodes a{}, b{};
    const float scale = (hi - lo) / 15 / 255, centre = round % 10 == 0 ? 0.0f : -lo / 127;
    generic_kernels().encode_group(w.data(), scale, centre, a);
    fast.encode_group(w.data(), scale, centre, b);
    CHECK_AS(std::memcmp(&a, &b, sizeof a) == 0, at("round", round));
    CHECK(a.scale[5] == 0 && a.centre[5] == 0 && a.scale[6] == 0);
  }
}

// Float linears.

void test_dense_linear(const Kernels& fast) {
  const Kernels& plain = generic_kernels();
  for (const DType dtype : kDTypes)
    for (const Layout layout : {Layout::nk, Layout::kn})
      for (const size_t N : {1, 3, 4, 8, 9, 15, 16, 17, 33, 66})
        for (const size_t K : {1, 3, 4, 8, 15, 33}) {
          const size_t T = 13;
          Random random(N * 100 + K);
          const auto weights = random_weights(random, dtype, N * K);
          const auto x = random_floats(random, T * K);
          const auto bias = random_floats(random, N), residual = random_floats(random, T * N);
          const DenseView view{dtype, layout, N, K, weights.data()};
          const Epilogue e{bias.data(), residual.data(), kActivations[(N + K) % 6], N};
          const auto scratch = scratch_of(dense_scratch_bytes());
          const std::string where =
              at(name_of(dtype), N, K, static_cast<size_t>(layout == Layout::kn));
          Guarded<float> want(T * N);
          plain.dense_linear(view, packed(plain, view, x.data(), T).rows(), T, 0, N, e, want.data(),
                             scratch.data());
          CHECK_AS(want.tail_untouched(), where);
          for (const Kernels* kernels : {&plain, &fast})
            for (const size_t tokens : {1, 2, 3, 5, 6, 13})
              for (const size_t cut : {size_t{0}, N / 2}) {
                Guarded<float> got(T * N);
                for (size_t t = 0; t < T; t += tokens) {
                  const size_t count = std::min(tokens, T - t);
                  Epilogue part = e;
                  part.residual += t * N;
                  float* out = got.data() + t * N;
                  const FloatActivations some = packed(*kernels, view, x.data() + t * K, count);
                  kernels->dense_linear(view, some.rows(), count, 0, cut, part, out,
                                        scratch.data());
                  kernels->dense_linear(view, some.rows(), count, cut, N, part, out,
                                        scratch.data());
                }
                CHECK_AS(want.same_bytes(got) && got.tail_untouched(), where);
              }
          // No epilogue: Σ w·x in double precision.
          Guarded<float> sums(T * N), wide(N * K);
          plain.dense_linear(view, packed(plain, view, x.data(), T).rows(), T, 0, N, {.stride = N},
                             sums.data(), scratch.data());
          plain.to_float(dtype, weights.data(), N * K, wide.data());
          for (size_t t = 0; t < T; ++t)
            for (size_t n = 0; n < N; ++n) {
              double sum = 0, size = 0;
              for (size_t k = 0; k < K; ++k) {
                const double term =
                    static_cast<double>(wide[layout == Layout::nk ? n * K + k : k * N + n]) *
                    x[t * K + k];
                sum += term, size += std::fabs(term);
              }
              CHECK_AS(std::fabs(sums[t * N + n] - sum) <= 1e-5 * size, where);
            }
        }
}

// A [K, N] matrix wider than one stretch of the streaming kernel.
void test_wide_conv1d(const Kernels& fast) {
  const size_t N = 1024 + 517, K = 6, T = 2;
  for (const DType dtype : kDTypes) {
    Random random(4);
    const auto weights = random_weights(random, dtype, N * K);
    const auto x = random_floats(random, 3 * K);
    const DenseView view{dtype, Layout::kn, N, K, weights.data()};
    const auto scratch = scratch_of(dense_scratch_bytes());
    Guarded<float> want(3 * N), got(T * N);  // three tokens take the other way
    generic_kernels().dense_linear(view, packed(generic_kernels(), view, x.data(), 3).rows(), 3, 0,
                                   N, {.stride = N}, want.data(), scratch.data());
    fast.dense_linear(view, {x.data()}, T, 0, N, {.stride = N}, got.data(), scratch.data());
    CHECK(std::memcmp(want.data(), got.data(), T * N * sizeof(float)) == 0);
    CHECK(got.tail_untouched());
  }
}

// Activations against libm, and equal on every instruction set, through one linear with K = 1.
void test_activations(const Kernels& fast) {
  std::vector<float> inputs = {0.0f, -0.0f, 1e-30f, 88.0f, -88.0f, 1e4f, -1e4f, 3e38f, -3e38f};
  for (int i = -2000; i <= 2000; ++i) inputs.push_back(static_cast<float>(i) * 0.01f);
  const size_t N = inputs.size();
  const float one = 1;
  const DenseView view{DType::f32, Layout::nk, N, 1, inputs.data()};
  const auto scratch = scratch_of(dense_scratch_bytes());
  for (const Activation activation : kActivations) {
    Guarded<float> a(N), b(N);
    const Epilogue e{nullptr, nullptr, activation, 1};
    generic_kernels().dense_linear(view, {&one}, 1, 0, N, e, a.data(), scratch.data());
    fast.dense_linear(view, {&one}, 1, 0, N, e, b.data(), scratch.data());
    CHECK_AS(a.same_bytes(b), at("activation", static_cast<size_t>(activation)));
    for (size_t i = 0; i < N; ++i) {
      const double x = inputs[i], root = std::sqrt(2 / 3.14159265358979323846);
      double want = x;
      if (activation == Activation::relu) want = x > 0 ? x : 0;
      if (activation == Activation::silu) want = x / (1 + std::exp(-x));
      if (activation == Activation::tanh) want = std::tanh(x);
      if (activation == Activation::gelu) want = x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
      if (activation == Activation::gelu_tanh)
        want = x / 2 * (1 + std::tanh(root * (x + 0.044715 * x * x * x)));
      // 2^-21 of the sigmoid; erf is good to 4e-7 absolutely.
      const double bound = 1e-6 * (1 + std::fabs(x));
      CHECK_AS(std::fabs(a[i] - want) <= bound,
               at("activation", static_cast<size_t>(activation), i) + std::to_string(x));
    }
  }
}

}  // namespace

int main() {
  test_halves();
  test_plane_linear_is_the_formula();
  std::vector<const Kernels*> all = fast_kernels();
  all.push_back(&generic_kernels());  // against itself: guards and batch invariance
  for (const Kernels* kernels : all) {
    test_conversions(*kernels);
    for (const CodeRange range : kCodeRanges) {
      test_quantize_row(*kernels, range);
      test_plane_linear(*kernels, range);
    }
    test_encode_group(*kernels);
    test_dense_linear(*kernels);
    test_wide_conv1d(*kernels);
    test_activations(*kernels);
  }
  return report("linear_kernels");
}
