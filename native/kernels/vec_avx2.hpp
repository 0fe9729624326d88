// Eight float lanes on AVX2 with FMA and F16C; see vec_generic.hpp for the meaning of each name.
// Every x86 instruction set takes these, each in a namespace of its own: what the compiler makes of
// them depends on the flags of the file.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace lapwing::LAPWING_ISA {

using F8 = __m256;

inline F8 set1(float v) { return _mm256_set1_ps(v); }
inline F8 zero() { return _mm256_setzero_ps(); }
inline F8 load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, F8 a) { _mm256_storeu_ps(p, a); }
inline F8 add(F8 a, F8 b) { return _mm256_add_ps(a, b); }
inline F8 sub(F8 a, F8 b) { return _mm256_sub_ps(a, b); }
inline F8 mul(F8 a, F8 b) { return _mm256_mul_ps(a, b); }
inline F8 div(F8 a, F8 b) { return _mm256_div_ps(a, b); }
inline F8 fma(F8 a, F8 b, F8 c) { return _mm256_fmadd_ps(a, b, c); }
inline F8 min(F8 a, F8 b) { return _mm256_min_ps(a, b); }
inline F8 max(F8 a, F8 b) { return _mm256_max_ps(a, b); }
inline F8 abs(F8 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
inline F8 round(F8 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline F8 floor(F8 a) { return _mm256_floor_ps(a); }
inline F8 where_less(F8 a, F8 b, F8 value) {
  return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ), value);
}
inline F8 exp2_int(F8 n) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}

inline float sum(F8 a) {
  const __m128 v = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 w = _mm_add_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_add_ss(w, _mm_shuffle_ps(w, w, 1)));
}
// The sums of eight vectors, the bits of `sum` of each. Static, this and the next: large enough for
// the compiler to call them, and other files have their own.
static inline F8 sums(const F8 (&a)[8]) {
  const auto halves = [](F8 x, F8 y) {  // 4 lanes of x, 4 lanes of y
    return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
  };
  const F8 a04 = halves(a[0], a[4]), a15 = halves(a[1], a[5]);
  const F8 a26 = halves(a[2], a[6]), a37 = halves(a[3], a[7]);
  const auto pairs = [](F8 x, F8 y) {  // 2 lanes of each
    return _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x44), _mm256_shuffle_ps(x, y, 0xee));
  };
  const F8 low = pairs(a04, a15), high = pairs(a26, a37);
  return _mm256_add_ps(_mm256_shuffle_ps(low, high, 0x88), _mm256_shuffle_ps(low, high, 0xdd));
}
// Lane i of vector j becomes lane j of vector i.
static inline void transpose(F8 (&a)[8]) {
  F8 pairs[8], fours[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      fours[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
      fours[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
    }
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
    a[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
  }
}
// (a0 + a1) + (a4 + a5) and (a2 + a3) + (a6 + a7) of each vector.
inline F8 sums_of_four(const F8 (&a)[4]) {
  const auto pairs = [](F8 x, F8 y) {
    return _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x88), _mm256_shuffle_ps(x, y, 0xdd));
  };
  const F8 x = pairs(a[0], a[1]), y = pairs(a[2], a[3]);
  return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}
inline float largest(F8 a) {
  const __m128 v = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 w = _mm_max_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_max_ss(w, _mm_shuffle_ps(w, w, 1)));
}
inline float smallest(F8 a) {
  const __m128 v = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 w = _mm_min_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_min_ss(w, _mm_shuffle_ps(w, w, 1)));
}

inline void touch(F8& a) { asm volatile("" : "+x"(a)); }

inline F8 load_half(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline void store_half(uint16_t* p, F8 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline F8 load_bfloat(const uint16_t* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
inline F8 load_codes(const uint8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline F8 load_codes(const int8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline __m128i narrow_to_words(F8 a) {
  const __m256i v = _mm256_cvtps_epi32(a);
  return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
inline void store_codes(int8_t* p, F8 a) {
  const __m128i w = narrow_to_words(a);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(w, w));
}
inline void store_codes(int8_t* p, const F8 (&a)[4]) {  // 32 in a row
  const auto words = [](F8 x, F8 y) {  // the low halves of both, the high halves of both
    return _mm256_packs_epi32(_mm256_cvtps_epi32(x), _mm256_cvtps_epi32(y));
  };
  const __m256i mixed = _mm256_packs_epi16(words(a[0], a[1]), words(a[2], a[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(mixed, order));
}
inline void store_codes(uint8_t* p, F8 a) {
  const __m128i w = narrow_to_words(a);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(w, w));
}

using W4 = __m256i;
inline W4 load_words(const uint64_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline W4 add_words(W4 a, W4 b) { return _mm256_add_epi64(a, b); }
inline uint64_t sum_lanes(W4 a) {
  alignas(32) uint64_t v[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(v), a);
  return v[0] + v[1] + v[2] + v[3];
}

}  // namespace lapwing::LAPWING_ISA
