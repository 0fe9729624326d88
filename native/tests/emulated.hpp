// The instructions that planes_dot.hpp needs beyond AVX2, as functions written from their published
// definitions, in place of the intrinsics: the kernels' own source then runs on a processor without
// them. What this cannot show is what the compiler makes of the real intrinsics; docs/isa.md says
// how that is looked at. Included before the kernels.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace lapwing::emulated {

// vpdpbusd: each int32 of `sum` and the products of its four unsigned bytes of a with the four
// signed ones of b; the sum wraps, nothing saturates.
inline __m256i dpbusd(__m256i sum, __m256i a, __m256i b) {
  uint32_t sums[8];
  uint8_t left[32];
  int8_t right[32];
  std::memcpy(sums, &sum, 32);
  std::memcpy(left, &a, 32);
  std::memcpy(right, &b, 32);
  for (int i = 0; i < 32; ++i) sums[i / 4] += static_cast<uint32_t>(left[i] * right[i]);
  std::memcpy(&sum, sums, 32);
  return sum;
}

// 512 bits as two halves: these instructions do to each lane what the 256-bit ones do.
struct Ints512 {
  __m256i low, high;
};
struct Floats512 {
  __m256 low, high;
};
inline Ints512 loadu_si512(const void* p) {
  const auto* halves = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
}
inline Ints512 set1_epi32(int v) { return {_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
inline Ints512 setzero_si512() { return set1_epi32(0); }
inline Ints512 dpbusd(Ints512 sum, Ints512 a, Ints512 b) {
  return {dpbusd(sum.low, a.low, b.low), dpbusd(sum.high, a.high, b.high)};
}
inline Floats512 cvtepi32_ps(Ints512 a) {
  return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
}
inline Floats512 loadu_ps(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void storeu_ps(float* p, Floats512 a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
inline Floats512 set1_ps(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
inline Floats512 mul_ps(Floats512 a, Floats512 b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline Floats512 fmadd_ps(Floats512 a, Floats512 b, Floats512 c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

}  // namespace lapwing::emulated

#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32 emulated::dpbusd
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32 emulated::dpbusd
#define __m512i emulated::Ints512
#define __m512 emulated::Floats512
#define _mm512_loadu_si512 emulated::loadu_si512
#define _mm512_set1_epi32 emulated::set1_epi32
#define _mm512_setzero_si512 emulated::setzero_si512
#define _mm512_cvtepi32_ps emulated::cvtepi32_ps
#define _mm512_loadu_ps emulated::loadu_ps
#define _mm512_storeu_ps emulated::storeu_ps
#define _mm512_set1_ps emulated::set1_ps
#define _mm512_mul_ps emulated::mul_ps
#define _mm512_fmadd_ps emulated::fmadd_ps
