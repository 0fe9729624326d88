// The plane format: where every nibble lies, what is read back, and who may encode it.
#include "check.hpp"
#include "encode.hpp"
#include "planes.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

struct Matrix {
  size_t N, K;
  DType dtype;
  Layout layout;
  Guarded<uint8_t> data;
  DenseView view() const { return {dtype, layout, N, K, data.data()}; }
};

Matrix random_matrix(uint64_t seed, size_t N, size_t K, DType dtype = DType::f32,
                     Layout layout = Layout::nk) {
  Random random(seed);
  return {N, K, dtype, layout, random_weights(random, dtype, N * K, 0.3f)};
}

Matrix of_floats(size_t N, size_t K, const std::vector<float>& values) {
  Matrix m{N, K, DType::f32, Layout::nk, Guarded<uint8_t>(4 * N * K)};
  std::memcpy(m.data.data(), values.data(), 4 * N * K);
  return m;
}

Planes encoded(const Matrix& m, bool refine = true, const char* isa = "generic",
               size_t threads = 1) {
  ThreadPool pool(threads);
  Planes planes(m.N, m.K, refine);
  CHECK(!encode(pool, kernels_for(isa), m.view(), planes));
  return planes;
}

bool same_bytes(const Planes& a, const Planes& b) {
  return a.base_bytes() == b.base_bytes() && a.refine_bytes() == b.refine_bytes() &&
         std::memcmp(a.base(), b.base(), a.base_bytes()) == 0 &&
         std::memcmp(a.factors(), b.factors(), a.factor_bytes()) == 0 &&
         (a.refine_bytes() == 0 || std::memcmp(a.refine(), b.refine(), a.refine_bytes()) == 0);
}

const std::vector<std::pair<size_t, size_t>> kShapes = {
    {1, 1}, {1, 32}, {2, 33}, {7, 31}, {8, 32}, {9, 100}, {17, 128}, {24, 129}, {3, 300}, {65, 65}};

// The layout by hand from the words of the header: nothing of its arithmetic is used.
void test_layout() {
  CHECK(base_stride(1) == 64 + 128);
  CHECK(base_stride(33) == 64 + 2 * 128);
  CHECK(base_stride(128) == 576);
  CHECK(base_stride(129) == 576 + 64 + 128);
  CHECK(refine_stride(129) == 5 * 128);
  CHECK(base_stride(896) == 7 * 576);  // 4.5 bits a weight: 8·896·4.5/8

  const size_t N = 16, K = 192;  // two row groups, a whole block and a half one
  std::vector<uint8_t> base(2 * (576 + 64 + 2 * 128)), refine(2 * 6 * 128);
  const float factors[4] = {0.5f, 0.25f, 2.0f, 1.0f};
  Random random(1);
  std::vector<float> want4(N * K), want8(N * K);
  for (size_t row = 0; row < N; ++row)
    for (size_t g = 0; g < 6; ++g) {
      uint8_t* block = base.data() + row / 8 * 896 + g / 4 * 576;
      const auto scale = static_cast<uint8_t>(random.next());
      const auto centre = static_cast<int8_t>(random.next());
      block[g % 4 * 8 + row % 8] = scale;
      block[32 + g % 4 * 8 + row % 8] = static_cast<uint8_t>(centre);
      const float s = scale * factors[row / 8 * 2], m = centre * factors[row / 8 * 2 + 1];
      for (size_t k = 0; k < 32; ++k) {
        const unsigned u = random.next() & 255u, hi = u >> 4, lo = u & 15u;
        const size_t byte = k / 8 * 32 + row % 8 * 4 + k % 4;
        const unsigned shift = k % 8 < 4 ? 0 : 4;
        block[64 + g % 4 * 128 + byte] |= static_cast<uint8_t>(hi << shift);
        refine[row / 8 * 6 * 128 + g * 128 + byte] |= static_cast<uint8_t>(lo << shift);
        want4[row * K + g * 32 + k] = m + s * static_cast<float>(hi);
        want8[row * K + g * 32 + k] = m + s / 16 * (static_cast<float>(u) - 7.5f);
      }
    }
  const PlaneView view{N, K, base.data(), refine.data(), factors};
  std::vector<float> row(K);
  for (size_t n = 0; n < N; ++n) {
    decode_row(view, Precision::int4, n, row.data());
    for (size_t k = 0; k < K; ++k) CHECK_AS(row[k] == want4[n * K + k], at("int4", n, k));
    decode_row(view, Precision::int8, n, row.data());
    for (size_t k = 0; k < K; ++k) CHECK_AS(row[k] == want8[n * K + k], at("int8", n, k));
  }
}

// In range, |w − w4| ≤ s/2 and |w − w8| ≤ s/32: u is the nearest code, and hi its cell. What is
// added is the rounding of float32 arithmetic on values as large as w and m.
void test_bounds() {
  for (const auto& [N, K] : kShapes) {
    const Matrix matrix = random_matrix(N * 1000 + K, N, K);
    const Planes planes = encoded(matrix);
    const auto* w = reinterpret_cast<const float*>(matrix.data.data());
    Guarded<float> w4(K), w8(K);
    for (size_t n = 0; n < N; ++n) {
      decode_row(planes.view(), Precision::int4, n, w4.data());
      decode_row(planes.view(), Precision::int8, n, w8.data());
      const uint8_t* base = planes.base() + n / 8 * base_stride(K);
      for (size_t k = 0; k < K; ++k) {
        const size_t g = k / kGroup;
        const float s = base[scale_offset(g) + n % 8] * planes.factors()[n / 8 * 2];
        const float m =
            static_cast<int8_t>(base[centre_offset(g) + n % 8]) * planes.factors()[n / 8 * 2 + 1];
        const float x = w[n * K + k], slack = 4e-6f * (std::fabs(x) + std::fabs(m) + s);
        if (x < m - s / 2 || x > m + 15.5f * s) continue;
        CHECK_AS(std::fabs(x - w4[k]) <= s / 2 + slack, at("int4", N, K, n * K + k));
        CHECK_AS(std::fabs(x - w8[k]) <= s / 32 + slack, at("int8", N, K, n * K + k));
      }
    }
    CHECK(w4.tail_untouched() && w8.tail_untouched());
  }
}

void test_same_bytes_whoever_encodes() {
  for (const auto& [N, K] : kShapes)
    for (const DType dtype : kDTypes) {
      const Matrix matrix = random_matrix(7 + N + K, N, K, dtype);
      const Planes whole = encoded(matrix);
      const std::string where = at(name_of(dtype), N, K);
      for (const Kernels* kernels : fast_kernels())
        CHECK_AS(same_bytes(whole, encoded(matrix, true, kernels->name)), where);
      for (const size_t threads : {2, 3})
        CHECK_AS(same_bytes(whole, encoded(matrix, true, "generic", threads)), where);

      const Planes base_only = encoded(matrix, false);
      CHECK_AS(!base_only.has_refine() && base_only.refine_bytes() == 0, where);
      CHECK_AS(std::memcmp(whole.base(), base_only.base(), whole.base_bytes()) == 0, where);

      Matrix turned{N, K, dtype, Layout::kn, Guarded<uint8_t>(matrix.data.size())};
      const size_t size = size_of(dtype);
      for (size_t n = 0; n < N; ++n)
        for (size_t k = 0; k < K; ++k)
          std::memcpy(turned.data.data() + (k * N + n) * size,
                      matrix.data.data() + (n * K + k) * size, size);
      CHECK_AS(same_bytes(whole, encoded(turned)), where);

      Matrix wide{N, K, DType::f32, Layout::nk, Guarded<uint8_t>(4 * N * K)};
      generic_kernels().to_float(dtype, matrix.data.data(), N * K,
                                 reinterpret_cast<float*>(wide.data.data()));
      CHECK_AS(same_bytes(whole, encoded(wide)), where);
    }
}

// Rows that pad a row group read as zero, and so does what pads the planes' last bytes.
void test_padding_rows_are_zero() {
  const Planes planes = encoded(random_matrix(3, 11, 70));
  for (size_t g = 0; g < group_count(70); ++g)
    for (size_t lane = 3; lane < 8; ++lane) {
      const uint8_t* base = planes.base() + base_stride(70);
      CHECK(base[scale_offset(g) + lane] == 0 && base[centre_offset(g) + lane] == 0);
    }
}

void test_exact_groups() {
  Random random(5);
  for (const size_t K : {1, 32, 47, 96}) {
    // Rows of one value each, and of zero: one float factor must serve ±v.
    const float v = random.normal();
    std::vector<float> values(8 * K);
    for (size_t n = 0; n < 8; ++n)
      for (size_t k = 0; k < K; ++k) values[n * K + k] = n % 3 == 0 ? v : n % 3 == 1 ? -v : 0.0f;
    const Planes planes = encoded(of_floats(8, K, values));
    Guarded<float> row(K);
    for (const Precision precision : {Precision::int4, Precision::int8})
      for (size_t n = 0; n < 8; ++n) {
        decode_row(planes.view(), precision, n, row.data());
        for (size_t k = 0; k < K; ++k) CHECK_AS(row[k] == values[n * K + k], at("K", K, n, k));
      }
  }
  // Zero groups beside any others.
  std::vector<float> values(8 * 96);
  for (size_t i = 0; i < values.size(); ++i) values[i] = i / 32 % 3 == 1 ? 0.0f : random.normal();
  const Planes planes = encoded(of_floats(8, 96, values));
  std::vector<float> row(96);
  for (size_t n = 0; n < 8; ++n) {
    decode_row(planes.view(), Precision::int8, n, row.data());
    for (size_t k = 32; k < 64; ++k) CHECK(row[k] == 0);
    decode_row(planes.view(), Precision::int4, n, row.data());
    for (size_t k = 32; k < 64; ++k) CHECK(row[k] == 0);
  }
}

void test_bad_weights_are_found() {
  const float bad_values[] = {NAN, INFINITY, -INFINITY, 2e18f, -3e38f};
  for (const Layout layout : {Layout::nk, Layout::kn})
    for (const float bad : bad_values)
      for (const size_t threads : {1, 3}) {
        const size_t N = 150, K = 37;
        Matrix matrix = random_matrix(9, N, K, DType::f32, layout);
        auto* w = reinterpret_cast<float*>(matrix.data.data());
        const size_t columns = layout == Layout::nk ? K : N;
        const size_t row = layout == Layout::nk ? 77 : 21, column = layout == Layout::nk ? 21 : 77;
        w[row * columns + column] = bad;
        ThreadPool pool(threads);
        Planes planes(N, K, true);
        const auto found = encode(pool, generic_kernels(), matrix.view(), planes);
        CHECK(found && found->row == row && found->column == column);
        CHECK(found && std::memcmp(&found->value, &bad, 4) == 0);
        const auto flat = first_nonfinite(pool, DType::f32, w, N * K);
        if (std::isfinite(bad))
          CHECK(!flat);
        else
          CHECK(flat == row * columns + column);
      }
  for (const DType dtype : {DType::f16, DType::bf16}) {
    Matrix matrix = random_matrix(10, 3, 700, dtype);
    auto* bits = reinterpret_cast<uint16_t*>(matrix.data.data());
    ThreadPool pool(2);
    CHECK(!first_nonfinite(pool, dtype, bits, 2100));
    bits[2099] = dtype == DType::f16 ? 0xfc00 : 0x7fc1;
    CHECK(first_nonfinite(pool, dtype, bits, 2100) == 2099);
    bits[1024] = dtype == DType::f16 ? 0x7c01 : 0xff80;
    CHECK(first_nonfinite(pool, dtype, bits, 2100) == 1024);
  }
}

// The largest and the smallest groups that are accepted stay finite.
void test_extreme_sizes() {
  for (const float scale : {1e18f, 1e-20f, 1e-38f, 1e-45f}) {
    std::vector<float> values(64);
    for (size_t i = 0; i < 64; ++i) values[i] = scale * (i % 2 == 0 ? 1.0f : -1.0f) * (i % 5 == 0);
    const Planes planes = encoded(of_floats(2, 32, values));
    std::vector<float> row(32);
    for (const Precision precision : {Precision::int4, Precision::int8})
      for (size_t n = 0; n < 2; ++n) {
        decode_row(planes.view(), precision, n, row.data());
        for (const float w : row) CHECK_AS(std::isfinite(w) && std::fabs(w) <= 1.1e18f, "extreme");
      }
  }
}

}  // namespace

int main() {
  test_layout();
  test_bounds();
  test_same_bytes_whoever_encodes();
  test_padding_rows_are_zero();
  test_exact_groups();
  test_bad_weights_are_found();
  test_extreme_sizes();
  return report("planes");
}
