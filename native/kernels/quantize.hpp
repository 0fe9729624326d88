// Activations to int8, and weights to plane codes.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// The whole groups and the last part of one among `count` inputs, eight groups at most: what each
// of them needs by itself stands in a lane of one vector.
template <bool Narrow>
static inline void quantize_groups(const float* x, size_t count, int8_t* codes, float* scale,
                                   float* sum) {
  constexpr size_t kVectors = kGroup / 8;
  const F8 steps = set1(Narrow ? 126.0f : 127.0f), least = set1(1e-30f);
  const size_t groups = group_count(count);
  const auto load_group = [&](size_t g, F8(&v)[kVectors]) {
    for (size_t i = 0, at = g * kGroup; i < kVectors; ++i, at += 8)
      v[i] = at + 8 <= count ? load(x + at) : at < count ? load_part(x + at, count - at) : zero();
  };
  F8 sizes[8], v[kVectors];
  for (size_t g = 0; g < 8; ++g) {
    sizes[g] = zero();
    if (g >= groups) continue;
    load_group(g, v);
    for (F8& a : v) a = abs(a);
    sizes[g] = Narrow ? sums_of_four(v) : max(max(v[0], v[1]), max(v[2], v[3]));
  }
  transpose(sizes);
  F8 largest = sizes[0];
  for (size_t i = 1; i < 8; ++i) largest = max(largest, sizes[i]);
  const F8 d = where_less(least, largest, div(largest, steps));
  float inverse[8];
  store(inverse, where_less(least, largest, div(steps, largest)));
  F8 totals[8];
  for (size_t g = 0; g < 8; ++g) {
    totals[g] = zero();
    if (g >= groups) continue;
    load_group(g, v);
    for (F8& a : v) a = round(mul(a, set1(inverse[g])));
    totals[g] = add(add(v[0], v[1]), add(v[2], v[3]));  // small integers: exact
    store_codes(codes + g * kGroup, v);
  }
  store_upto(scale, d, groups);
  store_upto(sum, mul(d, sums(totals)), groups);
}

// Per group of 32: d = amax/127, codes = round(x/d). Also d·Σ codes, which the centres multiply.
// Narrow codes: d = (largest sum of four magnitudes)/126, which rounding may take to 128.
static void quantize_row(const float* x, size_t K, CodeRange range, int8_t* codes, float* scale,
                         float* sums) {
  constexpr size_t kAtOnce = 8 * kGroup;
  for (size_t k = 0; k < K; k += kAtOnce) {
    const size_t count = K - k < kAtOnce ? K - k : kAtOnce, g = k / kGroup;
    if (range == CodeRange::narrow)
      quantize_groups<true>(x + k, count, codes + k, scale + g, sums + g);
    else
      quantize_groups<false>(x + k, count, codes + k, scale + g, sums + g);
  }
}

// Errors of one candidate in units of s/16: Σ r4² + 60·Σ r8², rows in lanes, and (Refit) the sums
// that a least-squares line through the int4 codes needs. v is w − centre, mc is m − centre.
struct Candidate {
  F8 cost, q, qq, qv;
};
template <bool Refit>
static inline Candidate judge(const F8* v, F8 inverse16, F8 mc) {
  F8 e4 = zero(), e8 = zero();
  Candidate c = {zero(), zero(), zero(), zero()};
  for (size_t k = 0; k < kGroup; ++k) {
    const F8 x = mul(sub(v[k], mc), inverse16), shifted = add(x, set1(7.5f));
    const F8 u = max(min(round(shifted), set1(255.0f)), zero());
    const F8 q = floor(mul(u, set1(1.0f / 16)));
    const F8 r4 = sub(x, mul(q, set1(16.0f))), r8 = sub(shifted, u);
    e4 = add(e4, mul(r4, r4));
    e8 = add(e8, mul(r8, r8));
    if (Refit) {
      c.q = add(c.q, q);
      c.qq = add(c.qq, mul(q, q));
      c.qv = add(c.qv, mul(q, v[k]));
    }
  }
  c.cost = add(e4, mul(set1(60.0f), e8));
  return c;
}

// Plane codes of 8 rows × one group, rows in lanes: w is [32][8], and so is u.
//
// Thirteen starting widths around the range of each group; from each, codes are assigned, judged by
// both reads (e4 + 60·e8, squared errors), and scale and centre refitted to the int4 codes, three
// times over. No fused multiply-add: NumPy computes the same bits (quant/scheme.py).
static void encode_group(const float* w, float scale_factor, float centre_factor,
                         GroupCodes& codes) {
  F8 lo = load(w), hi = lo;
  for (size_t k = 1; k < kGroup; ++k) {
    lo = min(lo, load(w + 8 * k));
    hi = max(hi, load(w + 8 * k));
  }
  const F8 centre = mul(add(hi, lo), set1(0.5f)), half = mul(sub(hi, lo), set1(0.5f));
  F8 v[kGroup], v_sum = zero();
  for (size_t k = 0; k < kGroup; ++k) {
    v[k] = sub(load(w + 8 * k), centre);
    v_sum = add(v_sum, v[k]);
  }
  const F8 factor = set1(scale_factor), offset_factor = set1(centre_factor);
  const F8 inverse_factor = set1(1.0f / scale_factor);
  const F8 inverse_offset = set1(centre_factor > 0 ? 1.0f / centre_factor : 0.0f);
  const auto clip = [](F8 x, float low, float high) { return max(min(x, set1(high)), set1(low)); };
  const F8 mean = set1(1.0f / kGroup);

  float best_scale[8] = {}, best_centre[8] = {}, best_cost[8], cost[8], scale[8], offset[8];
  for (float& x : best_cost) x = __builtin_inff();
  for (int step = 0; step < 13; ++step) {
    const F8 width = mul(half, set1(0.78f + 0.02f * static_cast<float>(step)));
    F8 s = mul(width, set1(2.0f / 15)), m = sub(centre, width);
    for (int pass = 0; pass < 3; ++pass) {
      const F8 scale_code = clip(round(mul(s, inverse_factor)), 1, 255);
      const F8 centre_code = clip(round(mul(m, inverse_offset)), -127, 127);
      const F8 s16 = mul(mul(scale_code, factor), set1(1.0f / 16));
      const F8 mc = sub(mul(centre_code, offset_factor), centre);
      const F8 inverse16 = div(set1(1.0f), s16);
      const Candidate c = pass < 2 ? judge<true>(v, inverse16, mc) : judge<false>(v, inverse16, mc);
      store(cost, mul(mul(c.cost, s16), s16));
      store(scale, scale_code);
      store(offset, centre_code);
      for (size_t i = 0; i < 8; ++i)
        if (cost[i] < best_cost[i])
          best_cost[i] = cost[i], best_scale[i] = scale[i], best_centre[i] = offset[i];
      const F8 q_mean = mul(c.q, mean), v_mean = mul(v_sum, mean);
      const F8 variance = max(sub(c.qq, mul(q_mean, c.q)), set1(1e-9f));
      s = div(sub(c.qv, mul(q_mean, v_sum)), variance);
      m = add(centre, sub(v_mean, mul(s, q_mean)));
    }
  }
  // A group of one value has no scale: both reads are its centre.
  const F8 only_centre = clip(round(mul(centre, inverse_offset)), -127, 127);
  store(cost, half);
  store(offset, only_centre);
  for (size_t i = 0; i < 8; ++i)
    if (cost[i] == 0) best_scale[i] = 0, best_centre[i] = offset[i];
  store_codes(codes.scale, load(best_scale));
  store_codes(codes.centre, load(best_centre));
  const F8 mc = sub(mul(load(best_centre), offset_factor), centre);
  const F8 s16 = mul(mul(load(best_scale), factor), set1(1.0f / 16));
  const F8 inverse16 = where_less(zero(), s16, div(set1(1.0f), s16));
  for (size_t k = 0; k < kGroup; ++k)
    store_codes(codes.u[k], clip(round(add(mul(sub(v[k], mc), inverse16), set1(7.5f))), 0, 255));
}

}  // namespace lapwing::LAPWING_ISA
