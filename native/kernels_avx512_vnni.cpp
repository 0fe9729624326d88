// Kernels for AVX-512 with VNNI, BW, DQ and VL (Intel from Ice Lake on, AMD from Zen 4 on).
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 finds the undefined operands of its own intrinsics uninitialised (its bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
// clang-format off: each of these builds on those before it.
#define LAPWING_ISA avx512_vnni
#include "kernels/vec_avx2.hpp"
#include "kernels/float_math.hpp"
#include "kernels/rows.hpp"
#include "kernels/widen.hpp"
#include "kernels/dense_panels.hpp"
#include "kernels/dense.hpp"
#include "kernels/attention.hpp"
#include "kernels/attend_all.hpp"
#include "kernels/quantize.hpp"
#include "kernels/plane_factors.hpp"
#include "kernels/planes_ahead.hpp"
#include "kernels/bytes_vnni.hpp"
#include "kernels/panel_avx512.hpp"
#include "kernels/planes_dot.hpp"
#include "kernels/plane_linear.hpp"
#include "kernels/peak.hpp"
#include "kernels/table.hpp"
// clang-format on

namespace lapwing {

const Kernels& avx512_vnni_kernels() {
  static constexpr Kernels table = avx512_vnni::make_table("avx512_vnni");
  return table;
}

}  // namespace lapwing
