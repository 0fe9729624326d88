// Activations to int8, and weights to plane codes.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// Per group of 32: d = amax/127, codes = round(x/d). Also d·Σ codes, which the centres multiply.
static void quantize_row(const float* x, size_t K, int8_t* codes, float* scale, float* sums) {
  for (size_t g = 0; g < group_count(K); ++g, x += kGroup, codes += kGroup) {
    const size_t count = K - g * kGroup < kGroup ? K - g * kGroup : kGroup;
    F8 v[4];
    for (size_t i = 0; i < 4; ++i)
      v[i] = count >= 8 * (i + 1) ? load(x + 8 * i)
             : count > 8 * i      ? load_part(x + 8 * i, count - 8 * i)
                                  : zero();
    const float amax = largest(max(max(abs(v[0]), abs(v[1])), max(abs(v[2]), abs(v[3]))));
    const float inverse = amax > 1e-30f ? 127.0f / amax : 0.0f;
    F8 total = zero();
    for (size_t i = 0; i < 4; ++i) {
      const F8 q = round(mul(v[i], set1(inverse)));
      total = add(total, q);  // small integers: exact
      store_codes(codes + 8 * i, q);
    }
    scale[g] = amax > 1e-30f ? amax / 127.0f : 0.0f;
    sums[g] = scale[g] * sum(total);
  }
}

// Thirteen starting widths around the range of the group; from each, codes are assigned, judged by
// both reads, and scale and centre refitted to the int4 codes, three times over.
static void encode_group(const float* g, float scale_factor, float centre_factor,
                         GroupCodes& best) {
  F8 w[4];
  for (size_t i = 0; i < 4; ++i) w[i] = load(g + 8 * i);
  const float lo = smallest(min(min(w[0], w[1]), min(w[2], w[3])));
  const float hi = largest(max(max(w[0], w[1]), max(w[2], w[3])));
  const float centre = (hi + lo) / 2, half = (hi - lo) / 2;
  const auto clip = [](float v, float low, float high) {
    return v < low ? low : v > high ? high : v;
  };
  const auto nearest = [](float v) { return __builtin_nearbyintf(v); };
  if (half == 0) {  // one value: no scale, the nearest centre
    best.scale_code = 0;
    best.centre_code =
        centre_factor == 0 ? 0 : clip(nearest(lo / centre_factor), -127, 127);
    for (uint8_t& u : best.u) u = 0;
    return;
  }
  float best_cost = __builtin_inff();
  for (int f = 0; f < 13; ++f) {
    const float width = 0.78f + 0.02f * static_cast<float>(f);
    float s = 2 * half * width / 15, m = centre - half * width;
    float last_scale = 0, last_centre = 0;
    for (int pass = 0; pass < 3; ++pass) {
      const float scale_code = clip(nearest(s / scale_factor), 1, 255);
      const float centre_code =
          centre_factor == 0 ? 0 : clip(nearest(m / centre_factor), -127, 127);
      if (scale_code == last_scale && centre_code == last_centre) break;  // the refit has settled
      last_scale = scale_code, last_centre = centre_code;
      const F8 sq = set1(scale_code * scale_factor), mq = set1(centre_code * centre_factor);
      const F8 inverse = set1(1.0f / (scale_code * scale_factor));
      F8 e4 = zero(), e8 = zero(), q_sum = zero(), qq_sum = zero(), qv_sum = zero(),
         v_sum = zero();
      F8 u[4];
      for (size_t i = 0; i < 4; ++i) {
        const F8 x = mul(sub(w[i], mq), inverse);
        u[i] = max(min(round(fma(x, set1(16.0f), set1(7.5f))), set1(255.0f)), zero());
        const F8 w4 = fma(sq, floor(mul(u[i], set1(1.0f / 16))), mq);
        const F8 w8 = fma(mul(sq, set1(1.0f / 16)), sub(u[i], set1(7.5f)), mq);
        const F8 d4 = sub(w[i], w4), d8 = sub(w[i], w8);
        e4 = fma(d4, d4, e4);
        e8 = fma(d8, d8, e8);
        const F8 q = max(min(round(x), set1(15.0f)), zero());
        q_sum = add(q_sum, q);
        qq_sum = fma(q, q, qq_sum);
        const F8 v = sub(w[i], set1(centre));
        qv_sum = fma(q, v, qv_sum);
        v_sum = add(v_sum, v);
      }
      const float cost = sum(fma(set1(60.0f), e8, e4));
      if (cost < best_cost) {
        best_cost = cost;
        best.scale_code = scale_code;
        best.centre_code = centre_code;
        for (size_t i = 0; i < 4; ++i) store_codes(best.u + 8 * i, u[i]);
      }
      // Least squares of w − centre on the int4 codes.
      const float q_mean = sum(q_sum) / kGroup, v_mean = sum(v_sum) / kGroup;
      const float variance = sum(qq_sum) - q_mean * sum(q_sum);
      if (!(variance > 0)) break;  // all weights in one cell: nothing to fit
      s = (sum(qv_sum) - q_mean * sum(v_sum)) / variance;
      m = centre + (v_mean - s * q_mean);
    }
  }
}

}  // namespace lapwing::LAPWING_ISA
