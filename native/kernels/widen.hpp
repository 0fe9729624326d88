// Stored floats as float32: f32, f16 or bf16.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

struct FromF32 {
  using Element = float;
  static inline F8 load8(const float* p) { return load(p); }
};
struct FromF16 {
  using Element = uint16_t;
  static inline F8 load8(const uint16_t* p) { return load_half(p); }
};
struct FromBF16 {
  using Element = uint16_t;
  static inline F8 load8(const uint16_t* p) { return load_bfloat(p); }
};

template <class From>
static inline F8 load8_part(const typename From::Element* p, size_t count) {
  typename From::Element v[8] = {};
  for (size_t i = 0; i < count; ++i) v[i] = p[i];
  return From::load8(v);
}

template <class From>
static void widen(const typename From::Element* in, size_t count, float* out) {
  const size_t whole = count / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) store(out + i, From::load8(in + i));
  if (whole != count)
    store_part(out + whole, load8_part<From>(in + whole, count - whole), count - whole);
}

static void to_float(DType dtype, const void* in, size_t count, float* out) {
  switch (dtype) {
    case DType::f32:
      return widen<FromF32>(static_cast<const float*>(in), count, out);
    case DType::f16:
      return widen<FromF16>(static_cast<const uint16_t*>(in), count, out);
    case DType::bf16:
      return widen<FromBF16>(static_cast<const uint16_t*>(in), count, out);
  }
}

}  // namespace lapwing::LAPWING_ISA
