// Elementary functions, activations and the epilogue of a linear. Compiled once per instruction
// set inside namespace LAPWING_ISA (see kernels_*.cpp).
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// Fewer than 8 floats as a vector, zeros behind them, and back.
static inline F8 load_part(const float* p, size_t count) {
  float v[8] = {};
  for (size_t i = 0; i < count; ++i) v[i] = p[i];
  return load(v);
}
static inline void store_part(float* p, F8 a, size_t count) {
  float v[8];
  store(v, a);
  for (size_t i = 0; i < count; ++i) p[i] = v[i];
}

// e^x: 2^n · e^r with |r| ≤ ln2/2 and a degree-6 Taylor-like polynomial (Cephes expf coefficients);
// relative error below 2^-22. 0 below −87.3, e^88 above 88.
static inline F8 exp(F8 x) {
  const F8 lowest = set1(-87.3f);
  const F8 clamped = max(min(x, set1(88.0f)), lowest);
  const F8 n = round(mul(clamped, set1(1.44269504088896341f)));
  F8 r = fma(n, set1(-0.693359375f), clamped);
  r = fma(n, set1(2.12194440e-4f), r);
  F8 p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, mul(r, r), add(r, set1(1.0f)));
  return where_less(lowest, x, mul(p, exp2_int(n)));
}

static inline F8 sigmoid(F8 x) { return div(set1(1.0f), add(set1(1.0f), exp(sub(zero(), x)))); }

// erf as x·P(x²)/Q(x²), a minimax fit on ±3.92 (tools/fit_erf.py), beyond which it is ±1 to within
// as much: absolute error ≤ 4e-7 in float32.
static inline F8 erf(F8 x) {
  const F8 inside = max(min(x, set1(3.92f)), set1(-3.92f)), square = mul(inside, inside);
  F8 p = set1(1.9921444e-08f);
  p = fma(p, square, set1(-1.9942972e-06f));
  p = fma(p, square, set1(1.489861e-04f));
  p = fma(p, square, set1(3.972863e-03f));
  p = fma(p, square, set1(5.139718e-02f));
  p = fma(p, square, set1(2.0611353e-01f));
  p = fma(p, square, set1(1.1283787e+00f));
  F8 q = set1(1.0241171e-03f);
  q = fma(q, square, set1(1.48891555e-02f));
  q = fma(q, square, set1(1.1756427e-01f));
  q = fma(q, square, set1(5.159921e-01f));
  q = fma(q, square, set1(1.e+00f));
  return div(mul(inside, p), q);
}

static inline F8 activate(F8 x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return max(zero(), x);  // NaN stays NaN: max keeps its second operand then
    case Activation::silu:
      return mul(x, sigmoid(x));
    case Activation::tanh:
      return sub(mul(set1(2.0f), sigmoid(add(x, x))), set1(1.0f));
    case Activation::gelu:
      return mul(mul(set1(0.5f), x), add(set1(1.0f), erf(mul(x, set1(0.70710678118654752f)))));
    case Activation::gelu_tanh: {  // x/2·(1 + tanh u) = x·sigmoid(2u), u = √(2/π)(x + 0.044715x³)
      const F8 cubic = fma(mul(mul(x, x), set1(0.044715f)), x, x);
      return mul(x, sigmoid(mul(cubic, set1(2 * 0.79788456080286536f))));
    }
  }
  return x;
}

// Writes 8 (or `count`) finished sums of token t starting at output n. Not inlined: it is called
// once per 8 outputs, from many places.
static __attribute__((noinline)) void finish_any(F8 sums, const Epilogue& e, size_t t, size_t n,
                                                 size_t count, float* out) {
  const size_t at = t * e.stride + n;
  if (count >= 8) {
    if (e.bias != nullptr) sums = add(sums, load(e.bias + n));
    sums = activate(sums, e.activation);
    if (e.residual != nullptr) sums = add(sums, load(e.residual + at));
    store(out + at, sums);
  } else {
    if (e.bias != nullptr) sums = add(sums, load_part(e.bias + n, count));
    sums = activate(sums, e.activation);
    if (e.residual != nullptr) sums = add(sums, load_part(e.residual + at, count));
    store_part(out + at, sums, count);
  }
}

// The same; what most outputs need, a call would cost more than.
static inline void finish(F8 sums, const Epilogue& e, size_t t, size_t n, size_t count,
                          float* out) {
  if (count < 8 || e.activation != Activation::none) return finish_any(sums, e, t, n, count, out);
  const size_t at = t * e.stride + n;
  if (e.bias != nullptr) sums = add(sums, load(e.bias + n));
  if (e.residual != nullptr) sums = add(sums, load(e.residual + at));
  store(out + at, sums);
}

// 16 outputs side by side: one call for two long chains.
static __attribute__((noinline)) void finish_two(F8 first, F8 second, const Epilogue& e, size_t t,
                                                 size_t n, float* out) {
  const size_t at = t * e.stride + n;
  if (e.bias != nullptr) {
    first = add(first, load(e.bias + n));
    second = add(second, load(e.bias + n + 8));
  }
  first = activate(first, e.activation);
  second = activate(second, e.activation);
  if (e.residual != nullptr) {
    first = add(first, load(e.residual + at));
    second = add(second, load(e.residual + at + 8));
  }
  store(out + at, first);
  store(out + at + 8, second);
}
static inline void finish(F8 first, F8 second, const Epilogue& e, size_t t, size_t n, size_t count,
                          float* out) {
  if (count >= 16 && e.activation != Activation::none)
    return finish_two(first, second, e, t, n, out);
  finish(first, e, t, n, count, out);
  if (count > 8) finish(second, e, t, n + 8, count - 8, out);
}

}  // namespace lapwing::LAPWING_ISA
