// Nothing but multiply-adds, on registers: how fast this processor makes them at best.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// A chain of `rounds` operations in each of twelve registers. `next` must not be folded away.
template <class Vector, class Next>
static inline void chains(Vector seed, size_t rounds, const Next& next) {
  Vector v[12];
#pragma GCC unroll 12
  for (Vector& each : v) each = seed;
  for (size_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (Vector& each : v) each = next(each);
}

// → multiply-adds made
static uint64_t multiply(Instruction instruction, size_t rounds) {
#if defined(__AVX2__)
  if (instruction == Instruction::maddubs) {
    chains(_mm256_set1_epi8(1), rounds, [](__m256i v) {
      v = _mm256_maddubs_epi16(v, v);
      asm volatile("" : "+x"(v));
      return v;
    });
    return rounds * 12 * 32;
  }
#else
  if (instruction == Instruction::maddubs) return 0;
#endif
  const F8 one = set1(1);
  chains(one, rounds, [&](F8 v) {
    v = fma(v, one, one);
    touch(v);
    return v;
  });
  return rounds * 12 * 8;
}

}  // namespace lapwing::LAPWING_ISA
