// The plane products of kernels_avx512_vnni.cpp, with emulated instructions; all else is that of
// AVX2.
// clang-format off: each of these builds on those before it.
#define LAPWING_ISA emulated_avx512_vnni
#include "emulated.hpp"
#include "kernels/vec_avx2.hpp"
#include "kernels/float_math.hpp"
#include "kernels/plane_factors.hpp"
#include "kernels/planes_ahead.hpp"
#include "kernels/bytes_vnni.hpp"
#include "kernels/panel_avx512.hpp"
#include "kernels/planes_dot.hpp"
#include "kernels/plane_linear.hpp"
// clang-format on

namespace lapwing {

const Kernels& emulated_avx512_vnni_kernels() {
  static const Kernels table = [] {
    Kernels kernels = avx2_kernels();
    kernels.name = "emulated avx512_vnni";
    kernels.plane_linear = emulated_avx512_vnni::plane_linear;
    return kernels;
  }();
  return table;
}

}  // namespace lapwing
