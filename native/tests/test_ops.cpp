// Fused operations on a pool of threads, and memory from the system.
#include <unistd.h>

#include <stdexcept>

#include "check.hpp"
#include "ops.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

void test_linears_on_any_thread_count() {
  const size_t N = 333, K = 150, T = 9;
  Random random(1);
  const auto x = random_floats(random, T * K), bias = random_floats(random, N);
  const Epilogue e{nullptr, nullptr, Activation::gelu_tanh, N};
  for (const std::string& isa : available_isas())
    for (const DType dtype : kDTypes)
      for (const Layout layout : {Layout::nk, Layout::kn}) {
        const auto weights = random_weights(random, dtype, N * K);
        const DenseView view{dtype, layout, N, K, weights.data()};
        Planes planes(N, K, true);
        const std::vector<Part<DenseView>> whole = {{view, bias.data()}};
        const std::vector<Part<PlaneView>> coded = {{planes.view(), bias.data()}};
        std::vector<Guarded<float>> dense, int4, int8;
        for (const size_t threads : kThreads) {
          Context context(threads, isa);
          CHECK(!encode(context.pool, context.kernels, view, planes));
          for (auto* results : {&dense, &int4, &int8}) results->emplace_back(T * N);
          linear(context, whole, x.data(), T, e, dense.back().data());
          linear(context, coded, Precision::int4, x.data(), T, e, int4.back().data());
          linear(context, coded, Precision::int8, x.data(), T, e, int8.back().data());
          for (size_t t = 0; t < T; ++t) {  // each token alone
            Guarded<float> one(N);
            linear(context, whole, x.data() + t * K, 1, e, one.data());
            CHECK(std::memcmp(one.data(), dense.back().data() + t * N, N * 4) == 0);
            linear(context, coded, Precision::int8, x.data() + t * K, 1, e, one.data());
            CHECK(std::memcmp(one.data(), int8.back().data() + t * N, N * 4) == 0);
          }
        }
        for (const auto* results : {&dense, &int4, &int8})
          for (const auto& result : *results) {
            CHECK_AS(result.same_bytes(results->front()), isa + at(name_of(dtype), N, K));
            CHECK(result.tail_untouched());
          }
      }
}

// Matrices side by side equal each alone, whatever the threads: every dtype, planes, a residual.
void test_joined_linears() {
  const std::vector<size_t> sizes = {24, 7, 130};
  const size_t K = 70, N = 161;
  Random random(6);
  for (const size_t T : {1, 2, 9}) {
    const auto x = random_floats(random, T * K), residual = random_floats(random, T * N);
    const auto bias = random_floats(random, N);
    for (const std::string& isa : available_isas())
      for (const size_t threads : kThreads)
        for (const Layout layout : {Layout::nk, Layout::kn}) {
          Context context(threads, isa);
          std::vector<Guarded<uint8_t>> weights;
          std::vector<Planes> planes;
          std::vector<Part<DenseView>> dense;
          std::vector<Part<PlaneView>> coded;
          size_t column = 0;
          for (size_t i = 0; i < sizes.size(); ++i) {
            const DType dtype = kDTypes[i];
            weights.push_back(random_weights(random, dtype, sizes[i] * K));
            const DenseView view{dtype, layout, sizes[i], K, weights.back().data()};
            planes.emplace_back(sizes[i], K, true);
            CHECK(!encode(context.pool, context.kernels, view, planes.back()));
            dense.push_back({view, i == 1 ? nullptr : bias.data() + column});
            coded.push_back({planes.back().view(), i == 1 ? nullptr : bias.data() + column});
            column += sizes[i];
          }
          const auto compare = [&](const auto& parts, const auto& run) {
            Guarded<float> together(T * N);
            run(std::span(parts), Epilogue{nullptr, residual.data(), Activation::silu, N},
                together.data());
            CHECK(together.tail_untouched());
            size_t begin = 0;
            for (const auto& part : parts) {
              const size_t width = part.w.N;
              Guarded<float> alone(T * width), rest(T * width);
              for (size_t t = 0; t < T; ++t)
                std::memcpy(rest.data() + t * width, residual.data() + t * N + begin, width * 4);
              run(std::span(&part, 1), Epilogue{nullptr, rest.data(), Activation::silu, width},
                  alone.data());
              for (size_t t = 0; t < T; ++t)
                CHECK(std::memcmp(together.data() + t * N + begin, alone.data() + t * width,
                                  width * 4) == 0);
              begin += width;
            }
          };
          compare(dense, [&](auto parts, const Epilogue& e, float* out) {
            linear(context, parts, x.data(), T, e, out);
          });
          for (const Precision precision : {Precision::int4, Precision::int8})
            compare(coded, [&](auto parts, const Epilogue& e, float* out) {
              linear(context, parts, precision, x.data(), T, e, out);
            });
        }
  }
}

// Float products of many tokens equal one thread's, however tokens and outputs are split.
void test_many_tokens() {
  const size_t N = 49, K = 83;
  Random random(8);
  for (const size_t T : {191, 192, 293, 601}) {
    const auto x = random_floats(random, T * K), residual = random_floats(random, T * N);
    const auto bias = random_floats(random, N);
    for (const std::string& isa : available_isas())
      for (const Layout layout : {Layout::nk, Layout::kn})
        for (const DType dtype : kDTypes) {
          const auto weights = random_weights(random, dtype, N * K);
          const std::vector<Part<DenseView>> parts = {
              {{dtype, layout, N, K, weights.data()}, bias.data()}};
          std::vector<Guarded<float>> results;
          for (const size_t threads : {1, 2, 3, 6}) {
            Context context(threads, isa);
            results.emplace_back(T * N);
            linear(context, parts, x.data(), T,
                   {.residual = residual.data(), .activation = Activation::gelu, .stride = N},
                   results.back().data());
            CHECK(results.back().tail_untouched());
            CHECK(std::memcmp(results.back().data(), results[0].data(), T * N * 4) == 0);
          }
        }
  }
}

// Packed sequences, each alone, on any number of threads; pooling and unit length beside them.
void test_whole_sequences() {
  const std::vector<size_t> lengths = {9, 1, 70, 16};
  const size_t H = 3, Dh = 20, width = H * Dh, T = 96;
  Random random(7);
  const auto qkv = random_floats(random, T * 3 * width);
  std::vector<Guarded<float>> attended, pooled, unit;
  for (const std::string& isa : available_isas())
    for (const size_t threads : kThreads) {
      Context context(threads, isa);
      for (auto* results : {&attended, &unit}) results->emplace_back(T * width);
      pooled.emplace_back(lengths.size() * width);
      attend_all(context, qkv.data(), H, Dh, 0.2f, lengths, attended.back().data());
      pool(context, attended.back().data(), width, lengths, Pooling::mean, pooled.back().data());
      unit_length(context, attended.back().data(), T, width, unit.back().data());
      size_t begin = 0;
      for (size_t s = 0; s < lengths.size(); ++s) {
        const std::vector<size_t> only = {lengths[s]};
        Guarded<float> alone(lengths[s] * width), vector(width);
        attend_all(context, qkv.data() + begin * 3 * width, H, Dh, 0.2f, only, alone.data());
        pool(context, alone.data(), width, only, Pooling::mean, vector.data());
        CHECK(std::memcmp(alone.data(), attended.back().data() + begin * width, alone.size() * 4) ==
              0);
        CHECK(std::memcmp(vector.data(), pooled.back().data() + s * width, width * 4) == 0);
        begin += lengths[s];
      }
      for (const auto* results : {&attended, &pooled, &unit})
        CHECK(results->back().same_bytes(results->front()) && results->back().tail_untouched());
    }
}

void test_embed() {
  const size_t V = 21, S = 5, D = 45;
  Random random(2);
  const std::vector<int64_t> ids = {20, 0, 7, 7}, positions = {0, 4, 1, 2};
  for (const std::string& isa : available_isas()) {
    Context context(2, isa);
    for (const DType dtype : kDTypes) {
      const auto table = random_weights(random, dtype, V * D);
      const auto position_table = random_weights(random, dtype, S * D);
      const DenseView dense{dtype, Layout::nk, V, D, table.data()};
      const DenseView at_view{dtype, Layout::nk, S, D, position_table.data()};
      Guarded<float> wide(V * D), wide_positions(S * D), out(ids.size() * D);
      context.kernels.to_float(dtype, table.data(), V * D, wide.data());
      context.kernels.to_float(dtype, position_table.data(), S * D, wide_positions.data());
      const std::vector<Lookup> both = {{dense, ids}, {at_view, positions}};
      embed(context, both, ids.size(), D, 1, out.data());
      for (size_t t = 0; t < ids.size(); ++t)
        for (size_t i = 0; i < D; ++i)
          CHECK(out[t * D + i] == wide[ids[t] * D + i] + wide_positions[positions[t] * D + i]);
      CHECK(out.tail_untouched());

      for (const bool refine : {true, false}) {
        Planes planes(V, D, refine);
        CHECK(!encode(context.pool, context.kernels, dense, planes));
        const PlaneView view = planes.view();
        const std::vector<Lookup> one = {{view, ids}};
        embed(context, one, ids.size(), D, 1, out.data());
        Guarded<float> row(D);
        for (size_t t = 0; t < ids.size(); ++t) {
          decode_row(view, refine ? Precision::int8 : Precision::int4, ids[t], row.data());
          CHECK(std::memcmp(row.data(), out.data() + t * D, D * 4) == 0);
        }
      }
    }
  }
}

void test_layer_norm_rows() {
  const size_t T = 70, D = 120;
  Random random(3);
  const auto x = random_floats(random, T * D), weight = random_floats(random, D);
  const auto bias = random_floats(random, D);
  std::vector<Guarded<float>> results;
  for (const std::string& isa : available_isas())
    for (const size_t threads : kThreads) {
      Context context(threads, isa);
      results.emplace_back(T * D);
      layer_norm(context, x.data(), T, D, weight.data(), bias.data(), 1e-5f, results.back().data());
      CHECK(results.back().same_bytes(results.front()) && results.back().tail_untouched());
    }
}

// gate and up side by side, or stacked in one matrix: activation(gate)·up of the plain linears.
void test_gated_linears() {
  const size_t K = 70, F = 33;
  Random random(8);
  for (const size_t T : {1, 2, 9}) {
    const auto x = random_floats(random, T * K);
    const auto weights = random_weights(random, DType::f32, 2 * F * K);
    const DenseView whole{DType::f32, Layout::nk, 2 * F, K, weights.data()};
    const DenseView gate{DType::f32, Layout::nk, F, K, weights.data()};
    const DenseView up{DType::f32, Layout::nk, F, K, weights.data() + F * K * sizeof(float)};
    for (const std::string& isa : available_isas())
      for (const size_t threads : kThreads) {
        Context context(threads, isa);
        Planes gate_planes(F, K, true), up_planes(F, K, true);
        CHECK(!encode(context.pool, context.kernels, gate, gate_planes));
        CHECK(!encode(context.pool, context.kernels, up, up_planes));
        const auto compare = [&](const auto& parts, const auto& plain, const auto& gated) {
          Guarded<float> both(T * 2 * F), out(T * F), want(F);
          plain(std::span(parts), both.data());
          gated(std::span(parts), out.data());
          CHECK(out.tail_untouched());
          for (size_t t = 0; t < T; ++t) {
            const float* row = both.data() + t * 2 * F;
            context.kernels.gate(row, row + F, F, Activation::silu, want.data());
            CHECK(std::memcmp(want.data(), out.data() + t * F, F * sizeof(float)) == 0);
          }
        };
        const auto dense = [&](auto parts, float* out) {
          linear(context, parts, x.data(), T, {.stride = 2 * F}, out);
        };
        const auto gated_dense = [&](auto parts, float* out) {
          gated_linear(context, parts, x.data(), T, Activation::silu, out);
        };
        compare(std::vector<Part<DenseView>>{{gate}, {up}}, dense, gated_dense);
        compare(std::vector<Part<DenseView>>{{whole}}, dense, gated_dense);
        const std::vector<Part<PlaneView>> coded = {{gate_planes.view()}, {up_planes.view()}};
        for (const Precision precision : {Precision::int4, Precision::int8})
          compare(
              coded,
              [&](auto parts, float* out) {
                linear(context, parts, precision, x.data(), T, {.stride = 2 * F}, out);
              },
              [&](auto parts, float* out) {
                gated_linear(context, parts, precision, x.data(), T, Activation::silu, out);
              });
      }
  }
}

void test_region() {
  Region empty, none(0);
  CHECK(empty.data() == nullptr && none.data() == nullptr && none.nbytes() == 0);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  Region region(3 * page + 5);
  CHECK(region.nbytes() == 3 * page + 5 && reinterpret_cast<uintptr_t>(region.data()) % page == 0);
  for (size_t i = 0; i < region.nbytes(); ++i) CHECK(region.data()[i] == 0);
  std::memset(region.data(), 9, region.nbytes());
  region.discard(1, 3 * page - 1);  // only the whole page inside
  CHECK(region.data()[page - 1] == 9 && region.data()[page] == 0);
  CHECK(region.data()[2 * page - 1] == 0 && region.data()[2 * page] == 9);
  region.discard(10, 10), region.discard(20, 10);
  CHECK(region.data()[10] == 9);
  uint8_t* data = region.data();
  Region moved(std::move(region));
  CHECK(moved.data() == data);
  empty = std::move(moved);
  CHECK(empty.data() == data && empty.nbytes() == 3 * page + 5);
  CHECK_THROWS(Region(size_t{1} << 62), std::bad_alloc);
}

void test_threads_by_tokens() {
  Context context(2, "auto");
  const auto used = [&](size_t tokens) {
    const auto lock = context.begin(tokens);
    return context.pool.threads();
  };
  CHECK(used(1) == 2 && used(9) == 2 && context.prefill_threads() == 2);
  context.set_threads(1, 3);
  CHECK(context.threads() == 1 && context.prefill_threads() == 3);
  CHECK(used(1) == 1 && used(8) == 1 && used(9) == 3 && used(1) == 1 && used(SIZE_MAX) == 3);
  context.set_threads(2, 0);
  CHECK(used(8) == 2 && used(9) == 1 && context.pool.size() == 3);
  context.set_threads(4, 4);
  CHECK(used(8) == 4 && used(9) == 4);
}

}  // namespace

int main() {
  test_linears_on_any_thread_count();
  test_joined_linears();
  test_many_tokens();
  test_whole_sequences();
  test_embed();
  test_layer_norm_rows();
  test_gated_linears();
  test_region();
  test_threads_by_tokens();
  return report("ops");
}
