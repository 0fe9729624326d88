// Eight float lanes in plain C++. Same operations, same results, bit for bit, as every other
// vec_*.hpp: kernels are written once against these names and compiled once per instruction set.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace lapwing::generic {

struct F8 {
  float lane[8];
};

#define LAPWING_LANES(expr)                     \
  F8 r;                                         \
  for (int i = 0; i < 8; ++i) r.lane[i] = expr; \
  return r

inline F8 set1(float v) { LAPWING_LANES(v); }
inline F8 zero() { return set1(0); }
inline F8 load(const float* p) { LAPWING_LANES(p[i]); }
inline void store(float* p, F8 a) {
  for (int i = 0; i < 8; ++i) p[i] = a.lane[i];
}
inline F8 add(F8 a, F8 b) { LAPWING_LANES(a.lane[i] + b.lane[i]); }
inline F8 sub(F8 a, F8 b) { LAPWING_LANES(a.lane[i] - b.lane[i]); }
inline F8 mul(F8 a, F8 b) { LAPWING_LANES(a.lane[i] * b.lane[i]); }
inline F8 div(F8 a, F8 b) { LAPWING_LANES(a.lane[i] / b.lane[i]); }
inline F8 fma(F8 a, F8 b, F8 c) { LAPWING_LANES(std::fma(a.lane[i], b.lane[i], c.lane[i])); }
inline F8 min(F8 a, F8 b) { LAPWING_LANES(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]); }
inline F8 max(F8 a, F8 b) { LAPWING_LANES(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]); }
inline F8 abs(F8 a) { LAPWING_LANES(std::fabs(a.lane[i])); }
inline F8 round(F8 a) { LAPWING_LANES(std::nearbyint(a.lane[i])); }  // half to even
inline F8 floor(F8 a) { LAPWING_LANES(std::floor(a.lane[i])); }
// value where a < b, else 0
inline F8 where_less(F8 a, F8 b, F8 value) {
  LAPWING_LANES(a.lane[i] < b.lane[i] ? value.lane[i] : 0.0f);
}
// 2^n for integral n in [-126, 127]
inline F8 exp2_int(F8 n) {
  LAPWING_LANES(
      std::bit_cast<float>(static_cast<uint32_t>(static_cast<int32_t>(n.lane[i]) + 127) << 23));
}

// One fixed order for sums over lanes: halves, quarters, the last pair.
inline float sum(F8 a) {
  float v[4];
  for (int i = 0; i < 4; ++i) v[i] = a.lane[i] + a.lane[i + 4];
  return (v[0] + v[2]) + (v[1] + v[3]);
}
inline F8 sums(const F8 (&a)[8]) {
  F8 r;
  for (int i = 0; i < 8; ++i) r.lane[i] = sum(a[i]);
  return r;
}
// Lane i of vector j becomes lane j of vector i.
inline void transpose(F8 (&a)[8]) {
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < i; ++j) {
      const float other = a[i].lane[j];
      a[i].lane[j] = a[j].lane[i];
      a[j].lane[i] = other;
    }
}
// (a0 + a1) + (a4 + a5) and (a2 + a3) + (a6 + a7) of each vector.
inline F8 sums_of_four(const F8 (&a)[4]) {
  const auto four = [](const F8& v, int at) {
    return (v.lane[at] + v.lane[at + 1]) + (v.lane[at + 4] + v.lane[at + 5]);
  };
  LAPWING_LANES(four(a[i / 2], i % 2 * 2));
}
inline float largest(F8 a) {
  float m = a.lane[0];
  for (int i = 1; i < 8; ++i) m = a.lane[i] > m ? a.lane[i] : m;
  return m;
}
inline float smallest(F8 a) {
  float m = a.lane[0];
  for (int i = 1; i < 8; ++i) m = a.lane[i] < m ? a.lane[i] : m;
  return m;
}

// What is in `a` is taken for changed: nothing is computed ahead or left out.
inline void touch(F8& a) { asm volatile("" : "+m"(a)); }

inline float half_to_float(uint16_t h) {
  const uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float tiny = static_cast<float>(fraction) * 0x1p-24f;  // subnormal half: exact
  return sign != 0 ? -tiny : tiny;
}
inline uint16_t float_to_half(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f), sign = bits >> 16 & 0x8000u;
  const float a = std::fabs(f);
  if (!(a <= 0x1.fffffep127f))  // infinity or NaN
    return static_cast<uint16_t>(sign | (a != a ? 0x7e00u : 0x7c00u));
  if (a < 0x1p-14f)  // subnormal: the scaled value rounds half to even
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(a * 0x1p24f)));
  uint32_t u = bits & 0x7fffffffu;
  u += 0xfffu + (u >> 13 & 1u);  // round half to even at bit 13
  if (u >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);
  return static_cast<uint16_t>(sign | ((u - 0x38000000u) >> 13));
}
inline F8 load_half(const uint16_t* p) { LAPWING_LANES(half_to_float(p[i])); }
inline void store_half(uint16_t* p, F8 a) {
  for (int i = 0; i < 8; ++i) p[i] = float_to_half(a.lane[i]);
}
inline F8 load_bfloat(const uint16_t* p) {
  LAPWING_LANES(std::bit_cast<float>(static_cast<uint32_t>(p[i]) << 16));
}
inline F8 load_codes(const uint8_t* p) { LAPWING_LANES(static_cast<float>(p[i])); }
inline F8 load_codes(const int8_t* p) { LAPWING_LANES(static_cast<float>(p[i])); }
// Integral lanes in range of the target.
inline void store_codes(int8_t* p, F8 a) {
  for (int i = 0; i < 8; ++i) p[i] = static_cast<int8_t>(static_cast<int32_t>(a.lane[i]));
}
inline void store_codes(int8_t* p, const F8 (&a)[4]) {
  for (int i = 0; i < 4; ++i) store_codes(p + 8 * i, a[i]);
}
inline void store_codes(uint8_t* p, F8 a) {
  for (int i = 0; i < 8; ++i) p[i] = static_cast<uint8_t>(static_cast<int32_t>(a.lane[i]));
}

#undef LAPWING_LANES

// Four 64-bit words.
struct W4 {
  uint64_t lane[4];
};
inline W4 load_words(const uint64_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
inline W4 add_words(W4 a, W4 b) {
  for (int i = 0; i < 4; ++i) a.lane[i] += b.lane[i];
  return a;
}
inline uint64_t sum_lanes(W4 a) { return a.lane[0] + a.lane[1] + a.lane[2] + a.lane[3]; }

}  // namespace lapwing::generic
