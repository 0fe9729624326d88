// Eight rows of four codes and their dot products by vpdpbusd: AVX-VNNI (VEX) or AVX-512 VNNI with
// VL (EVEX), 256 bits. The vocabulary of planes_dot.hpp; bytes_neon.hpp is its twin.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

using Codes = __m256i;  // 8 rows × 4 unsigned codes
using Ints = __m256i;   // 8 int32, one a row
using Four = __m256i;   // the 4 activations that meet them, in every row

static inline Codes load_nibbles(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
static inline void store_bytes(uint8_t* p, Codes codes) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), codes);
}
static inline Four broadcast4(const int8_t* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}
// The codes of k = 8i…8i+3 and of 8i+4…8i+7 that a unit's bytes hold.
static inline Codes low_codes(Codes nibbles) {
  return _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
}
static inline Codes high_codes(Codes nibbles) {
  return _mm256_and_si256(_mm256_srli_epi16(nibbles, 4), _mm256_set1_epi8(15));
}
// The same of both planes, joined: 16·high + low.
static inline Codes low_codes(Codes high, Codes low) {
  return _mm256_or_si256(_mm256_slli_epi16(low_codes(high), 4), low_codes(low));
}
static inline Codes high_codes(Codes high, Codes low) {
  return _mm256_or_si256(_mm256_andnot_si256(_mm256_set1_epi8(15), high), high_codes(low));
}
// What the sums of a group start at, given its 32 activations. Codes are unsigned as they are.
template <bool Both>
static inline Ints first_sum(const int8_t*) {
  return _mm256_setzero_si256();
}
static inline Ints dot(Ints sum, Codes codes, Four x) {
#if defined(__AVX512VNNI__)
  return _mm256_dpbusd_epi32(sum, codes, x);
#else
  return _mm256_dpbusd_avx_epi32(sum, codes, x);
#endif
}
static inline F8 to_floats(Ints a) { return _mm256_cvtepi32_ps(a); }

}  // namespace lapwing::LAPWING_ISA
