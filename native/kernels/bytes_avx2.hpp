// What the integer products of AVX2 share: bytes, codes of s and m, and how sums become outputs.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

static inline __m256i load_bytes(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
static inline __m256i broadcast4(const void* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}

// The codes of s of 8 rows, each twice as 16 bits: what vpmaddwd multiplies a row's pairs with.
static inline __m256i scale_pairs(const uint8_t* p) {
  int64_t codes;
  __builtin_memcpy(&codes, p, 8);
  const __m256i pick = _mm256_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1,  //
                                        4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1);
  return _mm256_shuffle_epi8(_mm256_set1_epi64x(codes), pick);
}

// Σ over a group, times the codes of s.
template <bool Both>
static inline __m256i group_total(__m256i high, __m256i low, __m256i scales) {
  if (!Both) return _mm256_madd_epi16(high, scales);
  return _mm256_add_epi32(_mm256_madd_epi16(high, _mm256_slli_epi16(scales, 4)),
                          _mm256_madd_epi16(low, scales));
}

}  // namespace lapwing::LAPWING_ISA
