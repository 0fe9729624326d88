// Fused operations on a pool of threads, the KV cache, and memory from the system.
#include <unistd.h>

#include <stdexcept>

#include "check.hpp"
#include "ops.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

const std::vector<size_t> kThreads = {1, 2, 3, 5};

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

struct Heads {
  size_t n_heads, n_kv_heads, head_dim;
  size_t stride() const { return (n_heads + 2 * n_kv_heads) * head_dim; }
  size_t width() const { return n_heads * head_dim; }
};

void attend_at(Context& context, const Heads& h, size_t layer, const float* qkv,
               const std::vector<KVCache*>& caches, const std::vector<size_t>& lengths, float* out,
               AttentionShape shape = {}) {
  shape.layer = layer, shape.n_heads = h.n_heads, shape.n_kv_heads = h.n_kv_heads;
  shape.head_dim = h.head_dim, shape.scale = 0.3f;
  attend(context, shape, qkv, caches, lengths, out);
}

// A packed batch equals each sequence alone, and a prompt equals its tokens one by one: plain, and
// with windows, turned and normed heads and capped scores.
void test_attention_in_any_company() {
  const std::vector<size_t> lengths = {5, 1, 70};
  for (const Heads heads : {Heads{4, 4, 12}, Heads{6, 2, 8}})
    for (const DType dtype : {DType::f32, DType::f16})
      for (const bool rich : {false, true}) {
        Random random(4);
        const size_t T = 76, stride = heads.stride(), width = heads.width(), half = 4;
        const auto qkv = random_floats(random, T * stride);
        const auto rotations = random_floats(random, T * 2 * half);
        const auto query_norm = random_floats(random, heads.head_dim);
        const auto key_norm = random_floats(random, heads.head_dim);
        const auto shape_of = [&](size_t begin) {
          AttentionShape shape{};
          if (rich)
            shape = {.softcap = 2,
                     .rotations = rotations.data() + begin * 2 * half,
                     .half = half,
                     .query_norm = query_norm.data(),
                     .key_norm = key_norm.data(),
                     .norm_eps = 1e-5f};
          return shape;
        };
        const std::vector<size_t> windows =
            rich ? std::vector<size_t>{0, 9} : std::vector<size_t>{};
        std::vector<Guarded<float>> results;
        for (const std::string& isa : available_isas())
          for (const size_t threads : kThreads) {
            Context context(threads, isa);
            const auto fresh = [&] {
              std::vector<KVCache> caches;
              for (const size_t length : lengths)
                caches.emplace_back(2, heads.n_kv_heads, heads.head_dim, length + 3, dtype,
                                    windows);
              return caches;
            };
            auto packed = fresh(), alone = fresh(), stepwise = fresh();
            Guarded<float> together(T * width), each(T * width), steps(T * width);
            std::vector<KVCache*> all;
            for (KVCache& cache : packed) all.push_back(&cache);
            attend_at(context, heads, 1, qkv.data(), all, lengths, together.data(), shape_of(0));
            size_t begin = 0;
            for (size_t s = 0; s < lengths.size(); ++s) {
              const float* rows = qkv.data() + begin * stride;
              attend_at(context, heads, 1, rows, {&alone[s]}, {lengths[s]},
                        each.data() + begin * width, shape_of(begin));
              for (size_t i = 0; i < lengths[s]; ++i) {
                attend_at(context, heads, 1, rows + i * stride, {&stepwise[s]}, {1},
                          steps.data() + (begin + i) * width, shape_of(begin + i));
                stepwise[s].advance(1);
              }
              begin += lengths[s];
            }
            CHECK(together.same_bytes(each) && together.same_bytes(steps));
            CHECK(together.tail_untouched() && each.tail_untouched() && steps.tail_untouched());
            results.push_back(std::move(together));
            CHECK(results.back().same_bytes(results.front()));
          }
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

void test_cache_is_a_timeline() {
  const Heads heads{2, 2, 10};
  Context context(2, "auto");
  Random random(5);
  const size_t T = 900, stride = heads.stride(), width = heads.width();  // lines of several pages
  const auto qkv = random_floats(random, T * stride);
  const auto append = [&](KVCache& cache, size_t from, size_t count) {
    Guarded<float> out(count * width);
    for (const size_t layer : {0, 1})
      attend_at(context, heads, layer, qkv.data() + from * stride, {&cache}, {count}, out.data());
    cache.advance(count);
    return out;
  };
  const auto same = [](const KVCache& a, const KVCache& b) {
    bool equal = a.length() == b.length();
    for (size_t layer = 0; layer < a.layers(); ++layer)
      for (size_t head = 0; head < a.kv_heads(); ++head)
        for (const bool value : {false, true})
          equal &= std::memcmp(a.row(layer, value, head, 0), b.row(layer, value, head, 0),
                               a.length() * a.row_bytes()) == 0;
    return equal;
  };
  for (const DType dtype : {DType::f32, DType::f16}) {
    KVCache cache(2, 2, 10, T, dtype), straight(2, 2, 10, T, dtype);
    CHECK(cache.length() == 0 && cache.capacity() == T && cache.used_bytes() == 0);
    CHECK(cache.head_stride() == 16 && cache.dtype() == dtype);
    append(cache, 0, 850);
    CHECK(cache.used_bytes() == 850u * 2 * 2 * 2 * 16 * size_of(dtype));
    cache.truncate(3);  // gives whole pages back in the middle of every line
    CHECK(cache.length() == 3);
    KVCache fork = cache.fork();
    const auto again = append(cache, 3, 500);
    append(straight, 0, 3);
    const auto never_left = append(straight, 3, 500);
    CHECK(again.same_bytes(never_left) && same(cache, straight));

    CHECK(fork.length() == 3 && fork.capacity() == T);
    append(fork, 700, 20);  // other tokens: neither sees the other's
    CHECK(fork.length() == 23 && cache.length() == 503 && same(cache, straight));
    append(cache, 503, 1), append(straight, 503, 1);
    CHECK(same(cache, straight));

    CHECK_THROWS(cache.truncate(505), std::out_of_range);
    CHECK_THROWS(cache.advance(T - 503), std::out_of_range);
    CHECK_THROWS(cache.advance(SIZE_MAX), std::out_of_range);
    CHECK(cache.length() == 504);
    cache.truncate(504), cache.truncate(0);
    CHECK(cache.length() == 0 && cache.used_bytes() == 0);
    cache.advance(T);
    CHECK_THROWS(cache.advance(1), std::out_of_range);
  }
  CHECK_THROWS(KVCache(1, 1, 8, 8, DType::bf16), std::invalid_argument);
  CHECK_THROWS(KVCache(1, size_t{1} << 40, 1024, size_t{1} << 40, DType::f32), std::bad_alloc);
}

// A window gives back what it no longer sees, and says how far back the cache can go.
void test_windows_bound_the_cache() {
  const size_t window = 300, layers = 2;
  KVCache cache(layers, 2, 16, 5000, DType::f32, {0, window}),
      twin(layers, 2, 16, 5000, DType::f32);
  CHECK(cache.window(0) == 0 && cache.window(1) == window && cache.shortest() == 0);
  const auto fill = [&](KVCache& to, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      for (size_t layer = 0; layer < layers; ++layer)
        for (size_t head = 0; head < 2; ++head)
          for (const bool value : {false, true})
            std::memset(to.row(layer, value, head, to.length()), 1, to.row_bytes());
      to.advance(1);
    }
  };
  const size_t per_position = 2 * 2 * cache.row_bytes();
  fill(cache, 400), fill(twin, 400);
  CHECK(cache.used_bytes() == twin.used_bytes() && cache.shortest() == 0);  // too little to give
  cache.truncate(10), cache.advance(390);
  fill(cache, 4000), fill(twin, 4000);
  const size_t kept = cache.used_bytes() / per_position - 4400;  // of the layer with a window
  CHECK_AS(kept >= window && kept <= 2 * window + 256, std::to_string(kept));
  CHECK(cache.shortest() > 4400 - window - 256 && cache.shortest() <= 4400);
  CHECK(*cache.row(1, false, 1, 4399) == 1 && *cache.row(1, false, 0, 4400 - window) == 1);
  CHECK(*cache.row(1, false, 1, 1000) == 0 && *cache.row(0, false, 1, 1000) == 1);
  CHECK_THROWS(cache.truncate(cache.shortest() - 1), std::out_of_range);
  KVCache fork = cache.fork();
  CHECK(fork.length() == 4400 && fork.shortest() == cache.shortest());
  CHECK(*fork.row(1, true, 1, 4399) == 1 && *fork.row(0, true, 1, 0) == 1);
  cache.truncate(cache.shortest());
  cache.truncate(0);
  CHECK(cache.shortest() == 0 && cache.used_bytes() == 0);
  CHECK_THROWS(KVCache(2, 1, 8, 8, DType::f32, {1}), std::invalid_argument);
}

size_t resident_bytes() {
  size_t total = 0, resident = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%zu %zu", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// Reserving costs nothing, filling commits, truncating gives back.
void test_memory_is_committed_as_used() {
  const size_t before = resident_bytes();
  if (before == 0) return;                       // a system without /proc
  KVCache cache(4, 4, 64, 1 << 20, DType::f32);  // 8 GiB of addresses
  CHECK(resident_bytes() - before < 8u << 20);
  const size_t filled = 4096, line = filled * cache.row_bytes();
  for (size_t layer = 0; layer < 4; ++layer)
    for (size_t head = 0; head < 4; ++head)
      for (const bool value : {false, true}) std::memset(cache.row(layer, value, head, 0), 1, line);
  cache.advance(filled);
  CHECK(resident_bytes() - before >= cache.used_bytes());
  cache.truncate(0);
  CHECK(resident_bytes() - before < 8u << 20);
  CHECK(*cache.row(3, true, 3, 100) == 0);
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

void test_instruction_sets() {
  const auto names = available_isas();
  CHECK(names.back() == "generic");
  for (const std::string& name : names) CHECK(kernels_for(name).name == name);
  CHECK(kernels_for("auto").name == names.front());
  CHECK_THROWS(kernels_for("sse"), std::invalid_argument);
}

}  // namespace

int main() {
  test_linears_on_any_thread_count();
  test_joined_linears();
  test_whole_sequences();
  test_embed();
  test_layer_norm_rows();
  test_attention_in_any_company();
  test_gated_linears();
  test_cache_is_a_timeline();
  test_windows_bound_the_cache();
  test_memory_is_committed_as_used();
  test_region();
  test_instruction_sets();
  return report("ops");
}
