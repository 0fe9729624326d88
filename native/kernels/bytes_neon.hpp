// Eight rows of four codes and their dot products on Advanced SIMD: by usdot (i8mm), by sdot (dot
// product), or by widening multiplications. The vocabulary of planes_dot.hpp; bytes_vnni.hpp is its
// twin.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

struct Codes {  // 8 rows × 4 codes
  uint8x16_t low, high;
};
struct Ints {  // 8 int32, one a row
  int32x4_t low, high;
};
using Four = int8x16_t;  // the 4 activations that meet them, in every row

static inline Codes load_nibbles(const uint8_t* p) { return {vld1q_u8(p), vld1q_u8(p + 16)}; }
static inline void store_bytes(uint8_t* p, Codes codes) {
  vst1q_u8(p, codes.low);
  vst1q_u8(p + 16, codes.high);
}
static inline Four broadcast4(const int8_t* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(v));
}
// The codes of k = 8i…8i+3 and of 8i+4…8i+7 that a unit's bytes hold.
static inline Codes low_codes(Codes n) {
  return {vandq_u8(n.low, vdupq_n_u8(15)), vandq_u8(n.high, vdupq_n_u8(15))};
}
static inline Codes high_codes(Codes n) { return {vshrq_n_u8(n.low, 4), vshrq_n_u8(n.high, 4)}; }

#if defined(__ARM_FEATURE_MATMUL_INT8)
inline constexpr bool kSignedCodes = false;
#else
inline constexpr bool kSignedCodes =
    true;  // sdot, smull: 16·high + low − 128 takes the sign's place
#endif
static inline uint8x16_t signed_codes(uint8x16_t u) {
  return kSignedCodes ? veorq_u8(u, vdupq_n_u8(128)) : u;
}
// The same of both planes, joined: 16·high + low.
static inline Codes low_codes(Codes high, Codes low) {
  return {signed_codes(vsliq_n_u8(vandq_u8(low.low, vdupq_n_u8(15)), high.low, 4)),
          signed_codes(vsliq_n_u8(vandq_u8(low.high, vdupq_n_u8(15)), high.high, 4))};
}
static inline Codes high_codes(Codes high, Codes low) {
  return {signed_codes(vsriq_n_u8(high.low, low.low, 4)),
          signed_codes(vsriq_n_u8(high.high, low.high, 4))};
}
// What the sums of a group start at, given its 32 activations: 128·Σx where codes are u − 128.
template <bool Both>
static inline Ints first_sum(const int8_t* x) {
  int32_t start = 0;
  if (Both && kSignedCodes) start = 128 * (vaddlvq_s8(vld1q_s8(x)) + vaddlvq_s8(vld1q_s8(x + 16)));
  return {vdupq_n_s32(start), vdupq_n_s32(start)};
}
static inline int32x4_t dot(int32x4_t sum, uint8x16_t codes, int8x16_t x) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
  return vusdotq_s32(sum, codes, x);
#else
  const int8x16_t w = vreinterpretq_s8_u8(codes);
#if defined(__ARM_FEATURE_DOTPROD)
  return vdotq_s32(sum, w, x);
#else  // pairs stay within int16: at most 2·128·127
  const int16x8_t a = vmull_s8(vget_low_s8(w), vget_low_s8(x)), b = vmull_high_s8(w, x);
  return vpadalq_s16(sum, vpaddq_s16(a, b));
#endif
#endif
}
static inline Ints dot(Ints sum, Codes codes, Four x) {
  return {dot(sum.low, codes.low, x), dot(sum.high, codes.high, x)};
}
static inline F8 to_floats(Ints a) { return {vcvtq_f32_s32(a.low), vcvtq_f32_s32(a.high)}; }

}  // namespace lapwing::LAPWING_ISA
