// The integer linear on planes, on the tiles of planes_avx2.hpp or planes_dot.hpp: which of them
// meets which number of tokens.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

template <bool Both>
static void plane_linear_at(const PlaneView& w, const QuantizedRows& x, size_t T, size_t first,
                            size_t last, const Epilogue& e, float* out, uint8_t* scratch) {
  if (T != 1) return several_tokens<Both>(w, x, T, first, last, e, out, scratch);
  constexpr size_t kStreams = 2;  // of each plane
  const size_t apart = (last - first) / kStreams;
  for (size_t rg = first; rg < first + apart; ++rg)
    direct_tile<Both, kStreams, 1>(w, x, 0, rg, apart, e, out);
  for (size_t rg = first + kStreams * apart; rg < last; ++rg)
    direct_tile<Both, 1, 1>(w, x, 0, rg, 1, e, out);
}

static void plane_linear(const PlaneView& w, Precision precision, const QuantizedRows& x, size_t T,
                         size_t first, size_t last, const Epilogue& e, float* out,
                         uint8_t* scratch) {
  if (precision == Precision::int8)
    plane_linear_at<true>(w, x, T, first, last, e, out, scratch);
  else
    plane_linear_at<false>(w, x, T, first, last, e, out, scratch);
}

}  // namespace lapwing::LAPWING_ISA
