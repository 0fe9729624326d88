// Kernels for Advanced SIMD with products of 8-bit matrices (Arm from 2021 on, Apple from M2 on).
// clang-format off: each of these builds on those before it.
#define LAPWING_ISA neon_i8mm
#include "kernels/vec_neon.hpp"
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
#include "kernels/bytes_neon.hpp"
#include "kernels/panel_i8mm.hpp"
#include "kernels/planes_dot.hpp"
#include "kernels/plane_linear.hpp"
#include "kernels/peak.hpp"
#include "kernels/table.hpp"
// clang-format on

namespace lapwing {

const Kernels& neon_i8mm_kernels() {
  static constexpr Kernels table = neon_i8mm::make_table("neon_i8mm");
  return table;
}

}  // namespace lapwing
