// Kernels for Advanced SIMD with dot products (Arm from 2018 on, Apple from A13 and M1 on).
// clang-format off: each of these builds on those before it.
#define LAPWING_ISA neon_dotprod
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
#include "kernels/panel_dot.hpp"
#include "kernels/planes_dot.hpp"
#include "kernels/plane_linear.hpp"
#include "kernels/peak.hpp"
#include "kernels/table.hpp"
// clang-format on

namespace lapwing {

const Kernels& neon_dotprod_kernels() {
  static constexpr Kernels table = neon_dotprod::make_table("neon_dotprod");
  return table;
}

}  // namespace lapwing
