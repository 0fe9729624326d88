// Linears of any shape: N and K to beyond two blocks, tokens from 1 to 300, cut anywhere, against
// the generic kernels, which run once over the whole. The same shapes every time.
#include "linears.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

// Mostly small, so that all remainders come; at times as large as asked.
size_t up_to(Random& random, size_t most) {
  return 1 + random.next() % (random.next() % 4 == 0 ? most : most / 6 + 1);
}

struct Shape {
  size_t N, K, T;
};
Shape random_shape(Random& random) {
  Shape s{up_to(random, 70), up_to(random, 330), up_to(random, 300)};
  while (s.N * s.K * s.T > 400'000) (s.K > 40 ? s.K : s.N) /= 2;  // generic kernels take their time
  return s;
}

// Calls product(token, count, first, last) for stretches of tokens and of outputs that cover all.
template <class Product>
void in_pieces(Random& random, size_t T, size_t outputs, const Product& product) {
  for (size_t t = 0; t < T;) {
    const size_t count =
        std::min<size_t>(T - t, random.next() % 3 == 0 ? T : 1 + random.next() % 40);
    const size_t cut = random.next() % (outputs + 1);
    product(t, count, 0, cut);
    product(t, count, cut, outputs);
    t += count;
  }
}

Epilogue random_epilogue(Random& random, const float* bias, const float* residual, size_t N) {
  return {random.next() % 2 ? bias : nullptr, random.next() % 2 ? residual : nullptr,
          kActivations[random.next() % std::size(kActivations)], N};
}
Epilogue from_token(Epilogue e, size_t t) {
  if (e.residual != nullptr) e.residual += t * e.stride;
  return e;
}

void fuzz_planes(uint64_t seed, const std::vector<const Kernels*>& all) {
  const Kernels& plain = generic_kernels();
  Random random(seed);
  const Shape shape = random_shape(random);
  const size_t N = shape.N, K = shape.K, T = shape.T;
  const GuardedPlanes planes = random_planes(seed, N, K, random.next() % 8 == 0);
  Guarded<float> x = random_floats(random, T * K);
  for (size_t i = 0; i < x.size(); i += 1 + random.next() % 64) x[i] *= 1000;  // outliers
  const auto bias = random_floats(random, N), residual = random_floats(random, T * N);
  const Epilogue e = random_epilogue(random, bias.data(), residual.data(), N);
  const auto scratch = scratch_of(plane_scratch_bytes(K));
  const CodeRange range = kCodeRanges[random.next() % 2];
  const Activations q = quantized(plain, x, T, K, range);
  for (const Precision precision : {Precision::int4, Precision::int8}) {
    const PlaneView view = planes.view(precision == Precision::int8);
    Guarded<float> want(T * N);
    plain.plane_linear(view, precision, q.rows(0, K), T, 0, row_group_count(N), e, want.data(),
                       scratch.data());
    for (const Kernels* kernels : all) {
      Guarded<float> got(T * N);
      in_pieces(random, T, row_group_count(N), [&](size_t t, size_t count, size_t from, size_t to) {
        kernels->plane_linear(view, precision, q.rows(t, K), count, from, to, from_token(e, t),
                              got.data() + t * N, scratch.data());
      });
      CHECK_AS(want.same_bytes(got) && got.tail_untouched() && scratch.tail_untouched(),
               std::string(kernels->name) + at(view.refine ? " int8" : " int4", N, K, T));
    }
  }
  for (const Kernels* kernels : all) {
    const Activations mine = quantized(*kernels, x, T, K, range);
    CHECK_AS(q.codes.same_bytes(mine.codes) && q.scale.same_bytes(mine.scale) &&
                 q.sum.same_bytes(mine.sum),
             std::string(kernels->name) + at(" quantize_row", T, K));
  }
}

// More inputs and tokens than one panel takes.
Shape deep_shape(Random& random) {
  return {1 + random.next() % 20, 700 + random.next() % 3000, 50 + random.next() % 120};
}

void fuzz_dense(uint64_t seed, const std::vector<const Kernels*>& all) {
  Random random(seed);
  const Shape shape = seed % 15 == 0 ? deep_shape(random) : random_shape(random);
  const size_t N = shape.N, K = shape.K, T = shape.T;
  const DType dtype = kDTypes[random.next() % 3];
  const auto weights = random_weights(random, dtype, N * K);
  const DenseView view{dtype, random.next() % 2 ? Layout::nk : Layout::kn, N, K, weights.data()};
  const Guarded<float> x = random_floats(random, T * K);
  const auto bias = random_floats(random, N), residual = random_floats(random, T * N);
  const Epilogue e = random_epilogue(random, bias.data(), residual.data(), N);
  const auto scratch = scratch_of(dense_scratch_bytes());
  Guarded<float> want(T * N);
  generic_kernels().dense_linear(view, packed(generic_kernels(), view, x.data(), T).rows(), T, 0, N,
                                 e, want.data(), scratch.data());
  for (const Kernels* kernels : all) {
    Guarded<float> got(T * N);
    in_pieces(random, T, N, [&](size_t t, size_t count, size_t from, size_t to) {
      const FloatActivations some = packed(*kernels, view, x.data() + t * K, count);
      kernels->dense_linear(view, some.rows(), count, from, to, from_token(e, t),
                            got.data() + t * N, scratch.data());
      CHECK(some.packed.tail_untouched());
    });
    CHECK_AS(want.same_bytes(got) && got.tail_untouched() && scratch.tail_untouched(),
             std::string(kernels->name) + at(name_of(dtype), N, K, T));
  }
}

}  // namespace

int main() {
  std::vector<const Kernels*> all = fast_kernels();
  for (const Kernels* kernels : all) std::printf("%s equals generic?\n", kernels->name);
  all.push_back(&generic_kernels());  // in pieces, against itself whole
  for (uint64_t seed = 0; seed < 150; ++seed) {
    fuzz_planes(seed, all);
    fuzz_dense(seed, all);
  }
  return report("fuzzed_linears");
}
