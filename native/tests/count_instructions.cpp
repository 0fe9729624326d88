// Runs one product many times, for callgrind to count: count_instructions KIND TOKENS ROUNDS.
// KIND: int4, int8 or f16; of a matrix [256, 512], on one thread.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "check.hpp"
#include "ops.hpp"

using namespace lapwing;
using namespace lapwing::test;

int main(int count, char** arguments) {
  if (count != 4) return EXIT_FAILURE;
  const std::string kind = arguments[1];
  const size_t T = std::strtoul(arguments[2], nullptr, 10);
  const size_t rounds = std::strtoul(arguments[3], nullptr, 10);
  const size_t N = 256, K = 512;
  Random random(1);
  std::vector<float> x(T * K), out(T * N);
  for (float& value : x) value = random.normal();
  std::vector<uint16_t> weights(N * K);
  for (auto& value : weights) value = 0x2c00 + random.next() % 0x400;  // f16 from 0.06 to 0.12
  const DenseView dense{DType::f16, Layout::nk, N, K, weights.data()};
  Context context(1, "auto");
  Planes planes(N, K, true);
  if (kind != "f16") encode(context.pool, context.kernels, dense, planes);
  const Epilogue e{nullptr, nullptr, Activation::none, N};
  const std::vector<Part<DenseView>> floats = {{dense}};
  const std::vector<Part<PlaneView>> coded = {{planes.view()}};
  for (size_t i = 0; i < rounds; ++i) {
    if (kind == "f16")
      linear(context, floats, x.data(), T, e, out.data());
    else
      linear(context, coded, kind == "int4" ? Precision::int4 : Precision::int8, x.data(), T, e,
             out.data());
  }
  std::printf("%s %s\n", context.kernels.name, kind.c_str());
  return EXIT_SUCCESS;
}
