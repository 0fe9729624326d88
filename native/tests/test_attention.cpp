// Attention on a pool of threads, and the KV cache it reads and writes.
#include <unistd.h>

#include <stdexcept>

#include "check.hpp"
#include "ops.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

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
  // Without /proc, or in an emulator, whose own memory comes and goes, there is nothing to see.
  if (before == 0 || std::getenv("LAPWING_TEST_EMULATOR") != nullptr) return;
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

}  // namespace

int main() {
  test_attention_in_any_company();
  test_cache_is_a_timeline();
  test_windows_bound_the_cache();
  test_memory_is_committed_as_used();
  return report("attention");
}
