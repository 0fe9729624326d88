// Eight float lanes on Advanced SIMD (every aarch64), four and four; see vec_generic.hpp for the
// meaning of each name.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace lapwing::LAPWING_ISA {

struct F8 {
  float32x4_t low, high;
};

inline F8 set1(float v) { return {vdupq_n_f32(v), vdupq_n_f32(v)}; }
inline F8 zero() { return set1(0); }
inline F8 load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
inline void store(float* p, F8 a) {
  vst1q_f32(p, a.low);
  vst1q_f32(p + 4, a.high);
}
inline F8 add(F8 a, F8 b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
inline F8 sub(F8 a, F8 b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
inline F8 mul(F8 a, F8 b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
inline F8 div(F8 a, F8 b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
inline F8 fma(F8 a, F8 b, F8 c) {
  return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
}
// b where neither is less, as a NaN or two zeros leave it: fmin and fmax would choose otherwise.
inline float32x4_t min(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline float32x4_t max(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline F8 min(F8 a, F8 b) { return {min(a.low, b.low), min(a.high, b.high)}; }
inline F8 max(F8 a, F8 b) { return {max(a.low, b.low), max(a.high, b.high)}; }
inline F8 abs(F8 a) { return {vabsq_f32(a.low), vabsq_f32(a.high)}; }
inline F8 round(F8 a) { return {vrndnq_f32(a.low), vrndnq_f32(a.high)}; }  // half to even
inline F8 floor(F8 a) { return {vrndmq_f32(a.low), vrndmq_f32(a.high)}; }
inline F8 where_less(F8 a, F8 b, F8 value) {
  const auto mask = [](uint32x4_t m, float32x4_t v) {
    return vreinterpretq_f32_u32(vandq_u32(m, vreinterpretq_u32_f32(v)));
  };
  return {mask(vcltq_f32(a.low, b.low), value.low), mask(vcltq_f32(a.high, b.high), value.high)};
}
inline F8 exp2_int(F8 n) {
  const auto half = [](float32x4_t v) {
    const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(v), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23));
  };
  return {half(n.low), half(n.high)};
}

inline float sum(F8 a) {
  const float32x4_t v = vaddq_f32(a.low, a.high);
  return vaddv_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v)));
}
// The sums of eight vectors, the bits of `sum` of each.
inline F8 sums(const F8 (&a)[8]) {
  const auto pairs = [](F8 x, F8 y) {  // 2 lanes of x, 2 lanes of y
    const float32x4_t v = vaddq_f32(x.low, x.high), w = vaddq_f32(y.low, y.high);
    return vaddq_f32(vcombine_f32(vget_low_f32(v), vget_low_f32(w)),
                     vcombine_f32(vget_high_f32(v), vget_high_f32(w)));
  };
  return {vpaddq_f32(pairs(a[0], a[1]), pairs(a[2], a[3])),
          vpaddq_f32(pairs(a[4], a[5]), pairs(a[6], a[7]))};
}
// Lane i of vector j becomes lane j of vector i.
inline void transpose(F8 (&a)[8]) {
  const auto four = [](float32x4_t& p, float32x4_t& q, float32x4_t& r, float32x4_t& s) {
    const float32x4x2_t pq = vtrnq_f32(p, q), rs = vtrnq_f32(r, s);
    p = vcombine_f32(vget_low_f32(pq.val[0]), vget_low_f32(rs.val[0]));
    q = vcombine_f32(vget_low_f32(pq.val[1]), vget_low_f32(rs.val[1]));
    r = vcombine_f32(vget_high_f32(pq.val[0]), vget_high_f32(rs.val[0]));
    s = vcombine_f32(vget_high_f32(pq.val[1]), vget_high_f32(rs.val[1]));
  };
  four(a[0].low, a[1].low, a[2].low, a[3].low);
  four(a[0].high, a[1].high, a[2].high, a[3].high);
  four(a[4].low, a[5].low, a[6].low, a[7].low);
  four(a[4].high, a[5].high, a[6].high, a[7].high);
  for (int i = 0; i < 4; ++i) {
    const float32x4_t other = a[i].high;
    a[i].high = a[i + 4].low;
    a[i + 4].low = other;
  }
}
// Lanes i, i + 1, i + 4 and i + 5 (i even), in each of them.
inline F8 sums_of_four(const F8 (&a)[4]) {
  const auto two = [](F8 x, F8 y) {
    return vaddq_f32(vpaddq_f32(x.low, y.low), vpaddq_f32(x.high, y.high));
  };
  return {two(a[0], a[1]), two(a[2], a[3])};
}
// Halves, quarters, the last pair: the order in which `sum` goes.
template <class Choose>
inline float reduce(F8 a, const Choose& choose) {
  const float32x4_t v = choose(a.low, a.high), w = choose(v, vextq_f32(v, v, 2));
  return vgetq_lane_f32(choose(w, vextq_f32(w, w, 1)), 0);
}
inline float largest(F8 a) {
  return reduce(a, [](float32x4_t x, float32x4_t y) { return max(x, y); });
}
inline float smallest(F8 a) {
  return reduce(a, [](float32x4_t x, float32x4_t y) { return min(x, y); });
}

inline void touch(F8& a) { asm volatile("" : "+w"(a.low), "+w"(a.high)); }

inline F8 load_half(const uint16_t* p) {
  const float16x8_t v = vreinterpretq_f16_u16(vld1q_u16(p));
  return {vcvt_f32_f16(vget_low_f16(v)), vcvt_high_f32_f16(v)};
}
inline void store_half(uint16_t* p, F8 a) {
  vst1q_u16(p, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(a.low), a.high)));
}
inline F8 load_bfloat(const uint16_t* p) {
  const uint16x8_t v = vld1q_u16(p);
  return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(v), 16)),
          vreinterpretq_f32_u32(vshll_high_n_u16(v, 16))};
}
inline F8 load_codes(const uint8_t* p) {
  const uint16x8_t v = vmovl_u8(vld1_u8(p));
  return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(v))), vcvtq_f32_u32(vmovl_high_u16(v))};
}
inline F8 load_codes(const int8_t* p) {
  const int16x8_t v = vmovl_s8(vld1_s8(p));
  return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(v))), vcvtq_f32_s32(vmovl_high_s16(v))};
}
inline int16x8_t narrow_to_words(F8 a) {
  return vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(a.low)), vcvtnq_s32_f32(a.high));
}
inline void store_codes(int8_t* p, F8 a) { vst1_s8(p, vqmovn_s16(narrow_to_words(a))); }
inline void store_codes(int8_t* p, const F8 (&a)[4]) {
  for (int i = 0; i < 4; ++i) store_codes(p + 8 * i, a[i]);
}
inline void store_codes(uint8_t* p, F8 a) { vst1_u8(p, vqmovun_s16(narrow_to_words(a))); }

struct W4 {
  uint64x2_t low, high;
};
inline W4 load_words(const uint64_t* p) { return {vld1q_u64(p), vld1q_u64(p + 2)}; }
inline W4 add_words(W4 a, W4 b) { return {vaddq_u64(a.low, b.low), vaddq_u64(a.high, b.high)}; }
inline uint64_t sum_lanes(W4 a) { return vaddvq_u64(vaddq_u64(a.low, a.high)); }

}  // namespace lapwing::LAPWING_ISA
